"""Bounded memory of targets: the last spatial memories and object pointers.

The official bank is a dictionary that only grows. Entries older than six frames (spatial) and
fifteen frames (pointers) are never read there, so pruning them is exact (docs/model.md, 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samwise_ros.config import MemoryConfig


@dataclass(frozen=True)
class MemoryBank:
    """Memories of N targets of the same age. Immutable: `append` returns a new bank.

    Attributes:
        spatial: [N, M, h*w, Cm], oldest first, M <= num_spatial; None while empty.
        pointers: [N, P, C], newest first, P <= num_pointers; None while empty.
        age: Frames remembered so far, the t of docs/model.md, 2.
    """

    spatial: Tensor | None = None
    pointers: Tensor | None = None
    age: int = 0

    def append(self, spatial: Tensor, pointer: Tensor, config: MemoryConfig) -> MemoryBank:
        """Bank with one more frame; what no later frame can read is dropped.

        Args:
            spatial: [N, h*w, Cm] memory features. pointer: [N, C] object pointer.
            config: Bounds.
        """
        if config.num_spatial == 0:
            return MemoryBank(age=self.age + 1)
        spatial, pointer = spatial.unsqueeze(1), pointer.unsqueeze(1)
        if self.spatial is not None:
            kept = self.spatial[:, max(0, self.spatial.shape[1] + 1 - config.num_spatial) :]
            spatial = torch.cat((kept, spatial), dim=1)
            pointer = torch.cat((pointer, self.pointers[:, : config.num_pointers - 1]), dim=1)
        return MemoryBank(spatial, pointer, self.age + 1)

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to attend to."""
        return self.spatial is None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(t.nbytes for t in (self.spatial, self.pointers) if t is not None)

    def row(self, index: int) -> MemoryBank:
        """Bank of one row."""
        if self.spatial is None:
            return self
        rows = slice(index, index + 1)
        return MemoryBank(self.spatial[rows], self.pointers[rows], self.age)

    @staticmethod
    def stack(banks: Sequence[MemoryBank]) -> MemoryBank:
        """Join banks with equally many entries into rows of one batch."""
        if len(banks) == 1 or banks[0].spatial is None:
            return banks[0]
        return MemoryBank(torch.cat([bank.spatial for bank in banks]),
                          torch.cat([bank.pointers for bank in banks]),
                          min(bank.age for bank in banks))
