"""Targets that are shown on the first frame and followed by memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_builders import recipe, write_packed

from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.prompts import LOWER_RIGHT, ON_TARGET, UPPER_LEFT, VisualPrompt, embed_prompt
from samwise_ros.setting_values import build_config
from samwise_ros.training.follow import follow
from samwise_ros.training.loop import Trainer
from samwise_ros.training.recipe import TrainConfig
from samwise_ros.training.shown import draw_prompts

pytestmark = pytest.mark.usefixtures("one_thread")


def trainer(tmp_path: Path, **changes: object) -> Trainer:
    packed = write_packed(tmp_path / "packed", clips=2)
    data = {"kind": "packed", "roots": [str(packed)], "val_roots": [str(packed)], "frames": 3,
            "clips": 2, "expressions": 2, "prompts": {"point": 1, "box": 1, "mask": 1}}
    values = recipe(packed, tmp_path / "out", data=data, causal=False, loss={
        "focal": 0.0, "cme": 0.0, "bce": 5.0, "dice": 1.0, "per_frame": True, "score": 0.5})
    return Trainer(build_config(TrainConfig, values | changes, "test"))


def test_only_what_follows_is_trained_and_scores_are_written(tmp_path: Path) -> None:
    stage = trainer(tmp_path, steps=8, val_every=8)
    before = {name: p.clone() for name, p in stage.model.named_parameters()}
    stage.run()
    changed = {name for name, p in stage.model.named_parameters()
               if not torch.equal(p, before[name])}
    for part in ("neck", "memory_attention", "memory_encoder", "mask_decoder", "mask_downscaling",
                 "point_embeddings", "obj_ptr_proj"):
        assert any(part in name for name in changed), part
    assert not any("text" in name or "adapter" in name for name in changed)
    history = (tmp_path / "out" / "history.csv").read_text()
    for name in ("val_packed_point", "val_packed_box", "val_packed_last"):
        assert name in history


def test_a_frozen_trunk_stays_as_it_is(tmp_path: Path) -> None:
    model = {**recipe(tmp_path, tmp_path)["model"], "trainable": "follow"}
    stage = trainer(tmp_path, steps=2, model=model)
    before = {name: p.clone() for name, p in stage.model.named_parameters()}
    stage.run()
    for name, parameter in stage.model.named_parameters():
        if "trunk" in name or "text" in name:
            assert torch.equal(parameter, before[name]), name


def test_each_way_of_showing_says_which_object_is_meant() -> None:
    masks = np.zeros((2, 64, 64), bool)
    masks[0, 8:20, 10:30], masks[1, 40:60, 2:12] = True, True
    rng = np.random.default_rng(0)
    for _ in range(20):
        points, kinds = draw_prompts(masks, {"point": 1}, rng)
        for row, mask in enumerate(masks):
            for (x, y), label in zip(points.points[row].int(), points.labels[row], strict=True):
                assert label < 0 or bool(mask[y, x]) == (label == ON_TARGET)
        box, _ = draw_prompts(masks, {"box": 1}, rng)
        assert box.labels[0, :2].tolist() == [UPPER_LEFT, LOWER_RIGHT]
        truth = torch.tensor([[10.0, 8.0], [29.0, 19.0]])
        assert (box.points[0, :2] - truth).abs().max() <= 2.0
        shown, kinds = draw_prompts(masks, {"mask": 1}, rng)
        assert kinds == ("mask", "mask") and shown.has_mask.all() and (shown.labels < 0).all()


def test_points_mean_the_same_place_in_a_rectangle_as_in_its_position_code(tmp_path: Path) -> None:
    encoder = trainer(tmp_path).model.sam.sam_prompt_encoder
    grid = (2, 4)  # of 32 x 64 pixels, though the encoder is built for squares of 64
    point = torch.tensor([[[16 * 3 + 7.5, 16 * 1 + 7.5]]])  # the middle of cell (1, 3)
    tokens, _ = embed_prompt(encoder, VisualPrompt(point, torch.tensor([[ON_TARGET]])), grid)
    place = tokens[0, 0] - encoder.point_embeddings[ON_TARGET].weight[0]
    torch.testing.assert_close(place, encoder.pe_layer(grid)[:, 1, 3])


def test_what_is_shown_is_remembered_and_rows_do_not_see_each_other(tmp_path: Path) -> None:
    stage = trainer(tmp_path)
    batch, model = stage.batches.batch(0), stage.model.eval()
    shown, _ = draw_prompts(batch.masks[:, 0].numpy(), {"mask": 1.0}, np.random.default_rng(0))
    with torch.no_grad():
        together = follow(model, batch.pixels, shown, batch.clip_of_row)
        row = slice(1, 2)
        alone = follow(model, batch.pixels, VisualPrompt(
            shown.points[row], shown.labels[row], shown.masks[row], shown.has_mask[row]),
            batch.clip_of_row[row])
        encoded = model.encode_plain(batch.pixels[:1])
        out = model.segment_frame(encoded.frame(0), MemoryBank(), prompt=VisualPrompt(
            shown.points[:1], shown.labels[:1], shown.masks[:1]))
    torch.testing.assert_close(together.low_res[row], alone.low_res, atol=1e-4, rtol=1e-4)
    assert torch.equal(out.memorised > 0, shown.masks[:1])
