"""EfficientNet-Lite0 (ImageNet), frozen, as a trunk of four stages.

Written out rather than taken from a library, because BatchNorm is folded into the convolutions and
the stages are run one by one. Each of the five stride-2 convolutions pads one pixel more at the
end, as in TensorFlow, which on paper moves the centre of a stride-32 cell by 15.5 pixels. The
weights have grown around that shift: with the sides alternating, cells tell less well what is at
their own place (docs/log/mini.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from samwise_ros.config import LITE0_CHANNELS
from samwise_ros.model.convolutions import PaddedConv
from samwise_ros.model.precision import full_precision
from samwise_ros.structures import IMAGENET_MEAN, IMAGENET_STD

SEMANTIC_CHANNELS = 1280  # of the features that the classifier reads
_STEM = 32
_EPS = 1e-3  # of the published BatchNorms

# Per block: kernel, stride, expansion, output channels; then the blocks of each of our four stages.
_BLOCKS = ((3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24),
           (5, 2, 6, 40), (5, 1, 6, 40),
           (3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112),
           (5, 1, 6, 112),
           (5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (3, 1, 6, 320))
_STAGES = ((0, 3), (3, 5), (5, 11), (11, 16))


class _Block(nn.Module):
    """Inverted bottleneck without squeeze-and-excitation: expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int,
                 expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = PaddedConv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = PaddedConv(wide, wide, kernel, stride, groups=wide)
        self.project = PaddedConv(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[M, C, h, w] -> [M, C', h', w']."""
        y = x if self.expand is None else self.expand.clipped(x)
        y = self.project(self.depthwise.clipped(y))
        return x + y if self.residual else y


class Lite0Trunk(nn.Module):
    """EfficientNet-Lite0 up to the features that its classifier reads.

    Frozen: always in eval mode, no gradient is recorded. It runs in fp32, whatever the precision
    of the rest: rounded to bf16 after each of 49 convolutions it moves object scores by .4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channel_list = list(LITE0_CHANNELS[::-1])
        self.stem = PaddedConv(3, _STEM, 3, 2)
        blocks, inputs = [], _STEM
        for kernel, stride, expansion, outputs in _BLOCKS:
            blocks.append(_Block(inputs, outputs, kernel, stride, expansion))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = PaddedConv(inputs, SEMANTIC_CHANNELS, 1)
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        # From our normalisation to the published one, (x - 127) / 128 of 0..255.
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", (255 * std / 128).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", ((255 * mean - 127) / 128).view(1, 3, 1, 1),
                             persistent=False)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Lite0Trunk:
        """Stay in eval mode: a frozen trunk does not train."""
        return super().train(False)

    def embed(self, pixels: Tensor, whole: tuple[int, int]) -> Tensor:
        """The stem; see `trunk.Trunk`."""
        x = (pixels * self.scale + self.shift).contiguous(memory_format=torch.channels_last)
        with full_precision(x.device):
            return self.stem.clipped(x).permute(0, 2, 3, 1)

    def run_stage(self, v: Tensor, stage: int) -> Tensor:
        """The blocks of a stage; see `trunk.Trunk`."""
        x = v.float().permute(0, 3, 1, 2)
        with full_precision(x.device):
            for block in self.blocks[slice(*_STAGES[stage])]:
                x = block(x)
        return x.permute(0, 2, 3, 1)

    def crop_size(self, stages: int, resized: tuple[int, int],
                  padded: tuple[int, int]) -> tuple[int, int] | None:
        """None: inputs are not padded; see `trunk.Trunk`."""
        return None

    def semantic(self, v: Tensor) -> Tensor:
        """Last stage's map [M, h, w, 320] -> the classifier's input per cell [M, h, w, 1280]."""
        with full_precision(v.device):
            return self.head.clipped(v.float().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def fold_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published state dict (names of `efficientnet-lite-pytorch`) as that of `Lite0Trunk`.

    BatchNorm is folded in; the classifier `_fc.*` is left out.
    """
    folded: dict[str, Tensor] = {}

    def add(ours: str, conv: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] * torch.rsqrt(state[f"{norm}.running_var"] + _EPS)
        folded[f"{ours}.weight"] = state[f"{conv}.weight"] * scale.view(-1, 1, 1, 1)
        folded[f"{ours}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    add("stem", "_conv_stem", "_bn0")
    for index, (_, _, expansion, _) in enumerate(_BLOCKS):
        ours, theirs = f"blocks.{index}", f"_blocks.{index}"
        if expansion > 1:
            add(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        add(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        add(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
    add("head", "_conv_head", "_bn1")
    return folded
