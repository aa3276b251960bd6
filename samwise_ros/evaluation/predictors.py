"""One way to run a model over a video for any protocol, in clip or in stream mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from samwise_ros.config import Mode
from samwise_ros.data.reader import VideoRecord, VideoSource
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.clip_runner import ClipFrame, ClipRunner
from samwise_ros.streaming.image_ops import input_size, restore_logits
from samwise_ros.structures import Command, CommandKind, ConfigError, TargetResult


@dataclass(frozen=True)
class PredictedMask:
    """What the model said about one expression on one frame.

    Attributes:
        mask: bool [H, W], empty when it said "absent".
        switched: CME replaced what the memory keeps of this frame.
        logits: Call it for the float32 [H, W] mask logits at camera size (few protocols need them).
    """

    mask: np.ndarray
    switched: bool
    logits: Callable[[], np.ndarray]


class Predictor(Protocol):
    """Runs several expressions over one video."""

    def run(self, frames: Iterable[np.ndarray],
            expressions: Sequence[str]) -> Iterator[tuple[PredictedMask, ...]]:
        """Per frame (uint8 [H, W, 3]) one answer per expression. `frames` can be iterated anew."""
        ...


class FrameSequence(Iterable[np.ndarray]):
    """Frames of one video, read from their files each time they are iterated."""

    def __init__(self, source: VideoSource, video: VideoRecord) -> None:
        self._source = source
        self._video = video

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._source.frame(self._video, index) for index in range(len(self)))

    def __len__(self) -> int:
        return len(self._video.frames)


class StreamPredictor:
    """A new session per video, every expression a target of it.

    Args:
        sessions: Opens them. Their results hold mask logits, which a configuration says unless it
            is told not to; the limit of targets is raised to what a protocol asks for.
    """

    def __init__(self, sessions: SessionMaker) -> None:
        self._sessions = sessions

    def run(self, frames: Iterable[np.ndarray],
            expressions: Sequence[str]) -> Iterator[tuple[PredictedMask, ...]]:
        """See `Predictor`."""
        session = self._sessions(targets=len(expressions))
        for row, expression in enumerate(expressions):
            session.submit(Command(CommandKind.ADD, str(row), expression))
        for frame in frames:
            yield tuple(self._answer(target) for target in session.step(frame).targets)

    def _answer(self, target: TargetResult) -> PredictedMask:
        return PredictedMask(target.mask, target.switched, lambda: self._camera_logits(target))

    def _camera_logits(self, target: TargetResult) -> np.ndarray:
        """float32 [H, W] from the low-resolution logits, by the steps that made the mask."""
        config = self._sessions.model.config
        size = input_size(target.mask.shape, config.image_size, config.fit)
        assert target.mask_logits is not None  # the session was asked for them
        low = torch.from_numpy(target.mask_logits.copy())[None, None]
        high = F.interpolate(low, size.padded, mode="bilinear", align_corners=False)[:, 0]
        return restore_logits(high, size)[0].numpy()


class ClipPredictor:
    """The official protocol: windows of eight, each expression by itself."""

    def __init__(self, model: SamwiseModel) -> None:
        self._runner = ClipRunner(model)

    def run(self, frames: Iterable[np.ndarray],
            expressions: Sequence[str]) -> Iterator[tuple[PredictedMask, ...]]:
        """See `Predictor`. Expressions advance together, so that memory stays small."""
        runs = [self._runner.run(frames, expression) for expression in expressions]
        for results in zip(*runs, strict=True):
            yield tuple(map(_answer, results))


def _answer(result: ClipFrame) -> PredictedMask:
    return PredictedMask(result.mask, result.switched, lambda: result.logits)


def make_predictor(model: SamwiseModel, mode: Mode,
                   sessions: SessionMaker | None = None) -> Predictor:
    """Predictor of a mode. Raises ConfigError for an unknown one.

    Args:
        sessions: Of the same model, for stream mode; None: as they are by default.
    """
    if mode == "clip":
        return ClipPredictor(model)
    if mode == "stream":
        return StreamPredictor(sessions or SessionMaker(model))
    raise ConfigError(f"mode: expected clip or stream, got {mode!r}")
