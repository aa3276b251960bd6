"""Paints a planned clip, frame by frame, and knows exactly which pixel belongs to which object."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from samwise_ros.compose.catalogue import native_labels
from samwise_ros.compose.composition import Finish, Placement, ScenePlan
from samwise_ros.compose.library import PictureLibrary
from samwise_ros.compose.sprites import Sprite, make_sprite

HALF = 0.5  # a pixel belongs to what covers at least this share of it


@dataclass(frozen=True)
class Rendered:
    """A painted clip with O objects: the background's own, then placements that are no decoys.

    Args:
        frames: uint8 [T, H, W, 3] RGB.
        labels: uint8 [T, H, W], object number + 1 of what is seen, 0 elsewhere.
        covered: [T, O] int, pixels of the object if nothing stood before it.
        natives: [N, 2] float, middles of the background's own objects in the world [px].
    """

    frames: np.ndarray
    labels: np.ndarray
    covered: np.ndarray
    natives: np.ndarray


def render(plan: ScenePlan, library: PictureLibrary, rng: np.random.Generator) -> Rendered:
    """Paints all frames of a plan; `rng` draws the noise."""
    size = (plan.settings.frames, plan.settings.height, plan.settings.width)
    numbers = _object_numbers(plan)
    backdrop, base = _backdrop(plan, library)
    own = _own_labels(plan, backdrop.shape[:2])
    zoom = float(np.abs(np.linalg.det(plan.views[:, :, :2])).max()) ** 0.5
    sprites = [make_sprite(item, library, zoom) for item in plan.placements]
    gains = [_match_gain(item, sprite, backdrop, base)
             for item, sprite in zip(plan.placements, sprites)]
    frames = np.zeros((*size, 3), np.uint8)
    labels = np.zeros(size, np.uint8)
    known = len(plan.background.natives)
    covered = np.zeros((size[0], max([known, *numbers])), int)
    for index, view in enumerate(plan.views):
        picture = cv2.warpAffine(backdrop, _compose(view, base), size[:0:-1],
                                 flags=cv2.INTER_LINEAR,
                                 borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
        if known:
            labels[index] = cv2.warpAffine(own, _compose(view, base), size[:0:-1],
                                           flags=cv2.INTER_NEAREST,
                                           borderMode=cv2.BORDER_REFLECT_101)
            covered[index, :known] = np.bincount(labels[index].ravel(),
                                                 minlength=known + 1)[1:known + 1]
        for item, sprite, gain, number in zip(plan.placements, sprites, gains, numbers):
            matrix = _compose(view, placed(item, sprite, index))
            if item.look.shadow:
                _cast(picture, sprite, item, matrix)
            pixels = _paste(picture, labels[index], sprite, matrix, gain, number)
            if number:
                covered[index, number - 1] = pixels
        frames[index] = finished(picture, plan.finish, rng)
    return Rendered(frames, labels, covered, _middles(own, known) @ base[:, :2] + base[:, 2])


def placed(item: Placement, sprite: Sprite, frame: int) -> np.ndarray:
    """[2, 3] map from the sprite's pixels to the world's on one frame."""
    turn = np.deg2rad(item.path.angle[frame])
    scale = item.path.scale[frame] / sprite.scale
    linear = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    middle = np.array(sprite.pixels.shape[1::-1]) / 2
    return np.hstack([linear, (item.path.position[frame] - linear @ middle)[:, None]])


def finished(picture: np.ndarray, finish: Finish, rng: np.random.Generator) -> np.ndarray:
    """uint8: blur, exposure and noise over a float picture [H, W, 3] of 0..255."""
    if finish.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), finish.blur)
    picture = np.clip(picture * finish.gain.astype(np.float32), 0, 255)
    levels = (255 * (np.arange(256) / 255) ** finish.gamma).astype(np.float32)
    picture = cv2.LUT(picture.astype(np.uint8), levels)
    if finish.noise:
        noise = rng.standard_normal(picture.shape, np.float32)
        picture = picture + noise * np.float32(finish.noise)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _object_numbers(plan: ScenePlan) -> list[int]:
    """Number of each placement among the objects, after the background's own; 0 for decoys."""
    numbers, last = [], len(plan.background.natives)
    for item in plan.placements:
        last += item.texture is None
        numbers.append(0 if item.texture is not None else last)
    return numbers


def _backdrop(plan: ScenePlan, library: PictureLibrary) -> tuple[np.ndarray, np.ndarray]:
    """The background, not much finer than the picture, and its [2, 3] map to the world."""
    picture = library.background(plan.background.path)
    if plan.mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
    height, width = picture.shape[:2]
    x, y, across, _ = plan.crop
    # As large as the crop asks for, but never so small that the picture is not filled.
    scale = max(plan.settings.width / (across * width), plan.settings.height / (across * height))
    if scale < 0.8:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scale = 1.0
    room = np.array(picture.shape[1::-1]) * scale - [plan.settings.width, plan.settings.height]
    spare = max(1 - across, 1e-6)
    shift = -room * [x / spare, y / spare]
    return picture, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _own_labels(plan: ScenePlan, size: tuple[int, int]) -> np.ndarray:
    labels = native_labels(plan.background, size)
    return np.ascontiguousarray(labels[:, ::-1]) if plan.mirrored else labels


def _middles(labels: np.ndarray, count: int) -> np.ndarray:
    """[count, 2]: mean column and row of each number in a label map."""
    places = [np.argwhere(labels == number)[:, ::-1] for number in range(1, count + 1)]
    return np.array([place.mean(0) if len(place) else np.zeros(2) for place in places]
                    ).reshape(-1, 2)


def _match_gain(item: Placement, sprite: Sprite, backdrop: np.ndarray,
                base: np.ndarray) -> np.ndarray:
    """[3] float32: factor on the sprite's colours, drawn part of the way to what is behind it."""
    column, row = (item.path.position[len(item.path.position) // 2] - base[:, 2]) / base[0, 0]
    reach = max(4, int(item.extent / 2 / base[0, 0]))
    height, width = backdrop.shape[:2]
    top, left = int(np.clip(row - reach, 0, height - 2)), int(np.clip(column - reach, 0, width - 2))
    behind = backdrop[top:top + 2 * reach:2, left:left + 2 * reach:2].mean() + 20
    own = sprite.pixels[..., :3].sum() / max(1.0, 3 * sprite.pixels[..., 3].sum()) + 20
    gain = np.clip(behind / own, 0.5, 1.6) ** item.look.match
    return (item.look.gain * gain).astype(np.float32)


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    return np.hstack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]])


def _window(matrix: np.ndarray, size: tuple[int, int], picture: np.ndarray,
            ) -> tuple[slice, slice, np.ndarray] | None:
    """The part of the picture that a warped source of `size` (w, h) can touch; the map to it."""
    width, height = size
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    low = np.floor(corners.min(1)).astype(int) - 1
    high = np.ceil(corners.max(1)).astype(int) + 2
    low = np.maximum(low, 0)
    high = np.minimum(high, picture.shape[1::-1])
    if (high <= low).any():
        return None
    return (slice(low[1], high[1]), slice(low[0], high[0]),
            matrix - np.array([[0, 0, low[0]], [0, 0, low[1]]]))


def _paste(picture: np.ndarray, labels: np.ndarray, sprite: Sprite, matrix: np.ndarray,
           gain: np.ndarray, number: int) -> int:
    """Paints one sprite into picture and labels, in place; its pixels with nothing before it."""
    pixels, matrix = sprite.level(matrix)
    window = _window(matrix, pixels.shape[1::-1], picture)
    if window is None:
        return 0
    rows, columns, inner = window
    target = picture[rows, columns]
    layer = cv2.warpAffine(pixels, inner, target.shape[1::-1], flags=cv2.INTER_LINEAR)
    alpha = layer[..., 3:]
    target *= 1 - alpha
    target += np.minimum(layer[..., :3] * gain, 255 * alpha)
    solid = alpha[..., 0] >= HALF
    labels[rows, columns][solid] = number
    return int(solid.sum())


def _cast(picture: np.ndarray, sprite: Sprite, item: Placement, matrix: np.ndarray) -> None:
    """Darkens the picture under the sprite, in place."""
    shade, to_sprite = sprite.shadow(item.look)
    window = _window(_compose(matrix, to_sprite), shade.shape[1::-1], picture)
    if window is None:
        return
    rows, columns, inner = window
    target = picture[rows, columns]
    layer = cv2.warpAffine(shade, inner, target.shape[1::-1], flags=cv2.INTER_LINEAR)
    target *= 1 - np.float32(item.look.shadow) * layer[..., None]
