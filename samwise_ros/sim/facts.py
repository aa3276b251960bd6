"""What was true in a clip, per object and frame: the ground on which expressions are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from samwise_ros.sim.content import ObjectContent

# A target smaller than this many pixels at 320 x 240 counts as not visible to a person.
VISIBLE_PIXELS_AT_320 = 150


def visible_threshold(width: int, height: int) -> float:
    """Fewest pixels with which an object counts as visible, scaled by the image area."""
    return VISIBLE_PIXELS_AT_320 * width * height / (320 * 240)


@dataclass(frozen=True)
class LateTarget:
    """The parts in a scene of `late_target`.

    Args:
        target, distractor: object indices.
        entry: first frame on which the target is visible.
    """

    target: int
    distractor: int
    entry: int


@dataclass(frozen=True)
class ClipFacts:
    """Measured facts of a clip with T frames and O objects.

    Args:
        objects: class, colour and size of each object, length O.
        tags: per object the motion tags that are true of it (see `motions`).
        possible_tags: per object tags that a person might also grant it.
        pixels: [T, O] int, size of the instance mask.
        centres: [T, O, 2] float, pixel column and row of the projected object middle.
        depths: [T, O] float, depth [m] of the object middle along the optical axis.
        positions: [T, O, 3] float, object middle in the world frame [m].
        width, height: image size [px].
        arm: the robot arm is in the scene (nobody should be told that there is no robot).
    """

    objects: Sequence[ObjectContent]
    tags: Sequence[frozenset[str]]
    possible_tags: Sequence[frozenset[str]]
    pixels: np.ndarray
    centres: np.ndarray
    depths: np.ndarray
    positions: np.ndarray
    width: int
    height: int
    arm: bool = False

    @cached_property
    def visible(self) -> np.ndarray:
        """[T, O] bool: large enough in the picture to be pointed at."""
        return self.pixels >= visible_threshold(self.width, self.height)

    def always_visible(self, indices: Sequence[int]) -> bool:
        """True if all of these objects are visible in every frame."""
        return bool(self.visible[:, list(indices)].all())

    def ever_visible(self, index: int) -> bool:
        """True if the object is visible in some frame."""
        return bool(self.visible[:, index].any())

    def since(self, frame: int) -> ClipFacts:
        """The facts of the frames from `frame` on."""
        return replace(self, pixels=self.pixels[frame:], centres=self.centres[frame:],
                       depths=self.depths[frame:], positions=self.positions[frame:])

    def members(self, colour: str | None = None, class_name: str | None = None) -> list[int]:
        """Indices of the objects with this colour and class (None: any)."""
        return [
            index
            for index, item in enumerate(self.objects)
            if colour in (None, item.colour) and class_name in (None, item.class_name)
        ]
