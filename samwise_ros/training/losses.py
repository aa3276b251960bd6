"""Loss terms (docs/model.md, 6.3) and the variants that nano is trained with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

ALPHA, GAMMA = 0.25, 2.0  # focal loss, as published


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss: mean over all pixels of a clip, then over clips.

    Args:
        logits: [N, T, H, W]. target: the same shape, 0 or 1.
    """
    return sigmoid_focal_loss(logits, target.float(), ALPHA, GAMMA).flatten(1).mean(1).mean()


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss over all pixels of a clip jointly, then mean over clips; shapes as `focal_loss`."""
    return _dice(torch.sigmoid(logits).flatten(1), target.float().flatten(1)).mean()


def _dice(p: Tensor, target: Tensor) -> Tensor:
    """[M, P] probabilities and targets -> [M]."""
    return 1 - (2 * (p * target).sum(1) + 1) / (p.sum(1) + target.sum(1) + 1)


def fit_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, T, H, W] logits resized to the (h, w) of the target, as the published loss does."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def frame_losses(logits: Tensor, target: Tensor, visible: Tensor,
                 absent_weight: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy and dice per frame.

    Args:
        logits, target: [N, T, H, W].
        visible: bool [N, T], frames on which the target counts as visible.
        absent_weight: Weight of the cross-entropy of the other frames, whose mask is empty.

    Returns:
        Both as means over the visible frames (of the batch; at least one in the denominator).
    """
    target = target.float()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))
    weight = visible.float() + absent_weight * (~visible).float()
    count = visible.sum().clamp(min=1)
    dice = _dice(torch.sigmoid(logits).flatten(0, 1).flatten(1), target.flatten(0, 1).flatten(1))
    return ((entropy * weight).sum() / count,
            (dice.view_as(entropy) * visible).sum() / count)


def score_loss(scores: Tensor, visible: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of the object score.

    Args:
        scores: [N, T] logits. visible: bool [N, T].
        known: bool [N, T], False where a sliver of the target makes the answer arbitrary.
    """
    entropy = F.binary_cross_entropy_with_logits(scores, visible.float(), reduction="none")
    return (entropy * known).sum() / known.sum().clamp(min=1)
