"""Relations and motions that single out one object, judged on hand-made facts."""

import numpy as np
import pytest

from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.facts import ClipFacts
from samwise_ros.sim.motion_phrases import singled_out
from samwise_ros.sim.relations import between, extreme, satisfying


def _facts(
    columns: list[float],
    depths: list[float] | None = None,
    sizes: list[float] | None = None,
    frames: int = 2,
    **changes: object,
) -> ClipFacts:
    count = len(columns)
    depths = depths or [1.0] * count
    sizes = sizes or [0.2] * count
    objects = [ObjectContent("cube", "red", (0.8, 0.1, 0.1), size) for size in sizes]
    centres = np.zeros((frames, count, 2))
    centres[:, :, 0] = columns
    positions = np.zeros((frames, count, 3))
    positions[:, :, 0] = np.array(columns) / 100
    values = {
        "objects": objects,
        "tags": [frozenset({"still"})] * count,
        "possible_tags": [frozenset()] * count,
        "pixels": np.tile([int((size * 200) ** 2) for size in sizes], (frames, 1)),
        "centres": centres,
        "depths": np.tile(depths, (frames, 1)),
        "positions": positions,
        "width": 320,
        "height": 240,
    }
    return ClipFacts(**(values | changes))


def test_the_leftmost_and_rightmost_are_found() -> None:
    facts = _facts([200, 60, 120])
    assert extreme(facts, "left", [0, 1, 2]) == 1
    assert extreme(facts, "right", [0, 1, 2]) == 0


def test_a_close_call_is_not_asked() -> None:
    assert extreme(_facts([60, 70, 200]), "left", [0, 1, 2]) is None


def test_nearest_and_farthest_go_by_depth() -> None:
    facts = _facts([60, 120, 200], depths=[1.0, 1.4, 1.2])
    assert extreme(facts, "near", [0, 1, 2]) == 0
    assert extreme(facts, "far", [0, 1, 2]) == 1


def test_size_must_agree_in_the_picture_and_in_truth() -> None:
    facts = _facts([60, 120, 200], sizes=[0.2, 0.3, 0.2])
    assert extreme(facts, "big", [0, 1, 2]) == 1
    far_away = np.tile([1600, 900, 1600], (2, 1))
    assert (
        extreme(_facts([60, 120, 200], sizes=[0.2, 0.3, 0.2], pixels=far_away), "big", [0, 1, 2])
        is None
    )


def test_a_relation_must_hold_in_every_frame() -> None:
    facts = _facts([60, 200])
    facts.centres[1, :, 0] = [200, 60]  # they change sides
    assert extreme(facts, "left", [0, 1]) is None
    assert satisfying(facts, "left", [0], 1) is None


def test_an_object_out_of_view_forbids_comparisons() -> None:
    facts = _facts([60, 120, 200])
    facts.pixels[1, 2] = 0
    assert extreme(facts, "left", [0, 1, 2]) is None
    assert extreme(facts, "left", [0, 1]) == 0


def test_left_of_another_needs_exactly_one() -> None:
    facts = _facts([60, 160, 260])
    assert satisfying(facts, "left", [0, 2], 1) == 0
    assert satisfying(facts, "right", [0, 2], 1) == 2
    assert satisfying(_facts([60, 100, 260]), "left", [0, 1], 2) is None  # both are left of it


def test_in_front_and_behind_need_the_same_line_of_sight() -> None:
    facts = _facts([150, 160], depths=[1.0, 1.3])
    assert satisfying(facts, "near", [0], 1) == 0
    assert satisfying(facts, "far", [1], 0) == 1
    assert satisfying(_facts([20, 300], depths=[1.0, 1.3]), "near", [0], 1) is None


def test_next_to_is_the_clearly_nearest_one() -> None:
    assert satisfying(_facts([100, 120, 200]), "beside", [1, 2], 0) == 1
    assert satisfying(_facts([100, 120, 75]), "beside", [1, 2], 0) is None


def test_between_two_others() -> None:
    facts = _facts([60, 160, 260])
    assert between(facts, [1], 0, 2) == 1
    assert between(facts, [0], 1, 2) is None


def test_an_empty_set_of_candidates_has_no_answer() -> None:
    facts = _facts([60, 160])
    assert extreme(facts, "left", [0]) is None
    assert satisfying(facts, "left", [], 1) is None


@pytest.mark.parametrize(
    ("tags", "possible", "expected"),
    [
        ([{"moves", "roll"}, {"still"}], [set(), set()], 0),
        ([{"moves", "roll"}, {"moves", "roll"}], [set(), set()], None),  # two roll
        ([{"moves", "roll"}, {"moves"}], [set(), {"roll"}], None),  # the other might
        ([{"still"}, {"still"}], [set(), set()], None),  # none rolls
    ],
)
def test_a_motion_singles_out_only_if_nobody_else_might(
    tags: list[set[str]], possible: list[set[str]], expected: int | None
) -> None:
    facts = _facts(
        [60, 160],
        tags=[frozenset(group) for group in tags],
        possible_tags=[frozenset(group) for group in possible],
    )
    assert singled_out(facts, [0, 1], ("roll",)) == expected
