"""A convolutional stem that compares each frame with an earlier one (nano only).

SAMWISE sees motion where HSA lets a pixel attend to other frames. On a stride-16 map of few and
weakly trained features that alone taught nano no motion (docs/nano.md). Here a local correlation at
stride 4 tells every pixel how far it has moved; HSA then looks back over these displacements.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.conv_stem import ConvStem, Residual, conv_norm

RADIUS = 4  # of the correlation, in pixels of stride 4
WIDTH = 16  # channels that are compared


def pair_frames(pixels: Tensor, earlier: Tensor | None, lag: int) -> tuple[Tensor, Tensor]:
    """Put beside each frame the one `lag` frames before it, or the oldest known one.

    Args:
        pixels: [B, T, 3, H, W] frames in order.
        earlier: [B, K, 3, H, W] the frames just before them, or None.

    Returns:
        [B, T, 6, H, W] pairs (present, earlier), and the last `lag` frames for the next call.
    """
    known = pixels if earlier is None else torch.cat((earlier, pixels), dim=1)
    first = known.shape[1] - pixels.shape[1]
    places = [max(0, first + t - lag) for t in range(pixels.shape[1])]
    return torch.cat((pixels, known[:, places]), dim=2), known[:, -lag:]


def local_correlation(now: Tensor, then: Tensor, radius: int) -> Tensor:
    """How alike each pixel is to those around its place on the other map.

    Args:
        now, then: [M, C, h, w].

    Returns:
        [M, (2 radius + 1)^2, h, w] products over the channels; zero beyond the border.
    """
    maps, channels, height, width = now.shape
    around = F.unfold(then, 2 * radius + 1, padding=radius)
    around = around.view(maps, channels, -1, height * width)
    return torch.einsum("mcp,mckp->mkp", now.flatten(2), around).view(maps, -1, height, width)


class MotionStem(ConvStem):
    """`ConvStem` with a branch for motion that joins it at stride 8.

    Args:
        channels: Width E of the first Hiera stage.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        wide = 2 * channels
        self.compare = nn.Conv2d(channels, WIDTH, 1)
        self.motion_4 = conv_norm((2 * RADIUS + 1) ** 2 + WIDTH, wide, kernel=1)
        self.motion_8 = conv_norm(wide, wide, stride=2)
        self.motion = Residual(wide)
        self.join = conv_norm(wide, wide, kernel=1)
        nn.init.zeros_(self.join[1].weight)  # starts as the stem without motion

    def forward(self, pixels: Tensor) -> Tensor:
        """[M, 6, H, W] pairs, sides divisible by 16 -> [M, H/4, W/4, E], channels last."""
        low = self.low(pixels.unflatten(1, (2, 3)).transpose(0, 1).flatten(0, 1))
        return self.rest(low[: len(pixels)], self._motion(*self.compare(low).chunk(2)))

    def _motion(self, now: Tensor, then: Tensor) -> Tensor:
        """Compared maps [M, 16, h, w] at stride 4 -> [M, 2E, h/2, w/2]."""
        alike = local_correlation(F.normalize(now, dim=1), F.normalize(then, dim=1), RADIUS)
        at_4 = F.relu(self.motion_4(torch.cat((alike, now - then), dim=1)))
        return self.join(self.motion(F.relu(self.motion_8(at_4))))
