"""One frame of stream mode as a function of tensors: `step(pixels, text, state) -> answer, state`.

No branch on values, no wait for the device, no shape that depends on data: the same function runs
as it is, captured, compiled and exported. `Fill` says what the host knows of how full the state is;
it is part of the program, not of its input. Before it is traced, a step has to run once: tables are
made then, and become constants of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import SessionConfig
from samwise_ros.model.cme import rows_that_may_switch
from samwise_ros.model.context_ring import ContextRing, RingView, Sight, look_at, write
from samwise_ros.model.features import FrameFeatures
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.prompts import SURE, VisualPrompt
from samwise_ros.model.samwise import SamwiseModel, Segmentation
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.image_ops import InputSize, logit_threshold, restore_logits
from samwise_ros.streaming.stream_state import StreamState

Row = dict[str, Any]  # the fields of an `Answer` of one row, on the host


@dataclass(frozen=True)
class Answer:
    """What a step found for R rows, at camera size.

    Attributes:
        masks: bool [R, H, W].
        boxes: int32 [R, 4] x0, y0, x1, y1 of tight boxes, the last two exclusive; zeros where
            empty.
        areas: int32 [R] pixels of the masks.
        scores: float32 [R] logit that the target is visible.
        switched: bool [R] the CME replaced what memory keeps.
        finite: bool [R] neither the answer nor what it leaves in memory holds NaN or infinity.
        low_res: float32 [R, 4h, 4w] mask logits.
    """

    masks: Tensor
    boxes: Tensor
    areas: Tensor
    scores: Tensor
    switched: Tensor
    finite: Tensor
    low_res: Tensor


Part = tuple[Sequence[int | None], Answer]  # with what its rows belong to; None: a blank one


@dataclass(frozen=True)
class Fill:
    """How full the state is: what need not be read, and where no mask is needed.

    Attributes:
        clock: Frames written to the rings, or any larger number once they are full.
        youngest: Smallest age of all rows that are in use, or less.
    """

    clock: int
    youngest: int

    def entries(self, size: int) -> tuple[int, bool]:
        """Of a memory for `size` frames: how many to read, and whether all rows have them all."""
        read = min(self.clock, size)
        return read, min(self.youngest, size) == read


ANY = Fill(1 << 30, 0)  # whatever the state: all is read, with masks
FULL = Fill(1 << 30, 1 << 30)  # every row is older than all that is kept of it


class FrameStep(nn.Module):
    """The step of a model for one camera size.

    Args:
        model: In eval mode. It is used, not owned: it may serve several steps.
        size: Of the frames.
        config: Gives the number of context frames.
    """

    def __init__(self, model: SamwiseModel, size: InputSize, config: SessionConfig) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.context_frames = config.context_frames
        with torch.inference_mode(False), torch.no_grad():
            self.padding = model.encoder.padded_stages(size.resized, size.padded)

    @property
    def nbytes(self) -> int:
        """Bytes of what padding contributes to the early stages."""
        return 0 if self.padding is None else self.padding.nbytes

    def forward(self, pixels: Tensor, text: TextState, state: StreamState,
                fill: Fill | None = None, prompts: Mapping[int, VisualPrompt] | None = None,
                ) -> tuple[Answer, StreamState]:
        """Answer one frame.

        Args:
            pixels: [3, S_h, S_w] from `prepare_frame`.
            text: R rows.
            state: Of R rows. Its rings are written to, at slots that do not count for it.
            fill: What is known of `state`; None: nothing (`ANY`).
            prompts: By row what new targets are shown of themselves beside their text. No part of
                what is captured or exported.
        """
        fill = fill or ANY
        model, sight = self.model, self._sight(state, fill)
        pairs, earlier = model.pair_frames(pixels[None, None], state.earlier)
        shared = model.encode_shared(pairs, _views(state.shared, sight), self.padding)
        encoded, rows = model.encoder.encode_rows(shared, text, _views(state.rows, sight))
        features, bank = encoded.frame(0), self._bank(state, fill)
        eligible = None
        if model.config.cme.enabled and fill.clock > model.config.cme.decision_window:
            eligible = rows_that_may_switch(state.ages, state.last_switch, model.config.cme)
        found = model.segment_frame(features, bank, eligible)
        for row, prompt in (prompts or {}).items():
            found = _replaced(found, row, show(model, features.row(row), MemoryBank(), prompt))
        spatial = model.encode_memory(features.vision, found.memorised)
        after = self._remembered(replace(state, shared=shared.kept, rows=rows, earlier=earlier),
                                 found, spatial)
        return answer_of(found, spatial, self.size, model.config.mask_threshold), after

    def _sight(self, state: StreamState, fill: Fill) -> Sight:
        """What rows see of the context rings once the frame is in them."""
        earlier, even = fill.entries(self.context_frames)
        return look_at(state.clock, state.ages, self.context_frames + 1, earlier + 1, even)

    def _bank(self, state: StreamState, fill: Fill) -> MemoryBank:
        """The memories in the order in which they are read."""
        limits = self.model.config.memory
        spatial, all_spatial = fill.entries(limits.num_spatial)
        pointers, all_pointers = fill.entries(limits.num_pointers)
        if state.spatial is None or state.pointers is None or spatial == 0:
            return MemoryBank(peak=state.peak)
        known = None if all_spatial and all_pointers else state.ages
        ages = torch.arange(max(spatial, pointers), 0, -1, device=state.clock.device)
        return MemoryBank(
            _entries(state.spatial, state.clock - ages[-spatial:]),
            _entries(state.pointers, state.clock - ages[-pointers:].flip(0)),
            peak=state.peak, known=known)

    def _remembered(self, state: StreamState, found: Segmentation, spatial: Tensor) -> StreamState:
        """The state with what the frame leaves in memory."""
        prediction, kept = found.prediction, state.spatial
        pointers = state.pointers
        if kept is not None and pointers is not None:
            kept = write(kept, 1, state.clock.remainder(kept.shape[1]), spatial.unsqueeze(1))
            pointers = write(pointers, 1, state.clock.remainder(pointers.shape[1]),
                             prediction.pointer.unsqueeze(1))
        last = torch.where(found.switched, state.ages, state.last_switch)
        return replace(state, clock=state.clock + 1, ages=state.ages + 1, last_switch=last,
                       spatial=kept, pointers=pointers,
                       peak=None if prediction.peak is None else prediction.peak.float())


def show(model: SamwiseModel, features: FrameFeatures, bank: MemoryBank, prompt: VisualPrompt,
         ) -> Segmentation:
    """Segment the frame on which rows are shown. A mask that is shown is the answer, as for SAM 2.

    Args:
        model, features, bank, prompt: As for `segment_frame`.
    """
    found = model.segment_frame(features, bank, prompt=prompt)
    if prompt.masks is None:
        return found
    low_res = F.interpolate(found.memorised[:, None], scale_factor=0.25, mode="bilinear",
                            antialias=True)[:, 0]
    score = torch.full_like(found.prediction.object_score, SURE)
    return replace(found, high_res=found.memorised, prediction=replace(
        found.prediction, low_res=low_res, object_score=score))


def _replaced(found: Segmentation, row: int, other: Segmentation) -> Segmentation:
    """The segmentation with the only row of another one in place of one of its rows."""
    place = torch.full((1,), row, device=found.high_res.device)

    def put(record: Any, from_: Any, *names: str) -> dict[str, Any]:
        return {name: getattr(record, name).index_copy(
            0, place, getattr(from_, name).to(getattr(record, name).dtype))
            for name in names if getattr(record, name) is not None}

    prediction = replace(found.prediction, **put(
        found.prediction, other.prediction, "low_res", "object_score", "iou", "pointer", "early",
        "peak"))
    return replace(found, prediction=prediction, **put(
        found, other, "high_res", "memorised", "switched"))


def answer_of(found: Segmentation, spatial: Tensor, size: InputSize, threshold: float) -> Answer:
    """What a frame is answered with.

    Args:
        found: Of R rows. spatial: [R, h*w, Cm] what they leave in memory.
        size: Of the frame. threshold: Probability above which a pixel belongs to a mask.
    """
    prediction = found.prediction
    logits = restore_logits(found.high_res, size)
    masks = logits > logit_threshold(threshold)
    # A column of one row keeps the stride of its matrix, and could not be read as bytes.
    scores = prediction.object_score.float().clone(memory_format=torch.contiguous_format)
    sums = [part.float().flatten(1).sum(dim=1) for part in (
        prediction.low_res, prediction.object_score[:, None], prediction.pointer, spatial)]
    return Answer(masks, _boxes(masks), masks.sum(dim=(1, 2), dtype=torch.int32),
                  scores, found.switched,
                  torch.stack(sums).isfinite().all(dim=0), prediction.low_res.float())


def _views(rings: tuple[ContextRing, ...], sight: Sight) -> tuple[RingView, ...]:
    return tuple(RingView(ring, sight) for ring in rings)


def _entries(ring: Tensor, frames: Tensor) -> Tensor:
    """[R, S, ...] -> [R, K, ...]: what was written at the given times, int64 [K]."""
    return ring.index_select(1, frames.remainder(ring.shape[1]))


def _boxes(masks: Tensor) -> Tensor:
    """bool [R, H, W] -> int32 [R, 4] tight boxes, zeros for empty masks."""
    sides = []
    for axis in (1, 2):  # over rows for x, over columns for y
        there = masks.any(dim=axis)
        places = torch.arange(there.shape[1], dtype=torch.int32, device=masks.device)
        first = torch.where(there, places, there.shape[1]).amin(dim=1)
        last = torch.where(there, places + 1, 0).amax(dim=1)
        sides.append((torch.minimum(first, last), last))
    (x0, x1), (y0, y1) = sides
    return torch.stack((x0, y0, x1, y1), dim=1)


def fetch(answer: Answer, logits: bool = True) -> dict[str, np.ndarray]:
    """An answer on the host, by field: one transfer, whatever the device.

    Args:
        answer: Of a step.
        logits: With `low_res`.
    """
    fields = {name: tensor for name, tensor in sorted(
        vars(answer).items(), key=lambda field: -field[1].itemsize)  # each at an aligned place
        if logits or name != "low_res"}
    packed = torch.cat([tensor.contiguous().flatten().view(torch.uint8)
                        for tensor in fields.values()]).cpu().numpy()
    found, start = {}, 0
    for name, tensor in fields.items():
        part = packed[start : start + tensor.nbytes]
        start += tensor.nbytes
        dtype = {torch.bool: np.bool_, torch.int32: np.int32}.get(tensor.dtype, np.float32)
        found[name] = part.view(dtype).reshape(tensor.shape)
    return found


def fetch_rows(answers: Sequence[Answer], logits: bool = True) -> list[Row]:
    """As `fetch`, row by row, of answers to the same frame one after the other."""
    if not answers:
        return []
    found = fetch(answers[0] if len(answers) == 1 else Answer(*map(torch.cat, zip(
        *(vars(answer).values() for answer in answers), strict=True))), logits)
    return [{name: field[row] for name, field in found.items()}
            for row in range(len(found["scores"]))]


for _record in (TextState, Answer):
    torch.export.register_dataclass(_record)
