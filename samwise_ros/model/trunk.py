"""The image trunk: anything with four stages at strides 4, 8, 16 and 32.

The encoder runs stages one by one, because adapters sit between them. Maps are channels-last.
"""

from __future__ import annotations

from typing import Protocol

from sam2.modeling.backbones.hieradet import Hiera, MultiScaleAttention
from torch import Tensor

from samwise_ros.config import HieraConfig, ModelConfig
from samwise_ros.model.attention import attend, is_long
from samwise_ros.model.constants import constant
from samwise_ros.model.conv_stem import ConvStem
from samwise_ros.model.efficientnet import Lite0Trunk

_EMBED_REACH = 3  # pixels that the 7x7 stride-4 patch embedding looks beyond its own cell


class Trunk(Protocol):
    """What the encoder asks of a trunk."""

    channel_list: list[int]  # of the last stage first, as sam2's neck counts

    def embed(self, pixels: Tensor, whole: tuple[int, int]) -> Tensor:
        """[M, 3, H, W] normalised frames -> what stage 0 reads, [M, h, w, C].

        Args:
            pixels: The input, or its top left part.
            whole: (height, width) of the whole input.
        """

    def run_stage(self, v: Tensor, stage: int) -> Tensor:
        """Output [M, h, w, C] of the embedding or of the stage before -> that of `stage`."""

    def crop_size(self, stages: int, resized: tuple[int, int],
                  padded: tuple[int, int]) -> tuple[int, int] | None:
        """Smallest part of a padded input on which the first `stages` depend; None: the whole.

        Args:
            resized, padded: (height, width) of the frame in the input, and of the input.
        """


class GlobalAttention(MultiScaleAttention):
    """sam2's attention of a block without windows; over many cells on a CPU by `attend`."""

    def forward(self, x: Tensor) -> Tensor:
        """[M, h, w, C] -> [M, h, w, C]."""
        tokens = x.flatten(1, 2)
        if not is_long(tokens, tokens):
            return super().forward(x)
        heads = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = attend(*heads.flatten(1, 2)).unflatten(0, (-1, self.num_heads))
        return self.proj(mixed.transpose(1, 2).flatten(2)).view_as(x)


class HieraTrunk(Hiera):
    """sam2's Hiera, run by stages."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(
            embed_dim=config.embed_dim, num_heads=config.num_heads, stages=config.stages,
            global_att_blocks=config.global_att_blocks, window_spec=config.window_spec,
            window_pos_embed_bkg_spatial_size=config.window_pos_embed_bkg_spatial_size)
        if config.stem == "conv":
            self.patch_embed = ConvStem(config.embed_dim)
        for block in self.blocks:
            if block.window_size == 0 and not block.q_stride:
                block.attn.__class__ = GlobalAttention

    def embed(self, pixels: Tensor, whole: tuple[int, int]) -> Tensor:
        """Patch embedding and positional table; see `Trunk`."""
        v = self.patch_embed(pixels)
        grid = (whole[0] // 4, whole[1] // 4)
        table = constant(self, ("positions", grid), (self.pos_embed, self.pos_embed_window),
                         lambda: self._get_pos_embed(grid))
        return v + table[:, : v.shape[1], : v.shape[2]]

    def run_stage(self, v: Tensor, stage: int) -> Tensor:
        """All blocks of a stage; see `Trunk`."""
        first = self.stage_ends[stage - 1] + 1 if stage else 0
        for block in self.blocks[first : self.stage_ends[stage] + 1]:
            v = block(v)
        return v

    def crop_size(self, stages: int, resized: tuple[int, int],
                  padded: tuple[int, int]) -> tuple[int, int] | None:
        """Whole windows, where the early stages attend inside windows only; see `Trunk`."""
        blocks = self.blocks[: self.stage_ends[stages - 1] + 1]
        if isinstance(self.patch_embed, ConvStem) or any(b.window_size == 0 for b in blocks):
            return None
        strides = [4 << stage for stage in range(stages)]
        sides = [window * stride
                 for window, stride in zip(self.window_spec, strides, strict=False)]
        unit = max(sides)
        if any(unit % side for side in sides):
            return None
        height, width = (min(whole, -(-(part + _EMBED_REACH) // unit) * unit)
                         for part, whole in zip(resized, padded, strict=True))
        return (height, width) if height * width < padded[0] * padded[1] else None


def build_trunk(config: ModelConfig) -> Trunk:
    """The trunk that a configuration names."""
    if config.trunk == "lite0":
        return Lite0Trunk()
    return HieraTrunk(config.hiera)
