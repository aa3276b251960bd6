"""Camera frames to model input, and mask logits back to camera size.

The published path (docs/model.md, 1.2) resizes with PIL, antialiased, keeps the
aspect ratio, and pads with zeros after normalisation, which is the data set's mean colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from samwise_ros.config import GRID, Fit, ModelConfig
from samwise_ros.model.uploads import upload
from samwise_ros.structures import IMAGENET_MEAN, IMAGENET_STD, Box, FrameError

_MAX_ASPECT = 16


@dataclass(frozen=True)
class InputSize:
    """Sizes on a frame's way into the model, all (height, width) in pixels.

    Attributes:
        camera: The frame.
        resized: The frame after resizing.
        padded: The model input; equals `resized` for fit "rectangle".
    """

    camera: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]


def input_size(camera: tuple[int, int], image_size: int, fit: Fit) -> InputSize:
    """How a camera frame of (H, W) pixels is brought to the model's input size.

    "pad" follows the official inference rule: short side to 1020/1024 of the input side unless the
    long side would exceed it. "rectangle": long side `image_size`, short side the nearest multiple
    of 64 that keeps the aspect ratio best.

    Raises:
        FrameError: A side is zero or the frame is more than 16 times longer than wide.
    """
    height, width = camera
    if min(height, width) < 1 or max(height, width) > _MAX_ASPECT * min(height, width):
        raise FrameError(f"frame of {width}x{height} pixels: expected both sides >= 1 and an "
                         f"aspect ratio of at most {_MAX_ASPECT}; check the camera's image size")
    short, long = min(camera), max(camera)
    if fit == "rectangle":
        new_short = max(GRID, round(image_size * short / long / GRID) * GRID)
        resized = (new_short, image_size) if height <= width else (image_size, new_short)
        return InputSize(camera, resized, resized)
    target = image_size * 1020 // 1024
    new_short, new_long = target, int(target * long / short)
    if new_long > image_size:
        new_short, new_long = int(image_size * target / new_long), image_size
    new_short = max(1, new_short)
    resized = (new_short, new_long) if height <= width else (new_long, new_short)
    return InputSize(camera, resized, (image_size, image_size))


def check_frame(rgb: np.ndarray) -> None:
    """Raise FrameError unless `rgb` is uint8 [H, W, 3] with H, W >= 1."""
    if not isinstance(rgb, np.ndarray):
        raise FrameError(f"frame: expected a NumPy array, got {type(rgb).__name__}")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise FrameError("frame: expected uint8 RGB of shape [H, W, 3], got "
                         f"{rgb.dtype} {list(rgb.shape)}; convert the image first")


def prepare_frame(rgb: np.ndarray, config: ModelConfig, *, fast: bool = False,
                  device: torch.device | str = "cpu") -> tuple[Tensor, InputSize]:
    """Resize, normalise, pad.

    Args:
        rgb: uint8 [H, W, 3]; not changed.
        config: Gives `image_size` and `fit`.
        fast: Resize with OpenCV (area when shrinking, bilinear when growing) instead of PIL's
            antialiased bilinear filter: about 3 times quicker, pixels differ by a few grey levels.
        device: Where the result goes; normalisation runs there.

    Returns:
        float32 [3, S_h, S_w] and the sizes needed to go back.
    """
    check_frame(rgb)
    size = input_size(rgb.shape[:2], config.image_size, config.fit)
    height, width = size.resized
    if fast:
        shrink = height * width < rgb.shape[0] * rgb.shape[1]
        resized = cv2.resize(rgb, (width, height),
                             interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    else:
        resized = np.asarray(Image.fromarray(rgb).resize((width, height),
                                                         Image.Resampling.BILINEAR))
    device = torch.device(device)
    pixels = upload(torch.from_numpy(np.array(resized)), device).permute(2, 0, 1).float() / 255
    mean, std = _normalisation(device)
    pixels = (pixels - mean) / std
    return F.pad(pixels, (0, size.padded[1] - width, 0, size.padded[0] - height)), size


@lru_cache(maxsize=8)
def _normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [3, 1, 1]."""
    with torch.inference_mode(False):  # kept for all callers
        return (upload(torch.tensor(IMAGENET_MEAN), device).view(3, 1, 1),
                upload(torch.tensor(IMAGENET_STD), device).view(3, 1, 1))


def restore_logits(high_res: Tensor, size: InputSize) -> Tensor:
    """Mask logits [N, S_h, S_w] -> [N, H, W] at camera size (crop the padding, then bilinear)."""
    cropped = high_res[:, None, : size.resized[0], : size.resized[1]]
    return F.interpolate(cropped, size.camera, mode="bilinear", align_corners=False)[:, 0]


def logit_threshold(probability: float) -> float:
    """The logit of a probability: comparing logits saves the sigmoid."""
    return float(np.log(probability) - np.log1p(-probability))


def tight_box(mask: np.ndarray) -> Box | None:
    """Tight box of a bool [H, W] mask, None when it is empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    if columns.size == 0:
        return None
    rows = np.flatnonzero(mask.any(axis=1))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
