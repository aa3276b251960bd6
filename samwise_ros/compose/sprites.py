"""Cut-outs made ready to paste: tilted, at the size in which they are needed, with soft edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from samwise_ros.compose.composition import Look, Placement
from samwise_ros.compose.library import PictureLibrary

SHADOW_SCALE = 4  # a shadow is this much coarser than its sprite
SHADOW_MARGIN = 12  # in the shadow's pixels


@dataclass(frozen=True)
class Sprite:
    """A cut-out at the largest size at which a clip shows it.

    Args:
        pixels: float32 [h, w, 4], RGB of 0..255 times alpha, alpha of 0..1.
        scale: its pixels per pixel of the world at path scale 1.
    """

    pixels: np.ndarray
    scale: float

    @cached_property
    def _levels(self) -> list[np.ndarray]:
        levels = [self.pixels]
        while min(levels[-1].shape[:2]) > 16 and len(levels) < 4:
            last = levels[-1]
            even = last[:last.shape[0] // 2 * 2, :last.shape[1] // 2 * 2]
            levels.append(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        return levels

    def level(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of a size that fits the map [2, 3], and the map from them: no aliasing."""
        shrink = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        step = int(np.clip(np.floor(-np.log2(max(shrink, 1e-6)) + 0.4), 0, len(self._levels) - 1))
        middle = (2 ** step - 1) / 2  # of the first coarse pixel, in fine ones
        shift = matrix[:, 2:] + matrix[:, :2] @ np.full((2, 1), middle)
        return self._levels[step], np.hstack([matrix[:, :2] * 2 ** step, shift])

    def shadow(self, look: Look) -> tuple[np.ndarray, np.ndarray]:
        """float32 [h', w'] of 0..1 and the [2, 3] map from it to the sprite's pixels."""
        height, width = self.pixels.shape[:2]
        linear = SHADOW_SCALE * np.eye(2)
        shift = np.full(2, -SHADOW_MARGIN * SHADOW_SCALE, float)
        if look.shadow_kind == "floor":  # lies flat, from the lower edge backwards
            slant = np.array([[1, -2 * look.shadow_shift[0]], [0, 0.3]])
            foot = np.array([0.0, height])
            return self._shade, np.hstack([slant @ linear,
                                           (slant @ (shift - foot) + foot)[:, None]])
        shift = shift + look.shadow_shift * max(height, width)
        return self._shade, np.hstack([linear, shift[:, None]])

    @cached_property
    def _shade(self) -> np.ndarray:
        size = [max(1, side // SHADOW_SCALE) for side in self.pixels.shape[1::-1]]
        alpha = cv2.resize(self.pixels[..., 3], size, interpolation=cv2.INTER_AREA)
        padded = np.pad(alpha, SHADOW_MARGIN)
        return cv2.GaussianBlur(padded, (0, 0), float(np.clip(max(size) / 20, 1, 4)))


def make_sprite(item: Placement, library: PictureLibrary, zoom: float) -> Sprite:
    """The sprite of a placement for a camera that magnifies by at most `zoom`."""
    source = library.cut_out(item.cut_out.path)
    source = source[:, ::-1] if item.look.flip else source
    if item.texture is not None:
        source = _textured(source, library.background(item.texture.path))
    pixels: np.ndarray = source.astype(np.float32)
    pixels[..., 3] /= 255
    pixels[..., :3] *= pixels[..., 3:]
    wanted = item.extent * float(item.path.scale.max()) * zoom
    shrink = min(1.0, wanted / max(pixels.shape[:2]))
    if shrink < 1:
        size = [max(4, round(side * shrink)) for side in pixels.shape[1::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    tilted = _softened(_tilted(pixels, item.look), item.look.feather)
    return Sprite(tilted, max(pixels.shape[:2]) / item.extent)


def _tilted(pixels: np.ndarray, look: Look) -> np.ndarray:
    """Sheared, turned and seen a little from the side, around the middle; nothing is cut off."""
    height, width = pixels.shape[:2]
    half = np.array([width, height]) / 2
    centre = np.array([[1, 0, -half[0]], [0, 1, -half[1]], [0, 0, 1.0]])
    bent = np.eye(3)
    bent[:2, :2] = look.tilt
    bent[2, :2] = np.clip(look.bend, -0.2, 0.2) / half / 2
    matrix = bent @ centre
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    corners = corners[:2] / corners[2]
    low, high = np.floor(corners.min(1)) - 1, np.ceil(corners.max(1)) + 1
    move = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    size = [int(side) for side in high - low]
    return cv2.warpPerspective(np.ascontiguousarray(pixels), move @ matrix, size,
                               flags=cv2.INTER_LINEAR)


def _softened(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Takes a blurred outline where it is less than the present one: fringes go, nothing grows."""
    alpha = pixels[..., 3]
    soft = np.minimum(alpha, cv2.GaussianBlur(alpha, (0, 0), sigma))
    return pixels * (soft / np.maximum(alpha, 1e-6))[..., None]


def _textured(source: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The outline of a cut-out, filled with pixels of another picture."""
    height, width = source.shape[:2]
    scale = max(height / picture.shape[0], width / picture.shape[1])
    filling = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) \
        if scale > 0.5 else picture
    filling = filling[-height:, -width:]
    return np.concatenate([filling, source[..., 3:]], axis=2)
