"""Batches from packed clips: what is drawn, how often, and that it can be drawn again."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from training_builders import write_packed

from samwise_ros.structures import DataError
from samwise_ros.training.batches import (
    PackedBatches,
    Vocabulary,
)
from samwise_ros.training.draws import draw_expressions, draw_frames, swap_sides
from samwise_ros.training.recipe import DataSetup
from samwise_ros.training.scene_geometry import displacements, ways_to_middle

EXPRESSIONS = [("the red one", "colour", (1,)), ("the blue one", "colour", (2,)),
               ("the mug", "class", (1,)), ("the green one", "absent", ())]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of six frames, 64 x 64."""
    return write_packed(tmp_path_factory.mktemp("packed") / "clips")


def setup(packed: Path, **changes: object) -> DataSetup:
    return DataSetup(**{"roots": (str(packed),), "frames": 2, "clips": 2, "expressions": 3,
                        **changes})


def test_kinds_are_drawn_by_weight_whatever_their_number_in_the_clip() -> None:
    rng = np.random.default_rng(0)
    weights = {"colour": 2.0, "class": 1.0, "absent": 1.0}
    drawn = Counter(draw_expressions(EXPRESSIONS, 1, weights, rng)[0][1] for _ in range(4000))
    assert drawn["colour"] / 4000 == pytest.approx(0.5, abs=0.03)
    assert drawn["class"] / 4000 == pytest.approx(0.25, abs=0.03)


def test_expressions_of_a_clip_differ_until_all_are_used() -> None:
    rng = np.random.default_rng(1)
    drawn = draw_expressions(EXPRESSIONS, 4, {}, rng)
    assert {text for text, _, _ in drawn} == {text for text, _, _ in EXPRESSIONS}
    assert len(draw_expressions(EXPRESSIONS, 7, {}, rng)) == 7


def test_kinds_without_weight_are_never_drawn_while_others_exist() -> None:
    rng = np.random.default_rng(2)
    kinds = {kind for _ in range(50) for _, kind, _ in
             draw_expressions(EXPRESSIONS, 3, {"colour": 1.0}, rng)}
    assert kinds == {"colour"}
    only_class = [("the mug", "class", (1,))]
    assert draw_expressions(only_class, 1, {"colour": 1.0}, rng) == only_class


def test_frames_are_equally_spaced_and_inside_the_clip() -> None:
    rng = np.random.default_rng(3)
    strides = set()
    for _ in range(200):
        frames = draw_frames(10, 4, 5, rng)
        steps = set(np.diff(frames))
        assert len(steps) == 1 and frames[0] >= 0 and frames[-1] < 10
        strides |= steps
    assert strides == {1, 2, 3}  # 4 would not fit


def test_clips_from_their_start_begin_with_the_first_frame_and_end_anywhere(packed: Path) -> None:
    batches = PackedBatches(setup(packed, frames=5, from_start=True), 0)
    begins = {tuple(batches.packs[0].labels(clip)[0].reshape(-1).tolist()) for clip in range(4)}
    lengths = set()
    for step in range(40):
        labels = batches.batch(step).labels
        lengths.add(labels.numbers.shape[1])
        assert {tuple(first.reshape(-1).tolist()) for first in labels.numbers[:, 0]} <= begins
    assert lengths == {2, 3, 4, 5}


def test_mirrored_sentences_swap_left_and_right_as_words_only() -> None:
    assert swap_sides("the leftmost mug left of the bright ball") == \
        "the rightmost mug right of the bright ball"


def test_the_same_step_gives_the_same_batch_in_any_order(packed: Path) -> None:
    first, second = (PackedBatches(setup(packed, flip=True), 5) for _ in range(2))
    second.batch(3)
    a, b = first.batch(7), second.batch(7)
    assert a.expressions == b.expressions
    assert torch.equal(a.pixels, b.pixels) and torch.equal(a.masks, b.masks)
    assert not torch.equal(a.pixels, first.batch(8).pixels)


def test_an_epoch_visits_every_clip_once(packed: Path) -> None:
    batches = PackedBatches(setup(packed), 0)
    drawn = [clip for step in range(2) for clip in batches._draw_clips(step, 2)]
    assert sorted(drawn) == [0, 1, 2, 3]


def test_masks_are_the_pixels_of_the_answer_also_mirrored_and_zoomed(packed: Path) -> None:
    for flip, zoom in ((False, 0.0), (True, 0.0), (True, 1.0)):
        batches = PackedBatches(setup(packed, flip=flip, zoom=zoom), 1)
        for step in range(6):
            batch = batches.batch(step)
            for row, text in enumerate(batch.expressions):
                pixels = batch.pixels[batch.clip_of_row[row]]  # [T, 3, H, W]
                inside = pixels.movedim(1, -1)[batch.masks[row]]
                if "green" in text:
                    assert len(inside) == 0
                elif "red" in text or text.endswith("left"):
                    assert len(inside) or zoom  # a view may leave it out
                    redder = (inside[:, 0] > inside[:, 2]).float()
                    assert not len(inside) or redder.mean() > (0.8 if zoom else 0.999)


def test_labels_name_class_and_colour_of_each_object(packed: Path) -> None:
    batches = PackedBatches(setup(packed), 1)
    labels = batches.batch(0).labels
    assert batches.classes == ["ball", "mug"] and batches.colours == ["blue", "red"]
    assert labels.classes.tolist() == [[0, 2, 1]] * 2 and labels.colours.tolist() == [[0, 2, 1]] * 2


def test_tags_say_what_each_object_does_also_when_mirrored(packed: Path) -> None:
    for flip, directions in ((False, {"right"}), (True, {"left", "right"})):
        batches = PackedBatches(setup(packed, flip=flip), 1)
        assert batches.tags == ["left", "moves", "right", "still"]
        assert batches.vocabulary == Vocabulary(2, 2, 4, still=3)
        seen = set()
        for step in range(6):
            for tags in batches.batch(step).labels.tags:
                mover, other = ({batches.tags[i] for i in row.nonzero()[:, 0]} for row in tags[1:])
                seen |= mover - {"moves"}
                assert other == {"still"} and "moves" in mover and tags[0].sum() == 0
        assert seen == directions


def test_too_short_clips_are_an_error(packed: Path) -> None:
    with pytest.raises(DataError, match="has 9 frames"):
        PackedBatches(setup(packed, frames=9), 0)


def test_displacement_is_the_way_of_the_middle_in_cells() -> None:
    numbers = torch.zeros(1, 3, 8, 40, dtype=torch.uint8)
    numbers[0, 0, 2:4, 2:6] = 1
    numbers[0, 1, 4:6, 18:22] = 1  # 16 to the right, 2 down
    numbers[0, 2, 4:6, 26:30] = 1  # 8 more to the right
    numbers[0, 1:, 0, 0] = 2  # not seen on the first frame
    moved, known = displacements(numbers, lag=1)
    assert moved[0, :, 1].tolist() == [[0.0, 0.0], [1.0, 0.125], [0.5, 0.0]]
    assert known[0].tolist() == [[True, True, False], [True, True, False], [True] * 3]
    moved, known = displacements(numbers, lag=2)
    assert moved[0, :, 1].tolist() == [[0.0, 0.0], [1.0, 0.125], [1.5, 0.125]]
    assert known[0, 2].tolist() == [True, True, False]


def test_every_pixel_points_to_the_middle_of_its_object() -> None:
    numbers = torch.zeros(1, 4, 34, dtype=torch.uint8)
    numbers[0, 1, 0], numbers[0, 1, 32] = 1, 1  # middle at x 16, y 1
    ways = ways_to_middle(numbers)
    assert ways[0, :, 1, 0].tolist() == pytest.approx([1.0, 0.0])
    assert ways[0, :, 1, 32].tolist() == pytest.approx([-1.0, 0.0])
