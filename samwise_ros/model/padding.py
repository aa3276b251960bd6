"""Early stages on padded inputs: the padding's part is constant, so it is computed once.

A 16:9 frame fills 56 % of the square input; the rest is zeros. Hiera's first two stages attend
inside windows only, so windows that hold nothing but padding give the same result for every frame
(they differ from each other by the positional table alone). They are computed once per input size
and put beside the result of the cropped frame. Exact up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PaddedStages:
    """Stage outputs of an all-padding input, and how much of a real one must be computed.

    Attributes:
        height, width: The crop [pixels] of the input that depends on the frame.
        maps: Per early stage [1, h, w, C] over the whole input.
    """

    height: int
    width: int
    maps: tuple[Tensor, ...]

    def crop(self, pixels: Tensor) -> Tensor:
        """[M, 3, S, S] -> [M, 3, height, width]."""
        return pixels[..., : self.height, : self.width]

    def complete(self, cropped: Tensor, stage: int) -> Tensor:
        """Put the stage output [M, h', w', C] of a crop back into the whole map [M, h, w, C]."""
        whole = self.maps[stage].expand(cropped.shape[0], -1, -1, -1).clone()
        whole[:, : cropped.shape[1], : cropped.shape[2]] = cropped
        return whole

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(stage.nbytes for stage in self.maps)


def zero_input(padded: tuple[int, int], like: Tensor) -> Tensor:
    """One all-padding input [1, 1, 3, S_h, S_w] on the device and in the type of `like`."""
    return torch.zeros(1, 1, 3, *padded, dtype=like.dtype, device=like.device)
