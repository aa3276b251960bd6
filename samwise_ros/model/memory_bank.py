"""Bounded memory of targets: the last spatial memories and object pointers.

The official bank is a dictionary that only grows. Entries older than six frames (spatial) and
fifteen frames (pointers) are never read there, so pruning them is exact (docs/model.md, 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from samwise_ros.config import MemoryConfig


@dataclass(frozen=True)
class MemoryBank:
    """Memories of N targets. Immutable: `append` returns a new bank.

    Attributes:
        spatial: [N, M, h*w, Cm], oldest first, M <= num_spatial; None while empty.
        pointers: [N, P, C], newest first, P <= num_pointers; None while empty.
        age: Frames remembered so far, the t of docs/model.md, 2.
        peak: [N] running peak of the mask logits, where masks are relative to it; else None.
        known: int64 [N] frames that each row remembers: of its entries the newest so many count.
            None: all count, for all rows.
        keeps_first: The oldest entries are of the frame on which the targets were shown, and stay,
            in addition to those that the bounds allow (SAM 2's conditioning frame).
    """

    spatial: Tensor | None = None
    pointers: Tensor | None = None
    age: int = 0
    peak: Tensor | None = None
    known: Tensor | None = None
    keeps_first: bool = False

    def append(self, spatial: Tensor, pointer: Tensor, config: MemoryConfig,
               peak: Tensor | None = None) -> MemoryBank:
        """Bank with one more frame; what no later frame can read is dropped.

        Args:
            spatial: [N, h*w, Cm] memory features. pointer: [N, C] object pointer.
            config: Bounds.
            peak: [N] `MaskPrediction.peak` of the frame.
        """
        if config.num_spatial == 0:
            return MemoryBank(age=self.age + 1, peak=peak)
        spatial, pointer = spatial.unsqueeze(1), pointer.unsqueeze(1)
        if self.spatial is not None and self.pointers is not None:
            first = int(self.keeps_first)
            full = self.spatial.shape[1] == config.num_spatial + first
            spatial = torch.cat((self.spatial[:, :first], self.spatial[:, first + full :],
                                 spatial), dim=1)
            pointers = self.pointers
            if pointers.shape[1] == config.num_pointers + first:
                end = pointers.shape[1] - first
                pointers = torch.cat((pointers[:, : end - 1], pointers[:, end:]), dim=1)
            pointer = torch.cat((pointer, pointers), dim=1)
        return replace(self, spatial=spatial, pointers=pointer, age=self.age + 1, peak=peak,
                       known=None)

    def seen(self) -> Tensor | None:
        """Which memory tokens count: bool [N, M*h*w + P*C/Cm], spatial memories first; None: all.

        Of a row that remembers nothing all do, since attention to nothing has no result.
        """
        if self.known is None or self.spatial is None or self.pointers is None:
            return None
        count, pixels, dim = self.spatial.shape[1:]
        pointers, tokens = self.pointers.shape[1], self.pointers.shape[2] // dim
        device = self.spatial.device
        ages = torch.cat([
            torch.arange(count, 0, -1, device=device)[:, None].expand(-1, pixels).flatten(),
            torch.arange(1, pointers + 1, device=device)[:, None].expand(-1, tokens).flatten()])
        known = self.known[:, None]
        return (ages <= known) | (known == 0)

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to attend to."""
        return self.spatial is None


def salient(spatial: Tensor, count: int) -> Tensor:
    """Places int64 [N, M, count] of the tokens of each memory [N, M, h*w, Cm] that say most.

    Salient is what differs from the mean of its frame: background tokens are much alike.
    """
    distance = (spatial - spatial.mean(dim=2, keepdim=True)).float().square().sum(dim=-1)
    return distance.topk(count, dim=2).indices
