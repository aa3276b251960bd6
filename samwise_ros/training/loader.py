"""Batches of the recorded data sets, drawn as the published recipes draw them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader

from samwise_ros.data.datasets import ClipBatch, ClipDataset, collate_clips
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
from samwise_ros.data.refcoco import RefCocoSource
from samwise_ros.data.transforms import image_transform, video_transform
from samwise_ros.structures import ConfigError, DataError
from samwise_ros.training.batches import TrainBatch, Vocabulary
from samwise_ros.training.recipe import DataSetup


def make_datasets(setup: DataSetup, image_size: int, seed: int) -> list[ClipDataset]:
    """The data sets of a recipe: one per root.

    A RefCOCO root is "ANNOTATIONS:IMAGES:SET", such as "data/coco:data/coco/train2014:refcoco+".
    """
    if setup.kind == "refcoco":
        transform = image_transform(image_size, setup.augment)
        return [ClipDataset(_refcoco(root), setup.frames, "local", transform, seed=seed,
                            lower_captions=False) for root in setup.roots]
    transform = video_transform(image_size, setup.augment)
    if setup.kind == "mevis":
        return [ClipDataset(MevisSource(root), setup.frames, "global", transform, seed=seed)
                for root in setup.roots]
    return [ClipDataset(RefYoutubeVosSource(root), setup.frames, "local", transform, seed=seed)
            for root in setup.roots]


def _refcoco(root: str) -> RefCocoSource:
    parts = root.split(":")
    if len(parts) != 3:
        raise ConfigError(f"data.roots: expected ANNOTATIONS:IMAGES:SET for RefCOCO, got {root!r}")
    return RefCocoSource(Path(parts[0]), Path(parts[1]), parts[2])


class LoaderBatches:
    """Batches of `ClipDataset`s, loaded by worker processes.

    Args:
        datasets: Concatenated.
        clips: B, clips per batch and process.
        image_size: Side of the square that batches are padded to.
        workers: Loader processes.
        seed, rank, world: Order of each epoch; every process gets its own part.

    The order of an epoch depends on (seed, epoch) and an item on (seed, epoch, index), so any batch
    can be asked for; asking in order is quick, because the loader works ahead.
    """

    vocabulary = Vocabulary()  # real data names no classes

    def __init__(self, datasets: Sequence[ClipDataset], clips: int, image_size: int,
                 workers: int = 0, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        self._datasets = datasets
        self._joined: ConcatDataset = ConcatDataset(datasets)
        self._clips, self._size, self._workers = clips, image_size, workers
        self._seed, self._rank, self._world = seed, rank, world
        self._next = -1
        self._loaded: Iterator[ClipBatch] = iter(())
        if self.steps_per_epoch == 0:
            raise DataError(f"{len(self._joined)} clips are too few for batches of {clips} on "
                            f"{world} processes")

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; the incomplete last one is left out."""
        return len(self._joined) // (self._clips * self._world)

    def batch(self, number: int) -> TrainBatch:
        """The batch with this number, counted over all epochs."""
        if number != self._next:
            self._loaded = self._load_from(number)
        self._next = number + 1
        return to_train_batch(next(self._loaded), self._size)

    def order(self, epoch: int) -> list[list[int]]:
        """Indices of this process's batches of one epoch."""
        rng = np.random.default_rng((self._seed, epoch))
        shuffled = rng.permutation(len(self._joined))[self._rank :: self._world]
        used = shuffled[: self.steps_per_epoch * self._clips]
        return used.reshape(-1, self._clips).tolist()

    def _load_from(self, number: int) -> Iterator[ClipBatch]:
        epoch, first = divmod(number, self.steps_per_epoch)
        while True:
            for dataset in self._datasets:
                dataset.set_epoch(epoch)
            yield from DataLoader(self._joined, batch_sampler=self.order(epoch)[first:],
                                  collate_fn=collate_clips, num_workers=self._workers)
            epoch, first = epoch + 1, 0


def to_train_batch(batch: ClipBatch, image_size: int) -> TrainBatch:
    """Pad the frames of a batch, bottom and right, to the model's square input."""
    height, width = batch.pixels.shape[-2:]
    if max(height, width) > image_size:  # very wide frames: the published padding crops them too
        pixels = batch.pixels[..., :image_size, :image_size]
        height, width = pixels.shape[-2:]
    else:
        pixels = batch.pixels
    pixels = torch.nn.functional.pad(pixels, (0, image_size - width, 0, image_size - height))
    return TrainBatch(pixels, batch.expressions, torch.arange(len(batch.expressions)),
                      batch.masks, valid=(height, width))
