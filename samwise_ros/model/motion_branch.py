"""Motion between a frame and an earlier one, for the first adapter (nano only).

SAMWISE sees motion where HSA lets a pixel attend to other frames. On a stride-16 map of few and
weakly trained features that alone taught nano no motion (docs/log/nano.md). Here blocks of the
frame are looked for in an earlier frame, as in block matching, on two scales; the network gets how
well each shift fits and the mean shift. HSA then looks back over these displacements.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.conv_stem import Residual, conv_norm
from samwise_ros.model.precision import full_precision

RADIUS = 4  # largest shift, in pixels of the scale (stride 4 or 8)
WIDTH = 16  # channels that are compared
FEATURES = 64  # channels at stride 8
LOCAL = 9  # side of the neighbourhood whose mean is taken out before comparing
BLOCKS = (7, 5)  # side of the compared blocks, at stride 4 and at stride 8
SHARPNESS = 40.0  # start value of the inverse temperature of the mean shift


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
    # A list as an index would be copied to a GPU, for which the host waits.
    others = [known[:, max(0, first + t - lag)] for t in range(pixels.shape[1])]
    return torch.cat((pixels, torch.stack(others, dim=1)), dim=2), known[:, -lag:]


def local_correlation(now: Tensor, then: Tensor, radius: int) -> Tensor:
    """How alike each pixel is to those around its place on the other map.

    Args:
        now, then: [M, C, h, w].

    Returns:
        [M, (2 radius + 1)^2, h, w] products over the channels; zero beyond the border.
    """
    height = now.shape[2]
    side = 2 * radius + 1
    rows = now.permute(0, 2, 3, 1)
    around = F.pad(then, (radius, radius, radius, radius)).transpose(1, 2).contiguous()
    # All pairs within a row by one product, of which the diagonals are wanted: on a CPU far less
    # work than copying every neighbourhood.
    fits = []
    for dy in range(side):
        pairs = rows @ around[:, dy : dy + height]  # [M, h, w, w + 2 radius]
        fits += [pairs.diagonal(dx, 2, 3) for dx in range(side)]
    return torch.stack(fits, dim=3).permute(0, 3, 1, 2)  # pooled faster with channels last


def shift_table(radius: int) -> Tensor:
    """[(2 radius + 1)^2, 2] shift (x, y) of each channel of `local_correlation`."""
    steps = torch.arange(-radius, radius + 1.0)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((columns.flatten(), rows.flatten()), dim=1)


class BlockMatch(nn.Module):
    """Where the blocks of one map come from on another: fits of all shifts and their mean shift.

    Args:
        block: Side of a block. stride: Step between blocks.
    """

    def __init__(self, block: int, stride: int) -> None:
        super().__init__()
        self.block, self.stride = block, stride
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.register_buffer("shifts", shift_table(RADIUS), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """[2M, C, h, w], present maps then earlier ones -> [M, 81 + 2, h', w'].

        The last two channels are the displacement (x, y) since the earlier frame in units of
        `RADIUS` pixels of the map.
        """
        mean = F.avg_pool2d(maps, LOCAL, 1, LOCAL // 2, count_include_pad=False)
        now, then = F.normalize(maps - mean, dim=1).chunk(2)
        fit = F.avg_pool2d(local_correlation(now, then, RADIUS), self.block, self.stride,
                           self.block // 2, count_include_pad=False)
        share = torch.softmax(fit * self.sharpness, dim=1)
        shift = torch.einsum("mkhw,kc->mchw", share, self.shifts)
        return torch.cat((fit, -shift / RADIUS), dim=1)


class MotionBranch(nn.Module):
    """From pairs of frames to a map that is added to the one the first adapter reads.

    It runs in fp32, whatever the precision of the rest: blocks are compared after the mean of what
    is around them is taken out, and what bf16 leaves of that would be sharpened fortyfold.

    Args:
        channels: Of that map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.compared = nn.Conv2d(3, WIDTH, 4, 4, bias=False)
        nn.init.orthogonal_(self.compared.weight)  # keeps distances between pixels
        self.match_4 = BlockMatch(BLOCKS[0], stride=2)
        self.match_8 = BlockMatch(BLOCKS[1], stride=1)
        self.merge = conv_norm(2 * ((2 * RADIUS + 1) ** 2 + 2), FEATURES, kernel=1)
        self.motion = Residual(FEATURES)
        self.to_16 = conv_norm(2 * FEATURES, FEATURES, stride=2)
        self.out = nn.Conv2d(FEATURES, channels, 1)
        nn.init.normal_(self.out.weight, std=0.01)  # joins what is trained already
        nn.init.zeros_(self.out.get_parameter("bias"))

    def forward(self, pairs: Tensor) -> Tensor:
        """[M, 6, H, W] of `pair_frames`, sides divisible by 16 -> [M, H/16, W/16, C]."""
        with full_precision(pairs.device):
            return self._of(pairs.float())

    def _of(self, pairs: Tensor) -> Tensor:
        now, then = pairs.chunk(2, dim=1)
        compared = self.compared(torch.cat((now, then)))
        compared = compared.contiguous(memory_format=torch.channels_last)  # pooled faster so
        found = torch.cat((self.match_4(compared), self.match_8(F.avg_pool2d(compared, 2))), dim=1)
        motion = self.motion(F.relu(self.merge(found)))
        # Beside the mean of the picture: under a moving camera everything moves.
        whole = motion.mean((2, 3), keepdim=True).expand_as(motion)
        at_16 = F.relu(self.to_16(torch.cat((motion, whole), dim=1)))
        return self.out(at_16).permute(0, 2, 3, 1)
