"""What people look at: masks painted into frames, contact sheets, legends. No torch, no ROS.

All pictures are uint8 [H, W, 3] RGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from samwise_ros.structures import Box, FrameError, SamwiseError

# Okabe and Ito's colours, told apart with every common kind of colour blindness; black left out.
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
           (213, 94, 0), (204, 121, 167))
_OPACITY = 0.5  # of the tint
_JPEG_QUALITY = 80


def colour_of(index: int) -> tuple[int, int, int]:
    """RGB colour of target number `index`, counted from 0; repeats after seven."""
    return PALETTE[index % len(PALETTE)]


def paint_masks(rgb: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Copy of a frame with bool [H, W] masks blended in, each with its colour and outline."""
    painted = rgb.copy()
    for index, mask in enumerate(masks):
        paint_mask(painted, mask, colour_of(index))
    return painted


def paint_mask(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int],
               box: Box | None = None) -> None:
    """Blend a mask into a picture, with its outline.

    Args:
        picture: Written to.
        mask: bool [H, W].
        colour: RGB.
        box: Box of the mask, outside of which nothing needs to be looked at; None: the whole.
    """
    box = box or Box(0, 0, mask.shape[1], mask.shape[0])
    part = picture[box.y0:box.y1, box.x0:box.x1]
    inside = np.ascontiguousarray(mask[box.y0:box.y1, box.x0:box.x1]).view(np.uint8)
    flat = np.empty_like(part)
    flat[:] = colour
    cv2.copyTo(cv2.addWeighted(part, 1 - _OPACITY, flat, _OPACITY, 0), inside, part)
    outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, colour, 1, offset=(box.x0, box.y0))


def encode_jpeg(rgb: np.ndarray) -> bytes:
    """uint8 [H, W, 3] RGB -> JPEG. Raises SamwiseError where OpenCV can't (sides above 65500)."""
    try:
        encoded, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR),
                                     [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    except cv2.error as error:
        raise SamwiseError(f"picture of {rgb.shape[1]}x{rgb.shape[0]} pixels: {error}") from error
    if not encoded:
        raise SamwiseError(f"picture of {rgb.shape[1]}x{rgb.shape[0]} pixels: not a JPEG size")
    return data.tobytes()


def draw_caption(picture: np.ndarray, text: str, place: tuple[int, int], scale: float,
                 thickness: int = 1) -> None:
    """Write white letters with a black rim into uint8 [H, W, 3], from x and y of their foot on.

    The rim is made of shifted letters: thicker ones of OpenCV 5 are wider, too.
    """
    x, y = place
    rim = [(x + right, y + down, (0, 0, 0)) for right in (-1, 0, 1) for down in (-1, 0, 1)]
    for right, down, colour in (*rim, (x, y, (255, 255, 255))):
        cv2.putText(picture, _drawable(text), (right, down), cv2.FONT_HERSHEY_SIMPLEX, scale,
                    colour, thickness, cv2.LINE_AA)


class ContactSheet:
    """Thumbnails of evenly spaced frames of a video of unknown length, in bounded memory.

    Every second kept frame is dropped, and the step doubled, whenever the sheet is full.
    """

    def __init__(self, columns: int = 4, rows: int = 3, cell_width: int = 320) -> None:
        self._columns, self._limit, self._cell_width = columns, columns * rows, cell_width
        self._kept: list[np.ndarray] = []
        self._step, self._seen, self._cell_height = 1, 0, 0

    def add(self, rgb: np.ndarray, caption: str = "") -> None:
        """Offer the next frame, with a caption for its top left corner."""
        wanted = self._seen % self._step == 0
        self._seen += 1
        if not wanted:
            return
        if len(self._kept) == self._limit:
            self._kept, self._step = self._kept[::2], self._step * 2
            if (self._seen - 1) % self._step:
                return
        self._kept.append(self._thumbnail(rgb, caption))

    def image(self) -> np.ndarray:
        """The sheet, uint8 [H, W, 3] RGB. Raises FrameError when no frame was added."""
        if not self._kept:
            raise FrameError("contact sheet: there was no frame")
        blank = np.full_like(self._kept[0], 255)
        columns = min(self._columns, len(self._kept))
        cells = self._kept + [blank] * (-len(self._kept) % columns)
        return np.concatenate([np.concatenate(cells[start : start + columns], axis=1)
                               for start in range(0, len(cells), columns)])

    def _thumbnail(self, rgb: np.ndarray, caption: str) -> np.ndarray:
        if self._cell_height == 0:
            height = round(self._cell_width * rgb.shape[0] / rgb.shape[1])
            self._cell_height = min(max(height, 24), 2 * self._cell_width)
        cell = cv2.resize(rgb, (self._cell_width, self._cell_height),
                          interpolation=cv2.INTER_AREA)
        draw_caption(cell, caption, (5, 16), 0.45)
        return cell


def legend(width: int, sentences: Sequence[str]) -> np.ndarray:
    """White strip, uint8 [H, width, 3]: each sentence behind a patch of its target's colour."""
    line = 22
    strip = np.full((line * len(sentences) + 6, width, 3), 255, np.uint8)
    for index, sentence in enumerate(sentences):
        top = index * line + 5
        strip[top : top + 14, 6:20] = colour_of(index)
        cv2.putText(strip, _drawable(sentence), (28, top + 12),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.48, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _drawable(text: str) -> str:
    """OpenCV's font is ASCII; anything else, undecodable bytes of file names too, becomes "?"."""
    return text.encode("ascii", "replace").decode()
