"""What object numbers say about a scene: middles, ways to them, displacements."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def nearest_labels(numbers: Tensor, size: Sequence[int]) -> Tensor:
    """[M, H, W] -> [M, h, w], the value at the middle of each cell."""
    step_y, step_x = numbers.shape[1] // size[0], numbers.shape[2] // size[1]
    return numbers[:, step_y // 2 :: step_y, step_x // 2 :: step_x]


def look_up(table: Tensor, numbers: Tensor) -> Tensor:
    """Table [B, O + 1] at numbers [B*T, h, w] -> int64 [B*T, h, w]."""
    frames = numbers.shape[0] // table.shape[0]
    table = table.repeat_interleave(frames, 0)
    return torch.gather(table, 1, numbers.flatten(1).long()).view(numbers.shape)


def middles(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Middle of each object's mask.

    Args:
        numbers: uint8 [M, H, W] object numbers.

    Returns:
        float [M, O + 1, 2] (x, y) in pixels and [M, O + 1] areas.
    """
    one_hot = F.one_hot(numbers.long(), int(numbers.max()) + 1).float()  # [M, H, W, O + 1]
    area = one_hot.sum((1, 2))
    ys = torch.arange(numbers.shape[1], dtype=torch.float32, device=numbers.device)
    xs = torch.arange(numbers.shape[2], dtype=torch.float32, device=numbers.device)
    x = (one_hot.sum(1) * xs[:, None]).sum(1)
    y = (one_hot.sum(2) * ys[:, None]).sum(1)
    return torch.stack((x, y), -1) / area.clamp(min=1)[..., None], area


def ways_to_middle(numbers: Tensor, cell: float = 16.0) -> Tensor:
    """From each pixel to the middle of its object, in units of `cell` pixels: [M, 2, H, W]."""
    middle, _ = middles(numbers)
    index = numbers.flatten(1).long()[..., None].expand(-1, -1, 2)
    target = torch.gather(middle, 1, index).view(*numbers.shape, 2).permute(0, 3, 1, 2)
    ys = torch.arange(numbers.shape[1], dtype=torch.float32, device=numbers.device)
    xs = torch.arange(numbers.shape[2], dtype=torch.float32, device=numbers.device)
    here = torch.stack(torch.meshgrid(xs, ys, indexing="xy"))
    return (target - here) / cell


def displacements(numbers: Tensor, lag: int, cell: float = 16.0) -> tuple[Tensor, Tensor]:
    """How far the middle of each object's mask moved since `lag` frames before.

    Args:
        numbers: uint8 [B, T, H, W] object numbers.
        lag: Frames; the first frame stands for those before it.
        cell: Pixels per unit of the result.

    Returns:
        float [B, T, O + 1, 2] (x, y) and bool [B, T, O + 1], True where the object was seen on both
        frames.
    """
    middle, area = (part.unflatten(0, numbers.shape[:2]) for part in middles(numbers.flatten(0, 1)))
    before = [max(0, t - lag) for t in range(numbers.shape[1])]
    seen = area > 0
    return (middle - middle[:, before]) / cell, seen & seen[:, before]
