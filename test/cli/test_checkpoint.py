"""`samwise checkpoint` and `samwise train-tokenizer` do what their help says."""

import json
from pathlib import Path

import pytest
import torch
from model_builders import make_model
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.model import key_map
from samwise_ros.model.checkpoint import load_model
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.sizes import model_config

RUNNER = CliRunner(env={"COLUMNS": "300"})


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as a released file, under official names."""
    state = {key_map.to_official(name): tensor
             for name, tensor in make_model(model_config("nano")).state_dict().items()}
    state.pop(None)
    path = tmp_path_factory.mktemp("released") / "model.pth"
    torch.save({"model": state, "epoch": 3}, path, _use_new_zipfile_serialization=False)
    return path


def test_a_converted_file_loads_by_its_folder(
        released: Path, tmp_path: Path, tiny_tokenizer: ExpressionTokenizer) -> None:
    result = RUNNER.invoke(app, ["checkpoint", "convert", str(released), "--dtype", "fp16",
                                 "--out", str(tmp_path / "out"),
                                 "--tokenizer", str(tiny_tokenizer.folder)])
    assert result.exit_code == 0, result.output
    model = load_model(tmp_path / "out", device="cpu")
    expected = make_model(model_config("nano")).state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, expected[name].half().to(tensor.dtype)), name
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < released.stat().st_size * 0.6
    shown = RUNNER.invoke(app, ["checkpoint", "inspect", str(tmp_path / "out"), "--json"])
    facts = json.loads(shown.stdout)
    assert facts["size"] == "nano" and facts["dtype"] == "fp16" and facts["source"] == "model.pth"
    assert facts["fits"].startswith("yes")


def test_inspect_describes_a_released_file(released: Path) -> None:
    facts = json.loads(RUNNER.invoke(app,
                                     ["checkpoint", "inspect", str(released), "--json"]).stdout)
    assert facts["kind"] == "SAMWISE checkpoint" and facts["size"] == "nano"
    assert facts["other entries"] == ["epoch"] and facts["fits"].startswith("yes")
    assert set(facts["numbers per part"]) == {
        "text_encoder", "sam", "cmt_adapters", "conditional_memory_encoder",
        "motion_branch"}
    table = RUNNER.invoke(app, ["checkpoint", "inspect", str(released)])
    assert table.exit_code == 0 and "SAMWISE checkpoint" in table.output


def test_wrong_use_is_answered_with_exit_code_2(tmp_path: Path) -> None:
    for arguments in (["convert", "--out", str(tmp_path)], ["inspect", str(tmp_path / "absent")],
                      ["convert", str(tmp_path / "absent"), "--out", str(tmp_path)]):
        assert RUNNER.invoke(app, ["checkpoint", *arguments]).exit_code == 2


def test_a_tokeniser_is_trained_from_text_files_and_data_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the striped zebra\n\nthe spotted giraffe\n" * 9, "utf-8")
    data = tmp_path / "data"
    data.mkdir()
    (data / "meta_expressions.json").write_text(json.dumps(
        {"videos": {"v": {"expressions": {"0": {"exp": "the purple octopus"}}}}}), "utf-8")
    result = RUNNER.invoke(app, ["train-tokenizer", str(tmp_path / "a.txt"), str(data),
                                 "--out", str(tmp_path / "out"), "--vocab-size", "900"])
    assert result.exit_code == 0, result.output
    tokenizer = ExpressionTokenizer(tmp_path / "out")
    assert 261 < tokenizer.vocab_size <= 900
    assert tokenizer(["the rolling ball"]).mask.sum() <= 6  # motion wordings are added to data
    absent = RUNNER.invoke(app, ["train-tokenizer", str(tmp_path / "no.txt"), "--out", "x"])
    assert absent.exit_code == 2
