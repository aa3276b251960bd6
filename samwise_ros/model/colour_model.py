"""The colours of a target against those around it, frame by frame, as an addition to its mask.

A decoder that reads features at stride 4 to 16 finds where a target is better than where it ends.
What colours the found mask holds, and what colours the rest of the picture, are two histograms of
the same frame; the logarithm of their ratio at a pixel says whether the pixel's colour belongs to
the target. Nothing is trained and nothing is kept from frame to frame (GrabCut's idea, Rother et
al. 2004, in one pass, with histograms for mixtures and the decoder's logits for the user's box).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_BINS = 5  # per axis of colour
_STRETCH = 1.2  # of z-scores before the bins, which end at about two of them
_FLOOR = 2e-4  # share of a histogram that every bin has
_LIMIT = 4.0  # of a mask logit and of the logarithm of a ratio: neither overrules the other


def mask_colours(pixels: Tensor) -> Tensor:
    """[M, 3, S_h, S_w] normalised RGB -> [M, 3, S_h/4, S_w/4], what a mask's cells show."""
    return F.avg_pool2d(pixels, 4)


def refine(logits: Tensor, colours: Tensor, weight: float) -> Tensor:
    """Add what colours say to mask logits.

    Args:
        logits: [N, h, w], positive on the target.
        colours: [M, 3, h, w] of `mask_colours`, for N rows or a part of them, again and again.
        weight: Of the logarithm of the colours' ratio.

    Returns:
        [N, h, w], within +-_LIMIT * (1 + weight); gradients are those of `logits`.
    """
    bins = _memberships(colours.float())
    bins = bins if len(bins) == 1 else bins.repeat(len(logits) // len(bins), 1, 1)
    bounded = logits.float().clamp(-_LIMIT, _LIMIT)
    inside = torch.sigmoid(bounded).flatten(1)[:, None]
    target, rest = _histogram(inside.square(), bins), _histogram((1 - inside).square(), bins)
    ratio = (target / rest).log().clamp(-_LIMIT, _LIMIT)
    found = (bins @ ratio.transpose(1, 2))[..., 0]
    change = bounded + weight * found.view_as(bounded) - logits
    return logits + change.detach().to(logits.dtype)


def _memberships(colours: Tensor) -> Tensor:
    """[M, 3, h, w] -> [M, h*w, _BINS^3], rows that sum to one: a colour is in the bins around it.

    The axes are brightness and two of hue, each by its z-score in the picture: bins are as fine as
    the picture's own colours need.
    """
    red, green, blue = colours.flatten(2).unbind(1)
    axes = torch.stack((red + green + blue, red - blue, 2 * green - red - blue), dim=1)
    spread = axes.std(2, keepdim=True) + 1e-2
    place = torch.sigmoid(_STRETCH * (axes - axes.mean(2, keepdim=True)) / spread) * (_BINS - 1)
    centres = torch.arange(_BINS, device=colours.device, dtype=colours.dtype)
    near = (1 - (place[..., None] - centres).abs()).clamp(min=0)
    first, second, third = near.unbind(1)
    pairs = (first[..., :, None] * second[..., None, :]).flatten(2)
    return (pairs[..., :, None] * third[..., None, :]).flatten(2)


def _histogram(shares: Tensor, bins: Tensor) -> Tensor:
    """[N, 1, P] shares of pixels, [N or 1, P, K] bins -> [N, 1, K] of about one, nowhere zero."""
    counts = shares @ bins
    return counts / counts.sum(2, keepdim=True).clamp(min=1e-3) + _FLOOR
