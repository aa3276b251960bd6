"""Contact sheets: what the model says about validation clips."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.pictures import write_encoded
from samwise_ros.structures import IMAGENET_MEAN, IMAGENET_STD
from samwise_ros.training.batches import TrainBatch
from samwise_ros.training.validation import stream_clip

SCALE = 2
TRUTH, FOUND = (0, 255, 0), (255, 0, 255)  # BGR outlines


def write_sheet(path: Path, model: SamwiseModel, batches: Iterable[TrainBatch], rows: int = 6,
                columns: int = 6) -> None:
    """Write a PNG: a line per clip, a picture per expression (last frame of the clip).

    Green: the answer. Magenta: what the model found. Model in eval mode.
    """
    lines = []
    for batch, _ in zip(batches, range(rows)):
        tokens = model.tokenizer(batch.expressions)
        masks, scores = stream_clip(model, batch.pixels, tokens, batch.clip_of_row)
        frame = to_image(batch.pixels[0, -1])
        step = max(1, len(batch.expressions) // columns)
        picked = list(range(0, len(batch.expressions), step))[:columns]
        tiles = [_tile(frame, masks[i, -1].numpy(), batch.masks[i, -1].numpy(),
                       batch.expressions[i], float(scores[i, -1])) for i in picked]
        tiles += [np.zeros_like(tiles[0])] * (columns - len(tiles))
        lines.append(np.hstack(tiles))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_encoded(path, np.vstack(lines))


def to_image(pixels: Tensor) -> np.ndarray:
    """Normalised [3, H, W] -> uint8 BGR [H, W, 3]."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    rgb = ((pixels * std + mean).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _tile(frame: np.ndarray, found: np.ndarray, truth: np.ndarray, text: str,
          score: float) -> np.ndarray:
    size = frame.shape[1] * SCALE, frame.shape[0] * SCALE
    tile = cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST)
    for mask, colour in ((truth, TRUTH), (found, FOUND)):
        large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outlines, -1, colour, 2)
    cv2.putText(tile, f"{text} ({score:+.1f})", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4,
                (255, 255, 255), 1, cv2.LINE_AA)
    return tile
