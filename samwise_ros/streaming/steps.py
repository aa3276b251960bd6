"""The seam between a session and what runs its steps, which may be another engine than torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from samwise_ros.config import SessionConfig
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.frame_step import Answer, Fill, FrameStep
from samwise_ros.streaming.image_ops import InputSize
from samwise_ros.streaming.stream_state import StreamState


@dataclass(frozen=True)
class StepShape:
    """What a step is made for.

    Attributes:
        size: Of the frames.
        rows: R of text and state; those beyond the targets are blank.
        tokens: L of the text.
    """

    size: InputSize
    rows: int
    tokens: int


class Step(Protocol):
    """One frame of stream mode: see `FrameStep.forward`."""

    def __call__(self, pixels: Tensor, text: TextState, state: StreamState,
                 fill: Fill | None = None) -> tuple[Answer, StreamState]:
        """The answer, and the state after the frame."""

    @property
    def nbytes(self) -> int:
        """Bytes of tensors that it keeps, besides weights and constants of them."""


class StepSource(Protocol):
    """Makes the steps of one session."""

    def room(self, targets: int, tokens: int) -> tuple[int, int]:
        """Rows and tokens of the step for so many targets and the longest sentence."""

    def step(self, shape: StepShape) -> Step:
        """The step of a shape that `room` allows; made when it is first asked for."""


StepSourceFactory = Callable[[SamwiseModel, SessionConfig], StepSource]


class EagerSteps:
    """Steps as they are, of whatever shape."""

    def __init__(self, model: SamwiseModel, config: SessionConfig) -> None:
        self._model = model
        self._config = config
        self._step: FrameStep | None = None

    def room(self, targets: int, tokens: int) -> tuple[int, int]:
        """Just what is needed."""
        return targets, tokens

    def step(self, shape: StepShape) -> FrameStep:
        """One step serves all shapes of a frame size."""
        if self._step is None or self._step.size != shape.size:
            self._step = FrameStep(self._model, shape.size, self._config)
        return self._step
