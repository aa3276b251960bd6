"""Clip mode: the official protocol, for parity and published scores.

Windows of eight frames are encoded together (up to seven frames of look-ahead); memory runs on
across windows. A window of one frame wipes the memory and is segmented without it: that is what
the official code does to the last frame of a video whose length is 1 modulo 8 (docs/model.md, 4.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from samwise_ros.model.cme import may_switch
from samwise_ros.model.features import Encoded
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.padding import PaddedStages
from samwise_ros.model.samwise import SamwiseModel, Segmentation
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.streaming.image_ops import (
    InputSize,
    logit_threshold,
    prepare_frame,
    restore_logits,
)
from samwise_ros.structures import FrameError


@dataclass(frozen=True)
class ClipFrame:
    """Result of one frame.

    Attributes:
        index: Frame number in the video.
        mask: bool [H, W]. logits: float32 [H, W] mask logits at camera size.
        object_score: Logit that the target is visible. switched: CME replaced the memory.
    """

    index: int
    mask: np.ndarray
    logits: np.ndarray
    object_score: float
    switched: bool


@dataclass(frozen=True)
class ClipState:
    """What passes from window to window: memory and the frame of the last CME switch."""

    bank: MemoryBank = field(default_factory=MemoryBank)
    last_switch: int = 0


class ClipRunner:
    """Runs a video through the official protocol, one expression at a time."""

    def __init__(self, model: SamwiseModel) -> None:
        self.model = model

    def run(self, frames: Iterable[np.ndarray], expression: str) -> Iterator[ClipFrame]:
        """Segment a video.

        Args:
            frames: uint8 [H, W, 3] RGB frames of one size.
            expression: The sentence that names the target, used as it is.

        Raises:
            FrameError: Bad frame, a frame of another size than the first, or an answer that is not
                finite.
            CommandError: The expression has too many tokens.
        """
        tokens = self.model.tokenizer([expression]).to(self.model.device)
        state, first, size, earlier = ClipState(), 0, None, None
        iterator = iter(frames)
        while window := list(islice(iterator, self.model.config.cmt.clip_window)):
            prepared = [prepare_frame(f, self.model.config, device=self.model.device)
                        for f in window]
            size = size or prepared[0][1]
            if any(other != size for _, other in prepared):
                raise FrameError("clip mode: all frames of a video must have one size, "
                                 f"{size.camera} (height, width) as the first")
            if first == 0:
                padding = self.padded_stages(size)
            pixels = torch.stack([p for p, _ in prepared]).unsqueeze(0)
            pixels, earlier = self.model.pair_frames(pixels, earlier)
            answers = self.segment_window(pixels, tokens, state, padding)
            for index, (segmentation, after) in enumerate(answers, start=first):
                yield self._result(index, segmentation, size)
                state = after
            first += len(window)

    @torch.inference_mode()
    def _result(self, index: int, segmentation: Segmentation, size: InputSize) -> ClipFrame:
        logits = restore_logits(segmentation.high_res, size)[0]
        mask = logits > logit_threshold(self.model.config.mask_threshold)
        score = float(segmentation.prediction.object_score[0])
        if not (np.isfinite(score) and bool(logits.isfinite().all())):
            raise FrameError(f"frame {index}: the network's answer is not finite: the weights are "
                             "damaged")
        return ClipFrame(index, mask.cpu().numpy(), logits.cpu().numpy(), score,
                         bool(segmentation.switched[0]))

    @torch.inference_mode()
    def padded_stages(self, size: InputSize) -> PaddedStages | None:
        """The constant part of padded inputs of this size (see `model.padding`)."""
        return self.model.encoder.padded_stages(size.resized, size.padded)

    def segment_window(self, pixels: Tensor, tokens: Tokens, state: ClipState,
                       padding: PaddedStages | None = None,
                       ) -> Iterator[tuple[Segmentation, ClipState]]:
        """Encode one window and segment its frames in order.

        Args:
            pixels: [1, T, 3, S_h, S_w], or pairs. tokens: one row.
            state: State after the previous window; a window of one frame ignores it.
            padding: From `padded_stages`, or None.

        Yields:
            Per frame the segmentation and the state after it.
        """
        with torch.inference_mode():
            encoded, _ = self.model.encode(pixels, self.model.encode_text(tokens), padding=padding)
        if pixels.shape[1] == 1:
            state = ClipState()
        for t in range(pixels.shape[1]):
            segmentation, state = self._segment(encoded, t, state)
            yield segmentation, state

    @torch.inference_mode()
    def _segment(self, encoded: Encoded, t: int,
                 state: ClipState) -> tuple[Segmentation, ClipState]:
        model, bank = self.model, state.bank
        eligible = None
        if may_switch(bank.age, state.last_switch, model.config.cme):
            eligible = torch.ones(1, dtype=torch.bool, device=model.device)
        features = encoded.frame(t)
        segmentation = model.segment_frame(features, bank, eligible)
        memory = model.encode_memory(features.vision, segmentation.memorised)
        # The counter of the official code is the memory index of the switching frame.
        last_switch = bank.age if bool(segmentation.switched[0]) else state.last_switch
        bank = bank.append(memory, segmentation.prediction.pointer, model.config.memory,
                           segmentation.prediction.peak)
        return segmentation, ClipState(bank, last_switch)
