"""Contact sheets: what the model says about validation clips."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.drawing import ContactSheet, paint_masks
from samwise_ros.streaming.pictures import write_encoded
from samwise_ros.structures import IMAGENET_MEAN, IMAGENET_STD
from samwise_ros.training.batches import TrainBatch
from samwise_ros.training.validation import stream_clip


def write_sheet(path: Path, model: SamwiseModel, batches: Iterable[TrainBatch], clips: int = 6,
                columns: int = 6) -> None:
    """Write a PNG: up to `columns` expressions of each clip on its last frame, with their scores.

    The answer is painted in the first colour of `drawing.PALETTE`, what the model found in the
    second. Model in eval mode.
    """
    sheet = ContactSheet(columns, clips)
    for batch, _ in zip(batches, range(clips)):
        tokens = model.tokenizer(batch.expressions)
        masks, scores = stream_clip(model, batch.pixels, tokens, batch.clip_of_row)
        frame = to_image(batch.pixels[0, -1])
        step = max(1, len(batch.expressions) // columns)
        for i in range(0, len(batch.expressions), step)[:columns]:
            both = batch.masks[i, -1].bool().numpy(), masks[i, -1].bool().numpy()
            sheet.add(paint_masks(frame, both),
                      f"{batch.expressions[i]} ({float(scores[i, -1]):+.1f})")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_encoded(path, sheet.image()[..., ::-1])


def to_image(pixels: Tensor) -> np.ndarray:
    """Normalised [3, H, W] -> uint8 RGB [H, W, 3]."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pixels * std + mean).clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous().numpy()
