"""Torch data sets of training clips, and how clips become a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from samwise_ros.data.files import check_same_size
from samwise_ros.data.reader import ExpressionRecord, VideoRecord, VideoSource
from samwise_ros.data.sampling import SAMPLERS, SamplerName, clip_anchors
from samwise_ros.data.transforms import ClipTransform, normalise_caption
from samwise_ros.structures import DataError

ATTEMPTS = 100  # random other items tried when an item shows no target


@dataclass(frozen=True)
class ClipSample:
    """What one training item holds.

    Attributes:
        frames: float32 [T, 3, H, W] RGB in 0..1, or normalised where the transform does that.
        masks: bool [T, H, W] of what the expression refers to.
        expression: The sentence.
        video: Name of the video or image.
        expression_id: Key of the expression in its video.
        frame_indices: Position of each frame in its video, T numbers, rising.
    """

    frames: Tensor
    masks: Tensor
    expression: str
    video: str
    expression_id: str
    frame_indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[1] != 3:
            raise DataError(f"frames: expected [T, 3, H, W], got {tuple(self.frames.shape)}")
        expected = (self.frames.shape[0], *self.frames.shape[2:])
        if tuple(self.masks.shape) != expected or self.masks.dtype != torch.bool:
            raise DataError(f"masks: expected bool {expected}, got {self.masks.dtype} "
                            f"{tuple(self.masks.shape)}")
        if len(self.frame_indices) != len(self.frames):
            raise DataError(f"frame_indices: expected {len(self.frames)} numbers, "
                            f"got {len(self.frame_indices)}")


class ClipDataset(Dataset[ClipSample]):
    """Training clips of one source; items depend on (seed, epoch, index) only.

    Args:
        source: The data set.
        num_frames: T, frames per clip.
        sampler: "global" (MeViS) or "local" (Ref-YouTube-VOS); for T = 1 both give the anchor.
        transform: Applied to each clip.
        lower_captions: Normalise the sentence as the video recipes do; RefCOCO keeps it as stored.
        seed: First part of each item's randomness.

    An item whose target is visible in no frame is replaced by a random other item, as published.
    """

    def __init__(self, source: VideoSource, num_frames: int, sampler: SamplerName,
                 transform: ClipTransform, *, lower_captions: bool = True, seed: int = 0) -> None:
        if sampler not in SAMPLERS:
            raise DataError(f"sampler: expected one of {', '.join(SAMPLERS)}, got {sampler!r}")
        self.source = source
        self.num_frames = num_frames
        self._sample_frames = SAMPLERS[sampler]
        self._transform = transform
        self._lower = lower_captions
        self._seed = seed
        # In shared memory, so that persistent loader processes see a new epoch.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._anchors = clip_anchors(source.videos, num_frames)
        if not self._anchors:
            raise DataError(f"{source.root}: no expressions to train on")

    def __len__(self) -> int:
        return len(self._anchors)

    def set_epoch(self, epoch: int) -> None:
        """Choose the randomness of the next epoch, in all loader processes."""
        self._epoch[0] = epoch

    def __getitem__(self, index: int) -> ClipSample:
        rng = np.random.default_rng((self._seed, int(self._epoch[0]), index))
        for _ in range(ATTEMPTS):
            sample = self._load(index, rng)
            if sample is not None:
                return sample
            index = int(rng.integers(len(self)))
        raise DataError(f"{self.source.root}: {ATTEMPTS} clips in a row show no target. Do masks "
                        "and expressions come from the same split?")

    def _load(self, index: int, rng: np.random.Generator) -> ClipSample | None:
        row, expression_row, anchor = self._anchors[index]
        video = self.source.videos[row]
        expression = video.expressions[expression_row]
        indices = self._sample_frames(anchor, self.num_frames, len(video.frames), rng)
        masks = self.source.masks(video, expression, indices)
        if not masks.any():
            return None
        frames = load_frames(self.source, video, indices, masks)
        pixels, resized = self._transform(frames, masks, rng)
        if not resized.any():
            return None
        return self._sample(pixels, resized, video, expression, indices)

    def _sample(self, pixels: Tensor, masks: Tensor, video: VideoRecord,
                expression: ExpressionRecord, indices: Sequence[int]) -> ClipSample:
        text = normalise_caption(expression.text) if self._lower else expression.text
        return ClipSample(pixels, masks, text, video.name, expression.expression_id,
                          tuple(indices))


def load_frames(source: VideoSource, video: VideoRecord, indices: Sequence[int],
                masks: np.ndarray) -> list[np.ndarray]:
    """uint8 [H, W, 3] frames of a clip. Raises DataError unless each has the size of its mask."""
    frames = []
    for index, mask in zip(indices, masks, strict=True):
        frame = source.frame(video, index)
        check_same_size(mask.shape, frame.shape, str(source.frame_path(video, index)))
        frames.append(frame)
    return frames


@dataclass(frozen=True)
class ClipBatch:
    """Clips padded to one size.

    Attributes:
        pixels: float32 [B, T, 3, h, w], zero (the mean colour) right of and below each clip.
        masks: bool [B, T, h', w'], h' and w' being h and w rounded up to multiples of 32, as the
            published loss pads them.
        expressions: B sentences.
        samples: The unpadded clips, for ids and pictures.
    """

    pixels: Tensor
    masks: Tensor
    expressions: tuple[str, ...]
    samples: tuple[ClipSample, ...]


def collate_clips(samples: Sequence[ClipSample]) -> ClipBatch:
    """Batch of clips with the same T (docs/model.md, 6.3)."""
    lengths = {len(sample.frames) for sample in samples}
    if len(lengths) != 1:
        raise DataError(f"clips of one batch need one length, got {sorted(lengths)}")
    height = max(sample.frames.shape[-2] for sample in samples)
    width = max(sample.frames.shape[-1] for sample in samples)
    shape = (len(samples), lengths.pop())
    pixels = torch.zeros(*shape, 3, height, width)
    masks = torch.zeros(*shape, _multiple_of_32(height), _multiple_of_32(width), dtype=torch.bool)
    for row, sample in enumerate(samples):
        h, w = sample.frames.shape[-2:]
        pixels[row, :, :, :h, :w] = sample.frames
        masks[row, :, :h, :w] = sample.masks
    return ClipBatch(pixels, masks, tuple(sample.expression for sample in samples), tuple(samples))


def _multiple_of_32(side: int) -> int:
    return -(-side // 32) * 32
