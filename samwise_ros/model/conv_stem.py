"""A convolutional stem in place of Hiera's single 7x7 stride-4 patch embedding (nano only).

Attention learns shapes from few samples badly; convolutions do not. The stem is a small U: it goes
down to stride 16 and comes back to stride 4, so that each output pixel has seen a whole object
before the first Hiera block. Same input, output shape and place as sam2's `PatchEmbed`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution and BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """x + conv(relu(conv(x))), then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, channels)
        self.second = conv_norm(channels, channels)
        # Starts as the identity: deep stems learn from the first step on.
        nn.init.zeros_(self.second[1].get_parameter("weight"))

    def forward(self, x: Tensor) -> Tensor:
        """[M, C, h, w] -> the same shape."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class ConvStem(nn.Module):
    """Strides 2, 4, 8, 16 and back to 4.

    Args:
        channels: Width E of the first Hiera stage. The inner widths are E/2, E, 2E and 3E.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, wide, deep = channels // 2, 2 * channels, 3 * channels
        self.to_2 = conv_norm(3, half, stride=2)
        self.to_4 = conv_norm(half, channels, stride=2)
        self.at_4 = Residual(channels)
        self.to_8 = conv_norm(channels, wide, stride=2)
        self.at_8 = Residual(wide)
        self.to_16 = conv_norm(wide, deep, stride=2)
        self.at_16 = Residual(deep)
        self.up_8 = conv_norm(deep, wide, kernel=1)
        self.up_4 = conv_norm(wide, channels, kernel=1)
        self.out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """[M, 3, H, W] with sides divisible by 16 -> [M, H/4, W/4, E], channels last as Hiera's."""
        at_4 = self.at_4(F.relu(self.to_4(F.relu(self.to_2(pixels)))))
        at_8 = self.at_8(F.relu(self.to_8(at_4)))
        at_16 = self.at_16(F.relu(self.to_16(at_8)))
        at_8 = F.relu(at_8 + F.interpolate(self.up_8(at_16), scale_factor=2.0, mode="nearest"))
        at_4 = F.relu(at_4 + F.interpolate(self.up_4(at_8), scale_factor=2.0, mode="nearest"))
        return self.out(at_4).permute(0, 2, 3, 1)
