"""What a similarity map says about regions: what looks alike, and where the anchor is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_ALIKE = 5.0  # inverse temperature of the likeness (a cosine) along which the map is spread
_PEAK = 2.0  # inverse temperature, in z-scores, of the place where the anchor is


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """[M, K, h, w] at another resolution, bilinear."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def likeness(fine: Tensor) -> Tensor:
    """[M, 2h, 2w, C] -> [M, h*w, h*w], rows that sum to one: how alike cells of 2 x 2 are."""
    cells = F.avg_pool2d(fine.permute(0, 3, 1, 2), 2).flatten(2).transpose(1, 2)
    cells = F.normalize(cells - cells.mean(1, keepdim=True), dim=2)
    return torch.softmax(_ALIKE * (cells @ cells.transpose(1, 2)), dim=2)


def z_scores(maps: Tensor) -> Tensor:
    """[..., h, w] less its mean over its spread; zero for a map that is the same everywhere."""
    spread = maps.std((-2, -1), keepdim=True)
    return (maps - maps.mean((-2, -1), keepdim=True)) / (spread + 1e-4)


def spread(stands_out: Tensor, alike: Tensor, clip_of_row: Tensor, frames: int) -> Tensor:
    """What stands out, passed on to all that looks alike.

    Args:
        stands_out: [N*T, K, h, w] z-scores of N rows over T frames.
        alike: [B*T, h*w, h*w] of `likeness`, for B clips.
        clip_of_row: int64 [N] row -> clip. frames: T.

    Returns:
        [N*T, K, h, w] z-scores, zero for a map that is the same everywhere.
    """
    pictures = clip_of_row[:, None] * frames + torch.arange(frames, device=alike.device)
    alike = alike if len(alike) == 1 else alike[pictures.flatten()]
    told = stands_out.clamp(min=0).flatten(2) @ alike.transpose(1, 2)
    return z_scores(told.view_as(stands_out))


def relative_places(anchor: Tensor, size: tuple[int, int]) -> Tensor:
    """Where each pixel is relative to the anchor.

    Args:
        anchor: [M, K, h, w] channels of the anchor's noun, all zero where there is none.
        size: (h', w') of the result.

    Returns:
        [M, 2, h', w'] x and y (-1 to 1 over the picture) less those of the middle of what looks
        like the anchor; zero without anchor.
    """
    product = anchor[:, 1]
    share = torch.softmax(_PEAK * z_scores(product).flatten(1), dim=1).view_as(product)
    cells = coordinates(product.shape[1], product.shape[2], product)
    middle = (share[:, None] * cells).sum((2, 3), keepdim=True)
    named = (product != 0).any(2).any(1)[:, None, None, None]
    return (coordinates(*size, anchor) - middle) * named


def coordinates(height: int, width: int, like: Tensor) -> Tensor:
    """[1, 2, h, w] x and y from -1 to 1."""
    y, x = (torch.linspace(-1, 1, side, device=like.device, dtype=like.dtype)
            for side in (height, width))
    return torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)))[None]
