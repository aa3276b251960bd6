"""The official clip protocol for several expressions in one batch.

`streaming.clip_runner.ClipRunner` is the published protocol, one expression at a time. Here the
expressions of a video are rows of one batch, so that what does not depend on the sentence is
computed once. Results agree to rounding; memory use grows with the number of rows, which suits
small models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from samwise_ros.evaluation.predictors import PredictedMask
from samwise_ros.model.cme import may_switch
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel, Segmentation
from samwise_ros.streaming.image_ops import (
    InputSize,
    logit_threshold,
    prepare_frame,
    restore_logits,
)


@dataclass(frozen=True)
class _RowsState:
    """Memory of all rows, and per row the frame of its last switch."""

    bank: MemoryBank
    last_switch: tuple[int, ...]


class ClipRowsPredictor:
    """A `Predictor` that runs the clip protocol with one row per expression."""

    def __init__(self, model: SamwiseModel) -> None:
        self._model = model

    @torch.inference_mode()
    def run(self, frames: Iterable[np.ndarray],
            expressions: Sequence[str]) -> Iterator[tuple[PredictedMask, ...]]:
        """See `Predictor`. Frames must have one size."""
        model = self._model
        text = model.encode_text(model.tokenizer(list(expressions)))
        clip_of_row = torch.zeros(len(expressions), dtype=torch.int64, device=model.device)
        start = _RowsState(MemoryBank(), (0,) * len(expressions))
        state, iterator, earlier = start, iter(frames), None
        while window := list(islice(iterator, model.config.cmt.clip_window)):
            prepared = [prepare_frame(frame, model.config, device=model.device)
                        for frame in window]
            pixels = torch.stack([pixel for pixel, _ in prepared]).unsqueeze(0)
            pixels, earlier = model.pair_frames(pixels, earlier)
            encoded, _ = model.encode(pixels, text, None, clip_of_row)
            if len(window) == 1:  # the published rule: a window of one frame forgets everything
                state = start
            for t in range(len(window)):
                eligible = self._eligible(state)
                features = encoded.frame(t)
                segmentation = model.segment_frame(features, state.bank, eligible)
                memory = model.encode_memory(features.vision, segmentation.memorised)
                state = self._remember(state, segmentation, memory)
                yield self._answers(segmentation, prepared[t][1])

    def _eligible(self, state: _RowsState) -> Tensor | None:
        flags = [may_switch(state.bank.age, last, self._model.config.cme)
                 for last in state.last_switch]
        return torch.tensor(flags, device=self._model.device) if any(flags) else None

    def _remember(self, state: _RowsState, segmentation: Segmentation,
                  memory: Tensor) -> _RowsState:
        age = state.bank.age
        last = tuple(age if switched else before for switched, before in
                     zip(segmentation.switched.tolist(), state.last_switch, strict=True))
        found = segmentation.prediction
        return _RowsState(state.bank.append(memory, found.pointer, self._model.config.memory,
                                            found.peak), last)

    def _answers(self, segmentation: Segmentation, size: InputSize) -> tuple[PredictedMask, ...]:
        logits = restore_logits(segmentation.high_res, size).cpu()
        masks = (logits > logit_threshold(self._model.config.mask_threshold)).numpy()
        switched = segmentation.switched.tolist()
        return tuple(PredictedMask(masks[row], switched[row], logits[row].numpy)
                     for row in range(len(masks)))
