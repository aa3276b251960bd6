"""A seeded part of a data set, for evaluations that must be quick."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samwise_ros.data.reader import KINDS, VideoRecord
from samwise_ros.structures import ConfigError


@dataclass(frozen=True)
class Selection:
    """Which part of a data set is evaluated; the same seed always gives the same part.

    Attributes:
        max_videos: Number of videos drawn; None takes all.
        max_expressions_per_kind: Number of expressions drawn per kind over those videos (recorded
            data count as one kind); None takes all.
        seed: Seed of both draws.
        kinds: Keep expressions of these kinds only (simulated data); None keeps all.
    """

    max_videos: int | None = None
    max_expressions_per_kind: int | None = None
    seed: int = 0
    kinds: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("max_videos", "max_expressions_per_kind"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: expected >= 1, got {value}")
        unknown = sorted(set(self.kinds or ()) - set(KINDS))
        if unknown:
            raise ConfigError(f"kinds: expected some of {', '.join(KINDS)}, got "
                              f"{', '.join(map(repr, unknown))}")

    def apply(self, videos: Sequence[VideoRecord]) -> list[VideoRecord]:
        """Chosen videos in their order, each with its chosen expressions; none without any."""
        rng = np.random.default_rng(self.seed)
        if self.max_videos is not None and self.max_videos < len(videos):
            rows = sorted(rng.choice(len(videos), self.max_videos, replace=False))
            videos = [videos[row] for row in rows]
        if self.kinds is not None:
            videos = [kept for video in videos
                      if (kept := _of_kinds(video, self.kinds)).expressions]
        if self.max_expressions_per_kind is None:
            return list(videos)
        by_kind: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, video in enumerate(videos):
            for column, expression in enumerate(video.expressions):
                by_kind[expression.kind or ""].append((row, column))
        chosen: dict[int, list[int]] = defaultdict(list)
        for kind in sorted(by_kind):
            places = by_kind[kind]
            for pick in rng.permutation(len(places))[:self.max_expressions_per_kind]:
                row, column = places[pick]
                chosen[row].append(column)
        return [dataclasses.replace(videos[row], expressions=tuple(
            videos[row].expressions[column] for column in sorted(chosen[row])))
            for row in sorted(chosen)]


def _of_kinds(video: VideoRecord, kinds: tuple[str, ...]) -> VideoRecord:
    return dataclasses.replace(video, expressions=tuple(
        expression for expression in video.expressions if expression.kind in kinds))
