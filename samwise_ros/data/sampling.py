"""Which frames of a video make a training clip (docs/model.md, 6.5).

Both samplers return rising frame numbers around an anchor frame; near the ends of a video, and in
videos shorter than a clip, frames may repeat, exactly as in the published training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from samwise_ros.data.reader import VideoRecord
from samwise_ros.structures import ConfigError

SamplerName = Literal["local", "global"]
Sampler = Callable[[int, int, int, np.random.Generator], list[int]]


def clip_anchors(videos: Iterable[VideoRecord], num_frames: int) -> list[tuple[int, int, int]]:
    """(video row, expression row, anchor frame) of one epoch: anchors 0, T, 2T, ... below V."""
    return [(row, expression, anchor)
            for row, video in enumerate(videos)
            for expression in range(len(video.expressions))
            for anchor in range(0, len(video.frames), num_frames)]


def sample_local(anchor: int, num_frames: int, video_length: int,
                 rng: np.random.Generator) -> list[int]:
    """Frames near the anchor (Ref-YouTube-VOS).

    Args:
        anchor: Frame f around which to draw, 0 <= f < V.
        num_frames: T, length of the clip.
        video_length: V.
        rng: Source of randomness.
    """
    _check(anchor, num_frames, video_length)
    half = num_frames // 2
    before = range(max(anchor - num_frames, 0), anchor)
    after = range(anchor, min(anchor + num_frames, video_length))
    frames = _distinct(before, min(anchor, half), rng)
    frames += _distinct(after, min(video_length - anchor - 1, half), rng)
    if len(frames) < num_frames and anchor not in frames:
        frames.append(anchor)
    pool = range(max(0, anchor - 2 * num_frames), min(video_length, anchor + 2 * num_frames))
    for _ in range(3 * len(pool)):
        if len(frames) >= num_frames:
            break
        candidate = int(rng.integers(pool.start, pool.stop))
        if candidate not in frames:
            frames.append(candidate)
    missing = num_frames - len(frames)
    frames += [int(frame) for frame in rng.integers(0, video_length, max(missing, 0))]
    return sorted(frames)


def sample_global(anchor: int, num_frames: int, video_length: int,
                  rng: np.random.Generator) -> list[int]:
    """The anchor, a near neighbour on either side, and frames from the rest of the video (MeViS).

    Arguments as in `sample_local`. The published code always takes the three near frames; a clip
    of one or two frames keeps the anchor and the later neighbour only.
    """
    _check(anchor, num_frames, video_length)
    step_back, step_on = (int(step) for step in rng.integers(1, 4, 2))
    near = [anchor, min(video_length - 1, anchor + step_on), max(0, anchor - step_back)]
    if num_frames < 3:
        return sorted(near[:num_frames])
    # The interval on the right begins with the largest near frame: one frame may come twice.
    rest = [*range(min(near)), *range(max(near), video_length)]
    missing = num_frames - len(near)
    if len(rest) >= missing:
        frames = _distinct(rest, missing, rng)
    elif video_length >= missing:
        frames = _distinct(range(video_length), missing, rng)
    else:
        frames = [int(frame) for frame in rng.integers(0, video_length, missing)]
    return sorted(near + frames)


SAMPLERS: dict[str, Sampler] = {"local": sample_local, "global": sample_global}


def _distinct(pool: Iterable[int], count: int, rng: np.random.Generator) -> list[int]:
    return [int(frame) for frame in rng.choice(np.asarray(list(pool), int), count, replace=False)]


def _check(anchor: int, num_frames: int, video_length: int) -> None:
    if num_frames < 1:
        raise ConfigError(f"num_frames: expected >= 1, got {num_frames}")
    if not 0 <= anchor < video_length:
        raise ConfigError(f"anchor: expected a frame in 0..{video_length - 1}, got {anchor}")
