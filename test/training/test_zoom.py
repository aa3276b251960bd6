"""Views into clips: what they keep, and that pictures and objects stay together."""

import numpy as np
import pytest

from samwise_ros.training.zoom import TIGHT, WIDE, zoom_in

HEIGHT, WIDTH = 64, 80


def clip(places: tuple[tuple[int, int], ...], side: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Frames with a red square as object 1 at each (top, left), a green one in a corner as 2."""
    numbers = np.zeros((len(places), HEIGHT, WIDTH), np.uint8)
    for frame, (top, left) in zip(numbers, places, strict=True):
        frame[:4, :4] = 2
        frame[top:top + side, left:left + side] = 1
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    return colours[numbers], numbers


@pytest.mark.parametrize("seed", range(20))
def test_pixels_stay_with_their_objects_and_the_size_stays(seed: int) -> None:
    pictures, numbers = clip(((20, 30), (24, 34)))
    views, objects = zoom_in(pictures, numbers, np.random.default_rng(seed))
    assert views.shape == pictures.shape and objects.shape == numbers.shape
    assert objects.dtype == np.uint8 and set(np.unique(objects)) <= {0, 1, 2}
    for number, channel in ((1, 0), (2, 1)):
        inside = views[objects == number]
        assert inside.size == 0 or inside[:, channel].mean() > 200
    outside = views[objects == 0]
    assert outside.size == 0 or outside.mean() < 20


def test_an_object_is_as_large_as_was_drawn_or_cut_by_the_border() -> None:
    pictures, numbers = clip(((26, 34),))
    numbers[numbers == 2] = 0
    shares = [np.mean(zoom_in(pictures, numbers, np.random.default_rng(seed))[1] == 1)
              for seed in range(60)]
    assert min(shares) > (numbers == 1).mean()  # larger than before
    # A square of 12 in 64 x 80 at the smallest view, and one that fills it.
    assert max(shares) < 1 and np.ptp(shares) > 0.1
    assert TIGHT < 1 < WIDE


def test_frames_without_objects_are_left_alone_and_a_seed_gives_one_view() -> None:
    pictures, numbers = clip(((20, 30),))
    nothing = np.zeros_like(numbers)
    same, none = zoom_in(pictures, nothing, np.random.default_rng(0))
    assert same is pictures and none is nothing
    first, second = (zoom_in(pictures, numbers, np.random.default_rng(4))[0] for _ in range(2))
    assert np.array_equal(first, second)
