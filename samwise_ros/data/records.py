"""Records that every data set reader returns, and the contract of a reader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samwise_ros.structures import DataError

KINDS = ("colour", "class", "colour_class", "relation", "motion", "absent")


@dataclass(frozen=True)
class ExpressionRecord:
    """One sentence about one video.

    Attributes:
        expression_id: Key of the expression inside its video.
        text: The sentence as stored (training normalises it, inference does not).
        object_ids: Objects meant, numbered inside the video; empty in splits without answers.
        anno_ids: Keys of their mask tracks (MeViS); empty where masks are found by object id.
        kind: One of KINDS in simulated data, else None.
    """

    expression_id: str
    text: str
    object_ids: tuple[int, ...] = ()
    anno_ids: tuple[str, ...] = ()
    kind: str | None = None


@dataclass(frozen=True)
class VideoRecord:
    """One video: its frame names in order and its expressions.

    `scene` holds the simulator's facts about the scene; empty for recorded videos.
    """

    name: str
    frames: tuple[str, ...]
    expressions: tuple[ExpressionRecord, ...]
    scene: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def expression_ids(self) -> tuple[str, ...]:
        """Ids of all expressions in file order."""
        return tuple(expression.expression_id for expression in self.expressions)


@dataclass(frozen=True)
class ClipSample:
    """What one training item holds.

    Attributes:
        frames: float32 [T, 3, H, W] RGB in 0..1, or normalised where the transform does that.
        masks: bool [T, H, W] of what the expression refers to.
        expression: The sentence.
        video: Name of the video or image.
        expression_id: Key of the expression in its video.
        frame_indices: Position of each frame in its video, T numbers, rising.
    """

    frames: Tensor
    masks: Tensor
    expression: str
    video: str
    expression_id: str
    frame_indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[1] != 3:
            raise DataError(f"frames: expected [T, 3, H, W], got {tuple(self.frames.shape)}")
        expected = (self.frames.shape[0], *self.frames.shape[2:])
        if tuple(self.masks.shape) != expected or self.masks.dtype != torch.bool:
            raise DataError(f"masks: expected bool {expected}, got {self.masks.dtype} "
                            f"{tuple(self.masks.shape)}")
        if len(self.frame_indices) != len(self.frames):
            raise DataError(f"frame_indices: expected {len(self.frames)} numbers, "
                            f"got {len(self.frame_indices)}")


class VideoSource(ABC):
    """A data set of videos with expressions. Readers open files lazily and hold no file handles,
    so a source can be used in any number of loader processes.
    """

    root: Path
    videos: tuple[VideoRecord, ...]

    @abstractmethod
    def frame_path(self, video: VideoRecord, index: int) -> Path:
        """Path of the image of frame `index`."""

    @abstractmethod
    def masks(self, video: VideoRecord, expression: ExpressionRecord,
              indices: Sequence[int]) -> np.ndarray:
        """bool [T, H, W]: what the expression refers to on the frames `indices`.

        Raises DataError when a mask is missing or broken, or the split has none.
        """

    def frame(self, video: VideoRecord, index: int) -> np.ndarray:
        """uint8 [H, W, 3] RGB of frame `index`. Raises DataError."""
        from samwise_ros.data.files import read_rgb

        return read_rgb(self.frame_path(video, index))

    def video(self, name: str) -> VideoRecord:
        """The record of one video. Raises DataError for an unknown name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise DataError(f"{self.root}: no video named {name!r} among {len(self.videos)}"
                            ) from None

    @cached_property
    def _by_name(self) -> dict[str, VideoRecord]:
        return {video.name: video for video in self.videos}
