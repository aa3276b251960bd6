"""Labels of the Conditional Memory Encoder (docs/model.md, 6.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samwise_ros.model.samwise import CmeRecord

IGNORE = -1
MIN_PIXELS = 50  # of 576 x 1024 and the like; scaled for smaller inputs by `label_record`
MIN_OVERLAP = 0.1
CLASS_WEIGHTS = (1.0, 2.0)


def cme_labels(with_memory: Tensor, free: Tensor, free_scores: Tensor,
               min_pixels: float = MIN_PIXELS) -> Tensor:
    """Whether the two passes have found different objects.

    Args:
        with_memory, free: [N, H, W] mask logits of the passes with and without memory.
        free_scores: [N] object score logit of the pass without memory.
        min_pixels: Two masks that are both at most this large say nothing.

    Returns:
        int64 [N]: 1 different, 0 the same, -1 ignore. If exactly one mask is empty the label is 0,
        as in the published code (its comment says otherwise).
    """
    first, second = with_memory > 0, free > 0
    area_first, area_second = first.sum((1, 2)), second.sum((1, 2))
    common = (first & second).sum((1, 2)).float()
    overlap = common / torch.minimum(area_first, area_second)  # 0 / 0 is NaN: not below 0.1
    labels = (overlap < MIN_OVERLAP).long()
    small = (area_first <= min_pixels) & (area_second <= min_pixels)
    return labels.masked_fill(small | (free_scores < 0), IGNORE)


def cme_loss(records: tuple[CmeRecord, ...], image_size: int) -> Tensor | None:
    """Weighted cross-entropy over all frames on which the CME ran; None without any label.

    Args:
        records: From `SamwiseModel.forward`.
        image_size: Input side; the published 50 pixels belong to 1024.
    """
    if not records:
        return None
    min_pixels = MIN_PIXELS * (image_size / 1024) ** 2
    labels = torch.cat([cme_labels(r.with_memory.detach(), r.free.detach(),
                                   r.free_scores.detach(), min_pixels) for r in records])
    logits = torch.cat([record.logits for record in records])
    if not (labels != IGNORE).any():
        return None
    weight = logits.new_tensor(CLASS_WEIGHTS)
    return F.cross_entropy(logits.float(), labels, weight, ignore_index=IGNORE)
