"""From camera frames to training input: sizes, augmentation, normalisation.

Sizes follow docs/model.md, 6.5. The published inference rounds differently
(`streaming.image_ops.input_size`): the two rules differ by a pixel row on common formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from samwise_ros.structures import IMAGENET_MEAN, IMAGENET_STD, ConfigError

VIDEO_SIDES = (320, 392, 448, 480, 512, 640, 720)  # short sides of the augmented video recipe
IMAGE_SIDES = tuple(range(480, 769, 32))  # and of the augmented image recipe


def training_size(height: int, width: int, short_side: int, max_side: int) -> tuple[int, int]:
    """(h, w) that the training recipes resize a frame to; 480x854 gives 576x1024 for 1024, 1024.

    The long side may exceed `max_side` by a few pixels for very wide frames, as published.
    """
    short, long = min(height, width), max(height, width)
    if long / short * short_side > max_side:
        short_side = round(max_side * short / long)
    new_long = int(short_side * long / short)
    return (short_side, new_long) if height <= width else (new_long, short_side)


def normalise(frames: Tensor) -> Tensor:
    """[T, 3, H, W] of 0..1 to the statistics that the trunk was trained with."""
    mean = frames.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    return (frames - mean) / frames.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)


def normalise_caption(text: str) -> str:
    """Lower case, white space collapsed: what the video recipes train on (never at inference)."""
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class ClipTransform:
    """Resize, optionally distort, and normalise the frames of one clip.

    Attributes:
        max_side: Longest side of the result (the model's image size).
        short_sides: One of these is drawn per clip as short side; default: `max_side`, so that the
            longest side decides.
        photometric: Distort colours, each frame anew.
    """

    max_side: int = 1024
    short_sides: tuple[int, ...] = ()
    photometric: bool = False

    def __post_init__(self) -> None:
        if self.max_side < 1 or any(side < 1 for side in self.short_sides):
            raise ConfigError("transform: expected positive sides, got "
                              f"{self.max_side} and {self.short_sides}")

    def __call__(self, frames: Sequence[np.ndarray], masks: np.ndarray,
                 rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Apply to one clip.

        Args:
            frames: T arrays uint8 [H, W, 3] RGB of one size.
            masks: bool [T, H, W].
            rng: Source of randomness.

        Returns:
            float32 [T, 3, h, w] normalised, and bool [T, h, w].
        """
        short = int(rng.choice(self.short_sides)) if self.short_sides else self.max_side
        height, width = masks.shape[1:]
        size = training_size(height, width, short, self.max_side)
        if self.photometric:
            frames = [distort_colours(frame, rng) for frame in frames]
        pixels = np.stack([_resize_frame(frame, size) for frame in frames])
        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255.0)
        resized = np.stack([_resize_mask(mask, size) for mask in masks])
        return normalise(tensor), torch.from_numpy(resized)


def video_transform(max_side: int = 1024, augment: bool = False) -> ClipTransform:
    """The recipe of the video sets; `augment` is the published `--augm_resize`."""
    return ClipTransform(max_side, VIDEO_SIDES if augment else (), augment)


def image_transform(max_side: int = 1024, augment: bool = False) -> ClipTransform:
    """The recipe of RefCOCO/+/g; its augmentation changes sizes only."""
    return ClipTransform(max_side, IMAGE_SIDES if augment else ())


def distort_colours(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation, hue and channel order, each changed with probability 0.5.

    Args:
        rgb: uint8 [H, W, 3].
        rng: Source of randomness.

    Returns:
        uint8 [H, W, 3]; contrast comes before or after the HSV part with equal probability.
    """
    image = rgb.astype(np.float32)
    if _coin(rng):
        image += rng.uniform(-32.0, 32.0)
    contrast_first = _coin(rng)
    if contrast_first and _coin(rng):
        image *= rng.uniform(0.5, 1.5)
    image = _distort_hsv(image, rng)
    if not contrast_first and _coin(rng):
        image *= rng.uniform(0.5, 1.5)
    if _coin(rng):
        image = image[..., rng.permutation(3)]
    return np.clip(image, 0, 255).astype(np.uint8)


def _distort_hsv(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Saturation times 0.5..1.5 and hue turned by up to 18 of 360 degrees."""
    # OpenCV expects values of one sign; an earlier brightness shift may have gone below zero.
    hsv = cv2.cvtColor(np.clip(image, 0, None).astype(np.float32), cv2.COLOR_RGB2HSV)
    if _coin(rng):
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.5), 0.0, 1.0)
    if _coin(rng):
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-18.0, 18.0)) % 360.0
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _coin(rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))


def _resize_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, 3] to [h, w, 3]; PIL's bilinear filter averages when it shrinks."""
    image = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool [H, W] to [h, w], nearest pixel."""
    image = Image.fromarray(mask.astype(np.uint8)).resize((size[1], size[0]),
                                                          Image.Resampling.NEAREST)
    return np.asarray(image) > 0
