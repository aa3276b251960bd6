"""J and F against a slow, literal transcription of the published definition, and known answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samwise_ros.evaluation.metrics import (
    contour,
    contour_accuracy,
    contour_tolerance,
    mask_scores,
    region_similarity,
)


def slow_contour(mask: np.ndarray) -> np.ndarray:
    """Contour map pixel by pixel: differs from the right, lower or lower right neighbour."""
    height, width = mask.shape
    edge = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            right = mask[y, x] != mask[y, x + 1] if x + 1 < width else False
            below = mask[y, x] != mask[y + 1, x] if y + 1 < height else False
            both = x + 1 < width and y + 1 < height
            corner = mask[y, x] != mask[y + 1, x + 1] if both else False
            edge[y, x] = right or below or corner
    return edge


def slow_f(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F by comparing every contour pixel with every other."""
    radius = math.ceil(0.008 * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2))
    ours, theirs = np.argwhere(slow_contour(predicted)), np.argwhere(slow_contour(truth))
    if not len(ours) and not len(theirs):
        precision = recall = 1.0
    elif not len(ours):
        precision, recall = 1.0, 0.0
    elif not len(theirs):
        precision, recall = 0.0, 1.0
    else:
        squares = ((ours[:, None] - theirs[None]) ** 2).sum(-1)
        precision = (squares.min(axis=1) <= radius**2).mean()
        recall = (squares.min(axis=0) <= radius**2).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def slow_j(predicted: np.ndarray, truth: np.ndarray) -> float:
    union = (predicted | truth).sum()
    return (predicted & truth).sum() / union if union else 1.0


def blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Union of a few rectangles, some of them cut by the border, or nothing."""
    mask = np.zeros((height, width), bool)
    for _ in range(rng.integers(0, 4)):
        y, x = rng.integers(-3, height), rng.integers(-3, width)
        mask[max(y, 0):y + rng.integers(1, height), max(x, 0):x + rng.integers(1, width)] = True
    return mask


@settings(max_examples=150, deadline=None)
@given(height=st.integers(2, 40), width=st.integers(2, 200), seed=st.integers(0, 100_000))
def test_scores_equal_the_literal_definition(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = blob(rng, height, width), blob(rng, height, width)

    scores = mask_scores(predicted, truth)

    assert scores.j == pytest.approx(slow_j(predicted, truth))
    assert scores.f == pytest.approx(slow_f(predicted, truth))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_void_pixels_count_on_neither_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth, void = (blob(rng, 30, 40) for _ in range(3))

    scores = mask_scores(predicted, truth, void)

    assert scores.j == pytest.approx(slow_j(predicted & ~void, truth & ~void))
    assert scores.f == pytest.approx(slow_f(predicted & ~void, truth & ~void))


@pytest.mark.parametrize(("size", "radius"), [((480, 854), 8), ((720, 1280), 12),
                                              ((1080, 1920), 18), ((240, 320), 4)])
def test_tolerance_of_common_formats(size, radius) -> None:
    assert contour_tolerance(*size) == radius


def square(y: int, x: int, side: int) -> np.ndarray:
    mask = np.zeros((240, 320), bool)
    mask[y:y + side, x:x + side] = True
    return mask


def test_a_shifted_square_has_the_overlap_of_its_area() -> None:
    # 40 x 40 shifted by 10: intersection 30 * 40, union 50 * 40.
    assert mask_scores(square(50, 60, 40), square(50, 50, 40)).j == pytest.approx(0.6)


def test_a_shift_within_the_tolerance_keeps_the_contour_perfect() -> None:
    assert mask_scores(square(50, 54, 40), square(50, 50, 40)).f == 1.0


def test_a_shift_beyond_the_tolerance_loses_the_sides_across_it() -> None:
    # Contour of a 40-square at y, x: rows y-1 and y+39 from x-1 to x+39, columns x-1 and x+39
    # between them: 41 + 41 + 39 + 39 = 160 pixels. Shifted right by 20 with tolerance 4: of each
    # long row 41 - 20 pixels lie on the other's row and 4 more within the disk; the column that
    # lies inside the other square is near its rows only within 4 of either end; the other is not.
    shifted, fixed = square(50, 70, 40), square(50, 50, 40)
    assert int(contour(fixed).sum()) == 160
    rows = 2 * (21 + 4)
    column = 2 * 4
    assert mask_scores(shifted, fixed).f == pytest.approx((rows + column) / 160)


def test_nothing_against_nothing_is_right() -> None:
    empty = np.zeros((240, 320), bool)

    assert mask_scores(empty, empty) == (1.0, 1.0)


def test_something_against_nothing_is_wrong_both_ways() -> None:
    empty = np.zeros((240, 320), bool)

    assert mask_scores(square(5, 5, 9), empty) == (0.0, 0.0)
    assert mask_scores(empty, square(5, 5, 9)) == (0.0, 0.0)


def test_a_full_mask_has_no_contour() -> None:
    full, empty = np.ones((240, 320), bool), np.zeros((240, 320), bool)

    assert contour(full).sum() == 0
    assert mask_scores(full, full) == (1.0, 1.0)
    # The published special case: both contours are empty, so F is 1 although J is 0.
    assert contour_accuracy(full, empty, 4) == 1.0
    assert region_similarity(full, empty) == 0.0
    assert mask_scores(full, empty) == (0.0, 1.0)


def test_far_apart_objects_score_nothing() -> None:
    assert mask_scores(square(5, 5, 30), square(150, 200, 30)) == (0.0, 0.0)


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"one size, got \(2, 3\) and \(3, 2\)"):
        mask_scores(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
