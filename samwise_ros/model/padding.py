"""Early stages on padded inputs: the padding's part is constant, so it is computed once.

A 16:9 frame fills 56 % of the square input; the rest is zeros. Hiera's first two stages attend inside
windows only, so windows that hold nothing but padding give the same result for every frame (they
differ from each other by the positional table alone). They are computed once per input size and
put beside the result of the cropped frame. Exact up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sam2.modeling.backbones.hieradet import Hiera
from torch import Tensor

_EMBED_REACH = 3  # pixels that the 7x7 stride-4 patch embedding looks beyond its own cell


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


def crop_size(trunk: Hiera, stages: int, resized: tuple[int, int],
              padded: tuple[int, int]) -> tuple[int, int] | None:
    """Smallest (height, width) of whole windows that covers all that depends on the frame.

    Args:
        trunk: sam2's trunk. stages: Number of early stages.
        resized, padded: (height, width) of the frame in the input, and of the input.

    Returns:
        None where the early stages are not windowed or nothing would be saved.
    """
    blocks = trunk.blocks[: trunk.stage_ends[stages - 1] + 1]
    if type(trunk.patch_embed).__name__ != "PatchEmbed" or any(b.window_size == 0 for b in blocks):
        return None
    strides = [4 << stage for stage in range(stages)]
    unit = max(window * stride
               for window, stride in zip(trunk.window_spec, strides, strict=False))
    if any(unit % (window * stride)
           for window, stride in zip(trunk.window_spec, strides, strict=False)):
        return None
    height, width = (min(whole, -(-(part + _EMBED_REACH) // unit) * unit)
                     for part, whole in zip(resized, padded, strict=True))
    return (height, width) if height * width < padded[0] * padded[1] else None


def embed_patches(trunk: Hiera, pixels: Tensor, whole: tuple[int, int]) -> Tensor:
    """Patch embedding and positional table of an input of `whole` (height, width), or of a crop."""
    v = trunk.patch_embed(pixels)
    table = trunk._get_pos_embed((whole[0] // 4, whole[1] // 4))
    return v + table[:, : v.shape[1], : v.shape[2]]


def zero_input(padded: tuple[int, int], like: Tensor) -> Tensor:
    """One all-padding input [1, 1, 3, S_h, S_w] on the device and in the type of `like`."""
    return torch.zeros(1, 1, 3, *padded, dtype=like.dtype, device=like.device)
