"""What HSA needs of earlier frames in stream mode: rings of fixed shape, written at a slot.

Keys and values of a frame are linear maps of LayerNorm(x + code), and the code of a kept frame
changes whenever the window slides. With both centred, W LayerNorm(x + code) is
scale * (W x + W code) + b, where scale depends on the pixel and on the code. So W x, and the scale
under each code that the frame can ever have, are computed once, when the frame comes. Later frames
cost one addition and one product. The key's part of b adds the same to all scores of a query and is
left out; the value's part is added after the attention, whose weights sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LONGEST = 8  # frames in sight at most, the newest included


@dataclass(frozen=True)
class ContextRing:
    """Earlier frames as one adapter sees them: S slots, of B cameras or rows.

    Attributes:
        frames: [B, S, h, w, D] projected frames.
        mapped: [B, cells, S, P*P, 2D] their linear map into keys and values; None without HSA.
        scale: [B, cells, S, P*P, number of codes] 1 / standard deviation of x + code; None as well.
    """

    frames: Tensor
    mapped: Tensor | None = None
    scale: Tensor | None = None

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors that there are."""
        return tuple(part for part in (self.frames, self.mapped, self.scale) if part is not None)


@dataclass(frozen=True)
class Sight:
    """Which slots N rows see, and at which times.

    Attributes:
        slot: int64 [1] where the newest frame is written.
        codes: int64 [N or 1, S'] number of the time code (`code_number`) of each slot that is read.
        newest: int64 [N or 1] number of the newest frame's code.
        seen: bool [N, S'], or None where every row sees every slot that is read.
    """

    slot: Tensor
    codes: Tensor
    newest: Tensor
    seen: Tensor | None


@dataclass(frozen=True)
class RingView:
    """A ring as a newest frame looks back through it; what adapters take in place of a past."""

    ring: ContextRing
    sight: Sight

    def mean(self, frames: Tensor) -> Tensor:
        """Mean of the frames in sight: [B, S, h, w, D] -> [B or N, h, w, D]."""
        frames, seen = frames[:, : self.sight.codes.shape[1]], self.sight.seen
        weight = frames.new_ones(1, frames.shape[1]) if seen is None else seen.to(frames.dtype)
        weight = weight / weight.sum(dim=1, keepdim=True)
        return (weight.unsqueeze(1) @ frames.flatten(2)).unflatten(2, frames.shape[2:])[:, 0]


def code_number(frames: Tensor, position: Tensor) -> Tensor:
    """Number of the code of `position` 1..T among T frames, counted over all T from 1 on."""
    return frames * (frames - 1) // 2 + position - 1


def look_at(clock: Tensor, ages: Tensor, slots: int, read: int, even: bool) -> Sight:
    """What rows see of rings that have been written `clock` times.

    Args:
        clock: int64 [1]. ages: int64 [N] frames since each row's command.
        slots: S of the rings; a row sees at most so many frames, the newest included.
        read: How many slots are read, from slot 0 on.
        even: Every row sees all of them.
    """
    age = (clock - torch.arange(read, device=clock.device)).remainder(slots)[None]
    if even:
        frames = torch.full_like(ages[:1, None], read)
    else:
        frames = ages.clamp(max=slots - 1)[:, None] + 1
    codes = code_number(frames, (frames - age).clamp(min=1))
    newest = code_number(frames, frames)[:, 0]
    return Sight(clock.remainder(slots), codes, newest, None if even else age < frames)


def write(ring: Tensor, dim: int, slot: Tensor, value: Tensor) -> Tensor:
    """The ring with `value` (size 1 along `dim`) at a slot, int64 [1].

    In place, except where a graph is exported, which has no state of its own.
    """
    value = value.to(ring.dtype)
    if not torch.compiler.is_exporting():
        return ring.index_copy_(dim, slot, value)
    here = torch.arange(ring.shape[dim], device=ring.device) == slot
    return torch.where(here.view(-1, *[1] * (ring.ndim - 1 - dim)), value, ring)
