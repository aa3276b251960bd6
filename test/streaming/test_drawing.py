"""Masks painted into frames, and contact sheets."""

import cv2
import numpy as np
import pytest
from model_builders import make_frames

from samwise_ros.streaming.drawing import (
    PALETTE,
    ContactSheet,
    colour_of,
    draw_caption,
    paint_masks,
)
from samwise_ros.structures import FrameError


def test_the_palette_is_fixed_and_told_apart_without_colour() -> None:
    """Seven colours; any two differ clearly also for the two common kinds of red-green
    blindness."""
    assert len(set(PALETTE)) == 7 and colour_of(8) == PALETTE[1]
    linear = (np.array(PALETTE) / 255) ** 2.2
    simulations = {  # Viénot, Brettel and Mollon (1999), on linear RGB
        "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
        "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0],
                         [-0.02234, 0.02234, 1.0]]}
    for name, matrix in simulations.items():
        seen = np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
        distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
        assert distances[~np.eye(7, dtype=bool)].min() > 8, name


def test_painting_marks_the_mask_and_nothing_else() -> None:
    frame = make_frames(1, 40, 50)[0]
    before, mask = frame.copy(), np.zeros((40, 50), bool)
    mask[10:20, 10:30] = True
    painted = paint_masks(frame, [np.zeros_like(mask), mask])
    np.testing.assert_array_equal(frame, before)
    np.testing.assert_array_equal(painted[~mask], frame[~mask])
    inside = painted[15, 20].astype(float)
    expected = (frame[15, 20].astype(float) + PALETTE[1]) / 2
    np.testing.assert_allclose(inside, expected, atol=1)
    np.testing.assert_array_equal(painted[10, 10], PALETTE[1])


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (5, 5), (12, 12), (13, 7), (24, 12),
                                             (100, 7), (1000, 8)])
def test_a_contact_sheet_holds_evenly_spaced_frames(count: int, kept: int) -> None:
    sheet = ContactSheet(columns=4, rows=3, cell_width=40)
    for index in range(count):
        sheet.add(np.full((30, 40, 3), index % 251, np.uint8))
    assert len(sheet._kept) == kept <= 12
    rows = -(-kept // 4)
    assert sheet.image().shape == (rows * 30, min(kept, 4) * 40, 3)
    values = [int(cell[-1, -1, 0]) for cell in sheet._kept]
    step = 2 ** max(0, int(np.ceil(np.log2(count / 12))))
    assert values == [index % 251 for index in range(0, count, step)]


def test_an_empty_contact_sheet_is_an_error() -> None:
    with pytest.raises(FrameError, match="no frame"):
        ContactSheet().image()


@pytest.mark.parametrize(("scale", "thickness"), [(0.45, 1), (0.7, 2)])
def test_the_rim_of_a_caption_is_around_its_letters(scale: float, thickness: int) -> None:
    picture = np.full((40, 300, 3), 128, np.uint8)
    draw_caption(picture, "000483 the cup", (8, 26), scale, thickness)
    ends = [np.flatnonzero(found.any(axis=(0, 2)))[[0, -1]]
            for found in (picture > 160, picture < 96)]
    assert np.abs(ends[0] - ends[1]).max() <= 3, ends
