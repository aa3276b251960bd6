"""Records that every data set reader returns, and the contract of a reader.

Readers do not need torch, so that processes that only read and pack start quickly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from samwise_ros.structures import DataError

KINDS = ("colour", "class", "colour_class", "relation", "motion", "absent")


@dataclass(frozen=True)
class Phrases:
    """Where in a sentence its objects are named, in composed data.

    Attributes:
        noun: (start, end) characters of the noun phrase that names the target, without article and
            adjectives.
        anchors: The same for every other object that the sentence names.
        named: The noun is a name or kind, not a word such as "thing".
        form: Finer than `kind`: "synonym", "hypernym", "size", "side", "between", ...
    """

    noun: tuple[int, int]
    anchors: tuple[tuple[int, int], ...] = ()
    named: bool = True
    form: str = ""


@dataclass(frozen=True)
class ExpressionRecord:
    """One sentence about one video.

    Attributes:
        expression_id: Key of the expression inside its video.
        text: The sentence as stored (training normalises it, inference does not).
        object_ids: Objects meant, numbered inside the video; empty in splits without answers.
        anno_ids: Keys of their mask tracks (MeViS); empty where masks are found by object id.
        kind: One of KINDS in simulated and composed data, else None.
        phrases: Where its nouns stand, in composed data, else None.
        answered: What it refers to is known; without objects that is nothing, on every frame.
    """

    expression_id: str
    text: str
    object_ids: tuple[int, ...] = ()
    anno_ids: tuple[str, ...] = ()
    kind: str | None = None
    phrases: Phrases | None = None
    answered: bool = False


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


class VideoSource(ABC):
    """A data set of videos with expressions.

    Readers open files lazily and hold no file handles, so a source can be used in any number of
    loader processes.
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
