"""What is shown of targets: checked, and brought from the camera image into the model's input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from samwise_ros.config import Shown
from samwise_ros.streaming.grab import grab
from samwise_ros.structures import CommandError, Prompt

if TYPE_CHECKING:  # commands are read without torch
    import torch

    from samwise_ros.model.prompts import VisualPrompt
    from samwise_ros.streaming.image_ops import InputSize

_MOST_POINTS = 64  # SAM 2 was trained with less than ten
_ROUNDING = 1e-6  # seconds: of today's time a float has fewer digits than a stamp


def check_prompt(prompt: Prompt, size: tuple[int, int] | None = None) -> None:
    """Raise CommandError, which says why, for a prompt that shows nothing.

    Args:
        prompt: To be checked.
        size: (H, W) of the camera image, where it is known.
    """
    points, box, mask = prompt.points, prompt.box, prompt.mask
    if mask is not None:
        if points or box:
            raise CommandError("prompt: a mask goes with neither points nor a box; send it alone")
        _check_mask(mask, size)
        return
    if not points and box is None:
        raise CommandError("prompt: expected a point, a box or a mask")
    if len(points) > _MOST_POINTS or len(prompt.beside) not in (0, len(points)):
        raise CommandError(f"prompt: expected at most {_MOST_POINTS} points and one label for "
                           f"each, got {len(points)} points and {len(prompt.beside)} labels")
    if box is None and prompt.beside and all(prompt.beside):
        raise CommandError("prompt: all points lie beside the target; give one on it, too")
    if box is not None and not (box[0] < box[2] and box[1] < box[3]):
        raise CommandError("prompt: expected a box x0, y0, x1, y1 with x0 < x1 and y0 < y1, got "
                           + ", ".join(f"{value:g}" for value in box))
    for x, y in points:
        if size is not None and not (-0.5 <= x < size[1] - 0.5 and -0.5 <= y < size[0] - 0.5):
            raise CommandError(f"prompt: point ({x:g}, {y:g}) is outside the image of "
                               f"{size[1]}x{size[0]} pixels")
    if not all(map(math.isfinite, (*(value for point in points for value in point),
                                   *(box or ())))):
        raise CommandError("prompt: expected finite pixel coordinates")
    if box is not None and size is not None and not (
            box[0] < size[1] and box[1] < size[0] and box[2] > 0 and box[3] > 0):
        raise CommandError(f"prompt: the box is outside the image of {size[1]}x{size[0]} pixels")


def _check_mask(mask: np.ndarray, size: tuple[int, int] | None) -> None:
    if mask.dtype != bool or mask.ndim != 2:
        raise CommandError(f"prompt: expected a mask of bool [H, W], got {mask.dtype} "
                           f"{list(mask.shape)}")
    if not mask.any():
        raise CommandError("prompt: the mask is empty")
    if size is not None and mask.shape != size:
        raise CommandError(f"prompt: expected a mask of the image's size {size[1]}x{size[0]}, got "
                           f"{mask.shape[1]}x{mask.shape[0]}")


def check_trained(shown: Shown, name: str) -> None:
    """Raise CommandError where what is shown without a sentence would be lost on the next frame.

    Args:
        shown: `ModelConfig.shown`. name: Of the model.
    """
    if shown == "no":
        raise CommandError(f"prompt: {name} does not follow what is only shown. Say what it is, "
                           "too (a sentence beside the point, box or mask); without one the "
                           "models nano (toys) and mevis (published) follow it")


def check_age(prompt: Prompt, now: float | None, limit: float) -> None:
    """Raise CommandError for a prompt of another time than now: what it shows may have moved.

    Args:
        prompt: To be checked.
        now: Stamp of the newest frame in seconds, where there is one.
        limit: Seconds that they may differ; 0: any.
    """
    if now is None or prompt.stamp is None or not limit:
        return
    ago = now - prompt.stamp
    if not abs(ago) <= limit:
        side = "older" if ago > 0 else "newer"
        raise CommandError(f"prompt: its picture is {abs(ago):.1f} s {side} than the newest one, "
                           f"and at most {limit:g} s are taken: show the target again")


def is_early(prompt: Prompt, now: float | None) -> bool:
    """Whether a prompt belongs to a later frame than one of this stamp."""
    return now is not None and prompt.stamp is not None and now < prompt.stamp - _ROUNDING


def described(prompt: Prompt) -> str:
    """In a few words, for people."""
    if prompt.mask is not None:
        return "shown by a mask"
    box = "" if prompt.box is None else "the box " + ", ".join(f"{x:.0f}" for x in prompt.box)
    points = ", ".join(f"({x:.0f}, {y:.0f})" for x, y in prompt.points)
    return "shown by " + " and ".join(filter(None, (box, points and f"points {points}")))


def seconds_of(stamp: object) -> float | None:
    """The time in seconds that a frame's stamp says: a float, a ROS time, or a header with one.

    None for what says no time, as the number of a frame.
    """
    stamp = getattr(stamp, "stamp", stamp)
    if hasattr(stamp, "sec") and hasattr(stamp, "nanosec"):
        return float(stamp.sec + stamp.nanosec * 1e-9)
    return float(stamp) if isinstance(stamp, float) else None


def to_input(prompt: Prompt, rgb: np.ndarray, size: InputSize, shown: Shown,
             device: torch.device | str = "cpu") -> VisualPrompt:
    """A prompt in pixels of the camera image as one row in pixels of the model's input.

    Args:
        prompt: Of a target. rgb: The image. size: Its sizes.
        shown: `ModelConfig.shown`: where masks are all that the model knows, points and boxes
            become one by the picture's colours.
        device: Where the result goes.
    """
    import torch

    from samwise_ros.model.prompts import (
        BESIDE,
        LOWER_RIGHT,
        ON_TARGET,
        UPPER_LEFT,
        VisualPrompt,
    )
    from samwise_ros.model.uploads import upload

    mask = grab(rgb, prompt) if prompt.mask is None and shown == "masks" else prompt.mask
    if mask is not None:
        masks = upload(torch.from_numpy(_resized(mask, size))[None], device)
        return replace(VisualPrompt.nothing(1, device), masks=masks)
    box = prompt.box
    corners = () if box is None else ((box[0], box[1]), (box[2], box[3]))
    labels = [UPPER_LEFT, LOWER_RIGHT][: len(corners)]  # sam2 wants the box first
    beside = prompt.beside or (False,) * len(prompt.points)
    labels += [BESIDE if each else ON_TARGET for each in beside]
    scale = np.array(size.resized[::-1]) / size.camera[::-1]
    points = (np.array((*corners, *prompt.points)) + 0.5) * scale - 0.5
    return VisualPrompt(upload(torch.tensor(points, dtype=torch.float32)[None], device),
                        upload(torch.tensor(labels)[None], device))


def _resized(mask: np.ndarray, size: InputSize) -> np.ndarray:
    """bool [H, W] -> bool [S_h, S_w], with something left of what is thin."""
    height, width = size.resized
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    found = share >= 0.5 if (share >= 0.5).any() else share > 0
    return np.pad(found, ((0, size.padded[0] - height), (0, size.padded[1] - width)))
