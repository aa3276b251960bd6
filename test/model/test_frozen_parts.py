"""What ships of a model with frozen parts, and what is refused when it is put together again."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from mini_builders import published_mini
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.model import frozen_parts
from samwise_ros.model.checkpoint import load_model, own_state, save_model
from samwise_ros.model.checkpoint_files import CONFIG_FILE, WEIGHTS_FILE
from samwise_ros.model.frozen_parts import (
    LITE0,
    check_frozen,
    frozen_files,
    frozen_prefixes,
    locate,
)
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.sizes import model_config
from samwise_ros.structures import CheckpointError

MINI = model_config("mini")


@pytest.fixture(scope="module")
def mini() -> SamwiseModel:
    return published_mini()


def test_published_sizes_have_no_frozen_parts() -> None:
    for name in ("nano", "tiny", "base_plus"):
        assert frozen_files(model_config(name)) == frozen_prefixes(model_config(name)) == ()


def test_a_file_with_another_digest_is_refused(tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_parts, "cache_dir", lambda: tmp_path)
    elsewhere = dataclasses.replace(LITE0, package="no_such_package_anywhere")
    with pytest.raises(CheckpointError, match=r"is not here.*samwise_ros\[mini\].*download mini"):
        locate(elsewhere)
    target = tmp_path / LITE0.remote.path
    target.parent.mkdir()
    target.write_bytes(b"other weights")
    with pytest.raises(CheckpointError, match="is not the EfficientNet-Lite0.*sha256 is"):
        locate(elsewhere)


def test_weights_trained_on_other_frozen_parts_are_refused() -> None:
    noted = {file.what: {"sha256": file.sha256} for file in frozen_files(MINI)}
    check_frozen(MINI, noted, "here")
    with pytest.raises(CheckpointError, match="trained with another all-MiniLM"):
        check_frozen(MINI, {**noted, "all-MiniLM-L6-v2": {"sha256": "0" * 64}}, "here")
    with pytest.raises(CheckpointError, match="notes sha256 None"):
        check_frozen(MINI, {}, "here")


def test_what_ships_is_what_was_trained_and_it_comes_back_whole(mini: SamwiseModel,
                                                                tmp_path: Path) -> None:
    save_model(mini, tmp_path, dtype="fp16", source="a test")
    assert (tmp_path / WEIGHTS_FILE).stat().st_size < 10e6
    about = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert set(about["frozen"]) == {file.what for file in frozen_files(MINI)}
    assert not any(name.startswith(frozen_prefixes(MINI)) for name in own_state(mini))
    loaded = load_model(tmp_path, device="cpu")
    for name, value in mini.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name].float(), value.float(), atol=2e-3,
                                   rtol=2e-3)
    assert torch.equal(loaded.encoder.trunk.head.weight, mini.encoder.trunk.head.weight)
    torch.testing.assert_close(loaded.grounding.answers, mini.grounding.answers, atol=1e-2, rtol=0)
    tokens = loaded.tokenizer(["the red cup left of the bottle"])
    assert loaded.encode_text(tokens).names.shape == (1, 2, 384)


def test_a_changed_note_is_refused_on_loading(mini: SamwiseModel, tmp_path: Path) -> None:
    save_model(mini, tmp_path)
    path = tmp_path / CONFIG_FILE
    path.write_text(path.read_text().replace(str(LITE0.sha256), "f" * 64))
    with pytest.raises(CheckpointError, match="trained with another EfficientNet-Lite0"):
        load_model(tmp_path, device="cpu")


def test_inspect_says_where_each_frozen_part_comes_from(mini: SamwiseModel, tmp_path: Path) -> None:
    save_model(mini, tmp_path)
    shown = CliRunner().invoke(app, ["checkpoint", "inspect", str(tmp_path), "--json"])
    facts = json.loads(shown.stdout)
    assert facts["fits"].startswith("yes") and facts["size"] == "mini"
    for line, file in zip(facts["frozen"], frozen_files(MINI), strict=True):
        for part in (file.what, file.licence, str(file.sha256), file.member):
            assert part in line
