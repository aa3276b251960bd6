"""Where the targets of an answered frame are, from its depth image and camera_info."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samwise_ros.messages.camera_model import Pinhole, pinhole_from_info
from samwise_ros.messages.image_codec import image_to_depth
from samwise_ros.messages.localization import (
    Localization,
    LocalizationSettings,
    TooFewPixelsError,
    localize,
)
from samwise_ros.structures import TargetResult

_NAMED = 2  # targets that one line names


@dataclass(frozen=True)
class PlacedTargets:
    """Targets in space.

    Attributes:
        found: Those with enough depth, in the order in which they were given.
        unplaced: Which have too little, and why; empty when all are placed.
        depth: uint16 [H, W] millimetres or float32 [H, W] metres.
        camera: Intrinsics of it.
    """

    found: tuple[tuple[TargetResult, Localization], ...]
    unplaced: str
    depth: np.ndarray
    camera: Pinhole

    def of(self, primary: tuple[str, int] | None) -> Localization | None:
        """The place of the target with this id and command number; None where it has none."""
        return next((place for target, place in self.found
                     if (target.target_id, target.command) == primary), None)


def place_targets(targets: Sequence[TargetResult], depth: Any, info: Any, rectified: bool,
                  settings: LocalizationSettings) -> PlacedTargets:
    """Place targets in the camera's optical frame.

    Args:
        targets: With masks.
        depth: sensor_msgs/Image, aligned with the masks' image.
        info: sensor_msgs/CameraInfo of that image.
        rectified: See `pinhole_from_info`.
        settings: How depth is taken.

    Raises SamwiseError when depth or info cannot be used.
    """
    camera, values = pinhole_from_info(info, rectified), image_to_depth(depth)
    found, unplaced = [], []
    for target in targets:
        try:
            found.append((target, localize(target.mask, values, camera, settings)))
        except TooFewPixelsError as error:
            unplaced.append(f"{target.target_id}: {error}")
    more = f"; and {len(unplaced) - _NAMED} more" if len(unplaced) > _NAMED else ""
    return PlacedTargets(tuple(found), "; ".join(unplaced[:_NAMED]) + more, values, camera)


def primary_key(targets: Sequence[TargetResult]) -> tuple[str, int] | None:
    """Id and command number of the primary target, whose pose is published."""
    return (targets[0].target_id, targets[0].command) if targets else None
