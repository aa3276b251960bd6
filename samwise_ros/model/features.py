"""What the encoder hands on: contexts, features shared by targets, decoder inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from samwise_ros.config import CmtConfig
from samwise_ros.model.context_ring import ContextRing
from samwise_ros.model.grounding import Seen


@dataclass(frozen=True)
class CausalContext:
    """Projected frames that HSA and the text side still see while streaming.

    Attributes:
        shared: Per adapter that looks back before any text is read: [B, K, h, w, D], one per
            camera, or None.
        rows: Per further adapter [N, K, h, w, D], one per target, or None.
    """

    shared: tuple[Tensor | None, ...]
    rows: tuple[Tensor | None, ...]

    @staticmethod
    def empty(config: CmtConfig) -> CausalContext:
        """No frame seen."""
        further = len(config.fusion_stages) - config.shared_adapters if config.enabled else 0
        return CausalContext((None,) * config.shared_adapters, (None,) * further)


def extend_context(old: CausalContext | None, new: CausalContext, limit: int) -> CausalContext:
    """Append the projections of new frames and keep the newest `limit` frames of each adapter."""

    def join(past: Tensor | None, present: Tensor | None) -> Tensor | None:
        if limit == 0 or present is None:
            return None
        kept = present[:, -limit:]
        if past is None:
            return kept.clone()  # a view would keep the other frames alive
        room = limit - kept.shape[1]
        return torch.cat((past[:, max(0, past.shape[1] - room):], kept), dim=1)

    if old is None:
        old = CausalContext((None,) * len(new.shared), (None,) * len(new.rows))
    return CausalContext(*(tuple(join(p, n) for p, n in zip(past, present, strict=True))
                           for past, present in ((old.shared, new.shared), (old.rows, new.rows))))


@dataclass(frozen=True)
class Look:
    """What an adapter makes of the frames before it reads any text.

    Attributes:
        kept: What later frames need of these ones: their projection [B, T, h, w, D], or in stream
            mode the ring with it.
        attended: [B or N, T, h, w, D] after HSA.
        mean: [B or N, h, w, D] mean of the projection over the frames in sight.
    """

    kept: Tensor | ContextRing
    attended: Tensor
    mean: Tensor


@dataclass(frozen=True)
class SharedFeatures:
    """What all targets of one camera have in common on the frames of one call.

    Attributes:
        maps: Stage outputs [B*T, h, w, C], before adapters: up to the first fusion stage, or all
            four where adapters do not feed back.
        looks: One per adapter that looks back before any text is read.
        seen: What a similarity map needs, or None.
        colours: [B, T, 3, 4h, 4w] of `colour_model.mask_colours`, or None.
        shape: (B, T).
    """

    maps: tuple[Tensor, ...]
    looks: tuple[Look, ...]
    seen: Seen | None
    colours: Tensor | None
    shape: tuple[int, int]

    @property
    def kept(self) -> tuple[Any, ...]:
        """What later frames need of these ones, per look."""
        return tuple(look.kept for look in self.looks)


@dataclass(frozen=True)
class FrameFeatures:
    """Decoder inputs of one frame.

    Attributes:
        vision: [N, C, h, w] stride-16 features.
        high0: [N or 1, C/8, 4h, 4w]. high1: [N or 1, C/4, 2h, 2w].
        cls: [N, Dt] text embedding of the start token after the last fusion; None without text.
        motion: [N, Dt] mean text feature of the verbs, or None.
        evidence: [N, E] how well the noun fits the picture, or None (`model.grounding`).
        spread: [N, h, w] what its map adds to the mask logits, or None.
        colours: [N or 1, 3, 4h, 4w] of the frame (`model.colour_model`), or None.
    """

    vision: Tensor
    high0: Tensor
    high1: Tensor
    cls: Tensor | None
    motion: Tensor | None
    evidence: Tensor | None = None
    spread: Tensor | None = None
    colours: Tensor | None = None

    def of_rows(self, clip_of_row: Tensor) -> FrameFeatures:
        """Features of one row per clip -> those of N rows: int64 [N] row -> clip."""
        vision, high0, high1 = (x[clip_of_row] for x in (self.vision, self.high0, self.high1))
        colours = None if self.colours is None else self.colours[clip_of_row]
        return replace(self, vision=vision, high0=high0, high1=high1, colours=colours)

    def row(self, row: int) -> FrameFeatures:
        """Features of one of the N rows."""
        return self._each(lambda x: x if len(x) == 1 else x[row : row + 1])

    def full(self) -> FrameFeatures:
        """The same in fp32."""
        return self._each(Tensor.float)

    def _each(self, change: Callable[[Tensor], Tensor]) -> FrameFeatures:
        def changed(x: Tensor | None) -> Any:
            return x if x is None else change(x)

        return FrameFeatures(*(changed(getattr(self, field.name)) for field in fields(self)))


@dataclass(frozen=True)
class Encoded:
    """Features of N rows over T frames; `frame(t)` gives one frame."""

    vision: Tensor  # [N, T, C, h, w]
    high0: Tensor  # [N or 1, T, C/8, 4h, 4w]
    high1: Tensor  # [N or 1, T, C/4, 2h, 2w]
    cls: Tensor | None  # [N, Dt]
    motion: Tensor | None  # [N, Dt]
    evidence: Tensor | None = None  # [N, T, E]
    spread: Tensor | None = None  # [N, T, h, w]
    colours: Tensor | None = None  # [N or 1, T, 3, 4h, 4w]

    def frame(self, t: int) -> FrameFeatures:
        """Features of frame `t` of the call."""
        evidence, spread, colours = (None if x is None else x[:, t] for x in (
            self.evidence, self.spread, self.colours))
        return FrameFeatures(self.vision[:, t], self.high0[:, t], self.high1[:, t], self.cls,
                             self.motion, evidence, spread, colours)
