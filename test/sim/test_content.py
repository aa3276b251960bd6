"""What stands in a scene: splits, held-out pairs and look-alikes."""

import numpy as np
import pytest

from samwise_ros.sim.assets import CLASS_NAMES, COLOUR_NAMES, EXCLUSIVE_CLASSES
from samwise_ros.sim.content import HELD_OUT_PAIRS, PairSampler, allowed_pairs, sample_objects
from samwise_ros.sim.plan import SceneSettings, clip_rng


def _draws(split: str, count: int, number: int) -> list[list[tuple[str, str]]]:
    rng = np.random.default_rng(3)
    return [PairSampler(split, rng).draw(count) for _ in range(number)]


@pytest.mark.parametrize("split", ["train", "val"])
def test_held_out_pairs_appear_in_test_only(split: str) -> None:
    seen = {pair for pairs in _draws(split, 4, 200) for pair in pairs}
    assert not seen & HELD_OUT_PAIRS
    assert {pair for pairs in _draws("test", 4, 200) for pair in pairs} >= HELD_OUT_PAIRS


def test_every_class_and_every_colour_is_seen_in_training() -> None:
    pairs = allowed_pairs("train")
    assert {name for _, name in pairs} == set(CLASS_NAMES)
    assert {colour for colour, _ in pairs} == set(COLOUR_NAMES)


def test_most_scenes_hold_both_kinds_of_look_alike() -> None:
    def has_both(pairs: list[tuple[str, str]]) -> bool:
        return any(
            any(c == colour and n != name for c, n in pairs)
            and any(c != colour and n == name for c, n in pairs)
            for colour, name in pairs
        )

    share = np.mean([has_both(pairs) for pairs in _draws("train", 3, 300)])
    assert share > 0.6


def test_pairs_of_a_scene_are_different_and_no_classes_clash() -> None:
    for pairs in _draws("train", 5, 200):
        assert len(set(pairs)) == 5
        names = {name for _, name in pairs}
        assert not any(group <= names for group in EXCLUSIVE_CLASSES)


def test_object_colour_stays_near_its_name() -> None:
    rng = np.random.default_rng(0)
    reds = [o.rgb for _ in range(100) for o in sample_objects("train", 3, rng) if o.colour == "red"]
    assert reds and all(red > 0.6 and green < 0.3 and blue < 0.3 for red, green, blue in reds)


def test_clip_random_numbers_depend_on_split_seed_and_clip() -> None:
    values = {
        float(clip_rng(split, seed, clip).random())
        for split in ("train", "val", "test")
        for seed in (0, 1)
        for clip in (0, 1)
    }
    assert len(values) == 12
    assert clip_rng("val", 1, 2).random() == clip_rng("val", 1, 2).random()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="expected a split"):
        allowed_pairs("dev")
    with pytest.raises(ValueError, match="expected seed and clip >= 0"):
        clip_rng("train", -1, 0)
    with pytest.raises(ValueError, match="expected frames >= 1"):
        SceneSettings(frames=0)
    with pytest.raises(ValueError, match="expected a place"):
        SceneSettings(place="garden")
