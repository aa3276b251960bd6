"""Referring image segmentation: overall IoU, mean IoU and precision at IoU thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.progress import Progress

from samwise_ros.config import ModelConfig
from samwise_ros.data.reader import VideoRecord
from samwise_ros.data.refcoco import RefCocoSource
from samwise_ros.data.transforms import normalise, training_size
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.evaluation.predictors import StreamPredictor
from samwise_ros.evaluation.store import ResultStore
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.clip_runner import ClipRunner, ClipState
from samwise_ros.streaming.image_ops import input_size, logit_threshold

EPSILON = 1e-6  # added to unions, as published
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
BLOCK = 50  # results are recorded in blocks, since one image takes little time


class ImagePredictor(Protocol):
    """Segments single images."""

    def mask(self, rgb: np.ndarray, expression: str) -> np.ndarray:
        """bool [H, W] for uint8 [H, W, 3]."""
        ...


@dataclass(frozen=True)
class ImageResult:
    """Pixels in the intersection and in the union of answer and truth, for one sentence."""

    name: str
    intersection: int
    union: int

    @property
    def key(self) -> tuple[str, str]:
        """Unique in a split."""
        return self.name, "0"

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageResult:
        """Inverse of `to_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class RefCocoReport:
    """Overall IoU, mean IoU, and share of sentences above each threshold, all in 0..1."""

    overall_iou: float
    mean_iou: float
    precision: dict[float, float]
    count: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON report."""
        return {"overall_iou": self.overall_iou, "mean_iou": self.mean_iou, "count": self.count,
                "precision": {str(key): value for key, value in self.precision.items()}}


class OfficialImagePredictor:
    """The published single-image path (docs/evaluation.md, 2.4).

    Training's resize rule, a clip of one frame, threshold at input size, nearest resize to the
    image.
    """

    def __init__(self, model: SamwiseModel) -> None:
        self._model = model
        self._runner = ClipRunner(model)

    def mask(self, rgb: np.ndarray, expression: str) -> np.ndarray:
        """See `ImagePredictor`."""
        config = self._model.config
        (height, width), padded = _sizes(rgb.shape[:2], config)
        resized = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
        pixels = normalise(pixels[None])
        # Negative padding crops: very wide images exceed the input by a few pixels, as published.
        pixels = F.pad(pixels, (0, padded[1] - width, 0, padded[0] - height))
        tokens = self._model.tokenizer([expression]).to(self._model.device)
        segmentation, _ = next(self._runner.segment_window(
            pixels[None].to(self._model.device), tokens, ClipState()))
        mask = segmentation.high_res > logit_threshold(config.mask_threshold)
        mask = mask[:, None, :height, :width].float()
        return F.interpolate(mask, rgb.shape[:2], mode="nearest")[0, 0].cpu().numpy() > 0


class StreamImagePredictor:
    """The first step of a new session."""

    def __init__(self, model: SamwiseModel) -> None:
        self._predictor = StreamPredictor(SessionMaker(model))

    def mask(self, rgb: np.ndarray, expression: str) -> np.ndarray:
        """See `ImagePredictor`."""
        (answer,), = self._predictor.run([rgb], [expression])
        return answer.mask


def evaluate_refcoco(predictor: ImagePredictor, source: RefCocoSource,
                     items: Sequence[VideoRecord], store: ResultStore[ImageResult],
                     progress: bool = True) -> RefCocoReport:
    """Segment and score every sentence that the store has not yet.

    Args:
        predictor: The model's single-image path.
        source: The split.
        items: Sentences of it.
        store: Receives the results.
        progress: Show a progress bar.

    Raises DataError for missing or broken data.
    """
    pending = [item for item in items if (item.name, "0") not in store]
    with Progress(disable=not progress) as bar:
        task = bar.add_task("evaluating", total=len(items), completed=len(items) - len(pending))
        for first in range(0, len(pending), BLOCK):
            block = []
            for item in pending[first:first + BLOCK]:
                block.append(_score(predictor, source, item))
                bar.advance(task)
            store.add(block)
    wanted = {item.name for item in items}
    return summarise([result for result in store.results if result.name in wanted])


def summarise(results: Sequence[ImageResult]) -> RefCocoReport:
    """Means over sentences (docs/evaluation.md, 2.4)."""
    table = np.array([(result.intersection, result.union) for result in results], float)
    table = table.reshape(-1, 2)
    if not len(table):
        return RefCocoReport(0.0, 0.0, dict.fromkeys(THRESHOLDS, 0.0), 0)
    ious = table[:, 0] / (table[:, 1] + EPSILON)
    overall = table[:, 0].sum() / (table[:, 1].sum() + EPSILON)
    precision = {threshold: float((ious > threshold).mean()) for threshold in THRESHOLDS}
    return RefCocoReport(float(overall), float(ious.mean()), precision, len(table))


def _score(predictor: ImagePredictor, source: RefCocoSource, item: VideoRecord) -> ImageResult:
    expression = item.expressions[0]
    truth = source.masks(item, expression, [0])[0]
    mask = predictor.mask(source.frame(item, 0), expression.text)
    return ImageResult(item.name, int((mask & truth).sum()), int((mask | truth).sum()))


def _sizes(camera: tuple[int, int], config: ModelConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """(h, w) after resizing and after padding."""
    if config.fit == "rectangle":
        size = input_size(camera, config.image_size, config.fit)
        return size.resized, size.padded
    side = config.image_size
    return training_size(*camera, side, side), (side, side)
