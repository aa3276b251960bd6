"""The loop: it learns, it resumes to the same numbers, it says what is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_builders import recipe, write_packed, write_recipe
from typer.testing import CliRunner

from samwise_ros.model.checkpoint import load_model
from samwise_ros.setting_values import build_config
from samwise_ros.structures import CheckpointError, ConfigError, SamwiseError
from samwise_ros.training import blend
from samwise_ros.training.batches import join_clips
from samwise_ros.training.build import load_heads
from samwise_ros.training.calibration import score_by_shift
from samwise_ros.training.checkpointing import best_weights, read_state, save_start
from samwise_ros.training.export import export_checkpoint, slim_checkpoint
from samwise_ros.training.loop import LAST, Trainer
from samwise_ros.training.recipe import TrainConfig, load_config
from samwise_ros.training.validation import (
    QuickValidation,
    region_similarity,
    stream_clip,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_packed(tmp_path_factory.mktemp("packed") / "clips")


def trainer(packed: Path, out: Path, resume: bool = False, **changes: object) -> Trainer:
    return Trainer(build_config(TrainConfig, recipe(packed, out, **changes), "test"), resume)


def run(stage: Trainer, until: int | None = None) -> list[float]:
    """Losses of the steps of one run, which ends early after step `until`."""
    losses: list[float] = []

    class Enough(Exception):
        pass

    def note(step: int, steps: int, values: dict[str, float]) -> None:
        losses.append(values["total"])
        if step == until:
            raise Enough

    try:
        stage.run(on_step=note)
    except Enough:
        stage.save(LAST)
    return losses


def test_a_resumed_run_gives_the_same_numbers_as_an_unbroken_one(packed: Path,
                                                                 tmp_path: Path) -> None:
    whole = trainer(packed, tmp_path / "whole", steps=4)
    losses = run(whole)
    first = run(trainer(packed, tmp_path / "parts", steps=4), until=2)
    again = trainer(packed, tmp_path / "parts", resume=True, steps=4)
    assert again.progress.step == 2
    assert first + run(again) == losses
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    for name, value in whole.average.state.items():
        assert torch.equal(value, again.average.state[name]), name


def test_history_of_a_resumed_run_has_no_step_twice(packed: Path, tmp_path: Path) -> None:
    run(trainer(packed, tmp_path, steps=4), until=3)  # logged up to step 2
    stage = trainer(packed, tmp_path, resume=True, steps=4)
    run(stage)
    lines = stage.history.path.read_text().splitlines()[1:]
    steps = [int(line.split(",")[0]) for line in lines if ",total," in line]
    assert steps == sorted(set(steps)) and steps[-1] == 4


def test_one_clip_is_learnt_by_heart(packed: Path, tmp_path: Path) -> None:
    loss = {"focal": 0.0, "cme": 0.0, "bce": 5.0, "dice": 1.0, "per_frame": True, "score": 0.5,
            "deep": 0.5, "absent": 0.2}
    one = write_packed(tmp_path / "one", clips=1)
    data = {"kind": "packed", "roots": [str(one)], "frames": 2, "clips": 1, "expressions": 4}
    stage = trainer(packed, tmp_path / "out", steps=80, loss=loss, data=data,
                    optim={"lr": 3e-3, "schedule": "cosine", "warmup": 5})
    run(stage)
    batch = join_clips([stage.batches.batch(0)])
    model = stage.model.eval()
    found, scores = stream_clip(model, batch.pixels, model.tokenizer(batch.expressions),
                                batch.clip_of_row)
    present = torch.tensor(["green" not in text for text in batch.expressions])
    assert region_similarity(found, batch.masks)[present].mean() > 0.85
    assert torch.equal(scores > 0, present[:, None].expand_as(scores))


def test_official_losses_and_cme_train_through_the_memory(packed: Path, tmp_path: Path) -> None:
    data = {"kind": "packed", "roots": [str(packed)], "frames": 6, "clips": 1, "expressions": 2}
    stage = trainer(packed, tmp_path, steps=2, data=data, causal=False,
                    loss={"focal": 1.0, "dice": 1.0, "cme": 1.0}, optim={"lr": 1e-3})
    before = {name: p.clone() for name, p in stage.model.named_parameters()}
    run(stage)
    changed = {name for name, p in stage.model.named_parameters()
               if not torch.equal(p, before[name])}
    assert any("memory_encoder" in name for name in changed)
    assert any("memory_attention" in name for name in changed)


def test_the_part_before_text_can_be_trained_alone(packed: Path, tmp_path: Path) -> None:
    stage = trainer(packed, tmp_path, image_only=True, steps=2,
                    loss={"focal": 0.0, "dice": 0.0, "cme": 0.0, "dense": 1.0, "flow": 1.0,
                          "tags": 1.0},
                    optim={"lr": 1e-3})
    before = {name: p.clone() for name, p in stage.model.named_parameters()}
    run(stage)
    changed = {name for name, p in stage.model.named_parameters()
               if not torch.equal(p, before[name])}
    assert any("trunk" in name for name in changed) and any("hsa" in name for name in changed)
    assert not any("text_encoder" in name or "mask_decoder" in name for name in changed)


def test_a_stage_starts_from_the_averaged_weights_of_the_one_before(packed: Path,
                                                                    tmp_path: Path) -> None:
    run(trainer(packed, tmp_path / "first", steps=2))
    state = best_weights(read_state(tmp_path / "first" / LAST))
    model = {**recipe(packed, tmp_path)["model"], "init": str(tmp_path / "first" / LAST)}
    second = trainer(packed, tmp_path / "second", model=model)
    for name, value in second.model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_a_blend_lies_between_start_and_end_and_starts_a_stage(packed: Path,
                                                               tmp_path: Path) -> None:
    run(trainer(packed, tmp_path / "a", steps=1))
    run(trainer(packed, tmp_path / "b", steps=3, optim={"lr": 1e-2}))
    ends = [tmp_path / name / "last.safetensors" for name in ("a", "b")]
    out = tmp_path / "blend.safetensors"
    blend.main([str(ends[0]), str(ends[1]), "--share", "0.75", "--out", str(out)])
    before, after, between = (best_weights(read_state(path)) for path in (*ends, out))
    assert set(between) == set(after)
    for name, value in between.items():
        if value.is_floating_point():
            expected = 0.25 * before[name] + 0.75 * after[name]
            assert torch.allclose(value, expected, atol=1e-6), name
    model = {**recipe(packed, tmp_path)["model"], "init": str(out)}
    stage = trainer(packed, tmp_path / "next", steps=1, model=model)
    for name, value in stage.model.state_dict().items():
        assert torch.equal(value, between[name]), name


def test_weights_of_different_networks_are_not_blended(packed: Path, tmp_path: Path) -> None:
    run(trainer(packed, tmp_path, steps=1))
    last = tmp_path / "last.safetensors"
    state = read_state(last)
    weights = best_weights(state)
    weights["extra"] = torch.zeros(1)
    save_start(tmp_path / "other.safetensors", state, weights, None)
    with pytest.raises(CheckpointError, match="extra"):
        blend.blend_checkpoints(last, tmp_path / "other.safetensors", 0.5,
                                tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("name", ["kept.safetensors", LAST])
def test_weights_are_never_written_over_what_is_there(packed: Path, tmp_path: Path, name: str
                                                      ) -> None:
    run(trainer(packed, tmp_path, steps=1))
    last, kept = tmp_path / LAST, tmp_path / name
    if kept != last:
        kept.write_text("mine")
    before = kept.read_bytes()
    for write in (lambda: blend.main([str(last), str(last), "--share", "0.5", "--out", str(kept)]),
                  lambda: slim_checkpoint(last, kept)):
        with pytest.raises(ConfigError, match="overwritten|what is read"):
            write()
    assert kept.read_bytes() == before


def test_a_slim_checkpoint_and_an_exported_folder_hold_the_weights(packed: Path,
                                                                  tmp_path: Path) -> None:
    stage = trainer(packed, tmp_path / "run", steps=1)
    run(stage)
    last = tmp_path / "run" / LAST
    small = slim_checkpoint(last, tmp_path / "start.safetensors")
    assert small.stat().st_size < last.stat().st_size / 4
    model = {**recipe(packed, tmp_path)["model"], "init": str(small)}
    again = trainer(packed, tmp_path / "next", model=model)
    exported = load_model(export_checkpoint(last, tmp_path / "folder"), device="cpu")
    for name, value in best_weights(read_state(last)).items():
        for other in (again.model.state_dict(), exported.state_dict()):
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-6)
    assert load_heads(again.heads, str(small))


def test_the_score_shift_of_a_recipe_is_part_of_the_exported_weights(packed: Path,
                                                                    tmp_path: Path) -> None:
    run(trainer(packed, tmp_path / "run", steps=1, score_shift=-1.5))
    last = tmp_path / "run" / LAST
    name = "sam.sam_mask_decoder.pred_obj_score_head.layers.2.bias"
    trained = best_weights(read_state(last))[name]
    exported = load_model(export_checkpoint(last, tmp_path / "folder", dtype="fp32"), device="cpu")
    torch.testing.assert_close(exported.state_dict()[name], trained - 1.5)


def test_calibration_tells_what_is_called_absent_under_each_shift(packed: Path,
                                                                  tmp_path: Path) -> None:
    stage = trainer(packed, tmp_path / "run", steps=1)
    run(stage)
    table = dict(score_by_shift(tmp_path / "run" / LAST, stage.batches.packs, 2, 8,
                                (100.0, -100.0)))
    assert table[100.0]["absent"].j == 0 and table[-100.0]["absent"].j == 1
    assert table[-100.0]["colour"].j == 0  # nothing is found any more


def test_validation_reports_kinds_beside_chance(packed: Path, tmp_path: Path) -> None:
    stage = trainer(packed, tmp_path)
    scores = QuickValidation(stage.batches.packs, 2, 8).score(stage.model.eval())
    assert set(scores) == {"colour", "colour_class", "absent"}
    assert scores["colour"].count == 2
    # two objects that do not overlap: a random one is right half of the time
    assert scores["colour"].random_object == pytest.approx(0.5)


def test_a_loss_that_is_not_finite_stops_the_run(packed: Path, tmp_path: Path) -> None:
    stage = trainer(packed, tmp_path)
    with torch.no_grad():
        stage.model.sam.no_mem_embed.fill_(float("nan"))
    with pytest.raises(SamwiseError, match="step 0 is not finite"):
        run(stage)


def test_missing_checkpoint_is_named(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="last.safetensors"):
        trainer(packed, tmp_path, resume=True)


def test_official_sizes_need_weights_to_start_from(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model.sam2"):
        trainer(packed, tmp_path, model={"name": "tiny"})


def test_recipes_of_the_repository_are_valid() -> None:
    folder = Path(__file__).parents[2] / "config" / "train"
    configs = {path.relative_to(folder).with_suffix("").as_posix(): load_config(path)
               for path in sorted(folder.rglob("*.yaml"))}
    assert len(configs) > 3
    mevis, pretrain = configs["mevis"], configs["ris_pretrain"]
    assert (mevis.data.frames, mevis.data.clips, mevis.optim.lr, mevis.optim.clip_norm) == \
        (8, 4, 1e-5, 1.0)
    assert (pretrain.data.clips, pretrain.epochs, pretrain.optim.lr) == (32, 6, 1e-4)
    assert pretrain.optim.clip_norm == 0.1 and pretrain.optim.weight_decay == 0.0
    assert configs["ref_ytvos"].epochs == 4


@pytest.mark.parametrize(("change", "message"), [
    ("optim.lr=-1", "optim.lr"), ("data.nonsense=1", "nonsense"), ("steps", "key=value"),
    ("optim.schedule=linear", "schedule"), ("data.clips=0", "data.clips"),
    ("optim.lr=fast", "a number, got 'fast'"), ("steps=1.5", "whole number")])
def test_bad_settings_are_named(packed: Path, tmp_path: Path, change: str, message: str) -> None:
    path = write_recipe(tmp_path / "recipe.yaml", recipe(packed, tmp_path))
    with pytest.raises(ConfigError, match=message):
        load_config(path, [change])


def test_train_command_runs_stops_and_resumes(packed: Path, tmp_path: Path) -> None:
    from samwise_ros.cli.main import app

    path = write_recipe(tmp_path / "recipe.yaml", recipe(packed, tmp_path / "out"))
    first = CliRunner().invoke(app, ["train", str(path), "--max-minutes", "0"])
    assert first.exit_code == 0, first.output
    assert "go on with --resume" in first.output
    second = CliRunner().invoke(app, ["train", str(path), "--resume", "--set", "steps=2"])
    assert second.exit_code == 0, second.output
    assert "step 2 of 2" in second.output


def test_labels_of_objects_out_of_sight_are_no_obstacle(packed: Path, tmp_path: Path) -> None:
    """The highest object number may be missing from all frames of a batch."""
    stage = trainer(packed, tmp_path, image_only=True, steps=1,
                    loss={"focal": 0.0, "dice": 0.0, "cme": 0.0, "flow": 1.0, "tags": 1.0})
    batch = stage.batches.batch(0)
    numbers = batch.labels.numbers.clone()
    numbers[numbers == 2] = 0
    hidden = replace(batch, labels=replace(batch.labels, numbers=numbers))
    losses = stage.unit(hidden, stage.model.tokenizer(batch.expressions))
    assert torch.isfinite(losses["total"]) and losses["flow_of_zero"] > 0
