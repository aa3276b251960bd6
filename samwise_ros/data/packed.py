"""Clips at the model's input size in two memory-mapped files, for training on little hardware.

Reading JPEGs and run-length codes costs more than a training step of a small model. `pack_mevis`
does it once; `PackedClips` then hands out views that cost a page fault. Files of a packed folder:

- `frames.npy`: uint8 [sum of T, h, w, 3], RGB, resized by pixel area;
- `labels.npy`: uint8 [sum of T, h, w], 1-based number of the object in its clip, 0 background,
  resized to the nearest pixel;
- `index.json`: per clip its place, expressions and objects. Moved here last, so that a folder whose
  packing was interrupted is recognised as unfinished.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from rich.progress import Progress

from samwise_ros.data.files import check_same_size, read_json
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.reader import Phrases, VideoRecord
from samwise_ros.data.scene_objects import SceneObject, scene_objects
from samwise_ros.structures import DataError
from samwise_ros.user_files import claim_outputs

FORMAT = 1
MAX_OBJECTS = 255
_FILES = ("frames.npy", "labels.npy", "index.json")  # in the order of completion
_UNFINISHED = ".packing"  # folder of the files until all are complete


@dataclass(frozen=True)
class _Clip:
    """Where one clip lies in the packed files."""

    source: str
    video: str
    start: int
    length: int
    expressions: tuple[tuple[str, str | None, tuple[int, ...]], ...]
    objects: tuple[dict[str, Any], ...]
    phrases: tuple[dict[str, Any] | None, ...] = ()  # one per expression; () in older packings


class PackedClips:
    """A packed folder. Views are read-only and share the page cache between processes.

    Args:
        root: Folder written by `pack_mevis`.

    Raises DataError when the folder is unfinished or does not fit its index.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        index = read_json(self.root / "index.json",
                          "Packing did not finish: run it again on the same folder.")
        if index.get("format") != FORMAT:
            raise DataError(f"{self.root / 'index.json'}: expected format {FORMAT}, got "
                            f"{index.get('format')!r}. Pack the data again.")
        self._clips = tuple(_read_clip(entry) for entry in index["clips"])
        self._total = sum(clip.length for clip in self._clips)
        self.size: tuple[int, int] = tuple(index["size"])
        self._open()

    @property
    def num_clips(self) -> int:
        """Number of clips."""
        return len(self._clips)

    def length(self, clip: int) -> int:
        """Number of frames T of one clip."""
        return self._clips[clip].length

    def video(self, clip: int) -> tuple[str, str]:
        """(source folder, video name) of one clip."""
        return self._clips[clip].source, self._clips[clip].video

    def frames(self, clip: int) -> np.ndarray:
        """uint8 [T, h, w, 3] RGB, a view of the file."""
        place = self._clips[clip]
        return self._frames[place.start:place.start + place.length]

    def labels(self, clip: int) -> np.ndarray:
        """uint8 [T, h, w]: 1-based number in `objects(clip)`, 0 background; a view of the file."""
        place = self._clips[clip]
        return self._labels[place.start:place.start + place.length]

    def expressions(self, clip: int) -> list[tuple[str, str | None, tuple[int, ...]]]:
        """(sentence, kind, 1-based object numbers) each; no numbers when the thing is absent."""
        return list(self._clips[clip].expressions)

    def phrases(self, clip: int) -> list[Phrases | None]:
        """Where the nouns of each expression stand; None where the data do not say."""
        place = self._clips[clip]
        entries = place.phrases or (None,) * len(place.expressions)
        return [Phrases(tuple(entry["noun"]), tuple(map(tuple, entry["anchors"])),
                        entry["named"], entry["form"]) if entry else None for entry in entries]

    def objects(self, clip: int) -> list[dict[str, Any]]:
        """Facts of each object; entry i describes the pixels labelled i + 1."""
        return list(self._clips[clip].objects)

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as a copy of the whole file.
        return {**self.__dict__, "_frames": None, "_labels": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        self._frames = self._map("frames.npy", (self._total, *self.size, 3))
        self._labels = self._map("labels.npy", (self._total, *self.size))

    def _map(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        path = self.root / name
        try:
            array = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be opened ({error}). Pack the data again.") from error
        if array.shape != shape or array.dtype != np.uint8:
            raise DataError(f"{path}: expected uint8 {shape}, got {array.dtype} {array.shape}. "
                            "Pack the data again.")
        return array


def pack_mevis(src_dirs: Sequence[Path | str], out_dir: Path | str, size_hw: tuple[int, int],
               workers: int = 1, progress: bool = True) -> PackedClips:
    """Pack every video of one or more MeViS (or simulated) folders.

    Args:
        src_dirs: Folders that `MevisSource` reads; each must come with masks.
        out_dir: Folder to write; it must not hold a packing already.
        size_hw: (h, w) of the packed frames.
        workers: Processes that read and resize.
        progress: Show a progress bar.

    Where masks of recorded videos overlap, a pixel belongs to the object with the highest number.
    Raises DataError for unreadable input, ConfigError when `out_dir` holds such files.
    """
    out = Path(out_dir)
    claim_outputs(out, _FILES, map(Path, src_dirs))
    work = out / _UNFINISHED
    work.mkdir(exist_ok=True)
    clips = _plan([MevisSource(folder) for folder in src_dirs])
    total = sum(clip.length for clip in clips)
    for name, shape in (("frames.npy", (total, *size_hw, 3)), ("labels.npy", (total, *size_hw))):
        open_memmap(work / name, mode="w+", dtype=np.uint8, shape=shape).flush()
    _fill(clips, work, workers, progress)
    (work / "index.json").write_text(json.dumps({
        "format": FORMAT, "size": list(size_hw), "clips": [vars(clip) for clip in clips]}))
    for name in _FILES:
        os.replace(work / name, out / name)
    work.rmdir()
    return PackedClips(out)


def _plan(sources: Sequence[MevisSource]) -> list[_Clip]:
    clips, start = [], 0
    for source in sources:
        for video in source.videos:
            objects = scene_objects(video)
            if len(objects) > MAX_OBJECTS:
                raise DataError(f"{source.root}: video {video.name} has {len(objects)} objects, "
                                f"labels hold {MAX_OBJECTS}. Leave this video out.")
            clips.append(_Clip(str(source.root), video.name, start, len(video.frames),
                               _numbered_expressions(video, objects),
                               tuple(entry.facts for entry in objects),
                               tuple(vars(expression.phrases) if expression.phrases else None
                                     for expression in video.expressions)))
            start += len(video.frames)
    if not clips:
        raise DataError("nothing to pack: the given folders hold no videos")
    return clips


def _numbered_expressions(video: VideoRecord, objects: Sequence[SceneObject],
                          ) -> tuple[tuple[str, str | None, tuple[int, ...]], ...]:
    number = {entry.anno_id: row for row, entry in enumerate(objects, start=1)}
    return tuple((expression.text, expression.kind,
                  tuple(sorted(number[anno_id] for anno_id in expression.anno_ids)))
                 for expression in video.expressions)


def _fill(clips: Sequence[_Clip], out: Path, workers: int, progress: bool) -> None:
    """Write the pixels of all clips, in this process or in `workers` others."""
    batches = [clips[first:first + 8] for first in range(0, len(clips), 8)]
    with Progress(disable=not progress) as bar:
        task = bar.add_task("packing", total=len(clips))
        if workers <= 1:
            writer = _Writer(out)
            for clip in clips:
                writer.write(clip)
                bar.advance(task)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for done in as_completed([pool.submit(_write_batch, out, batch) for batch in batches]):
                bar.advance(task, done.result())


class _Writer:
    """Reads clips from their sources and writes them into the packed files."""

    def __init__(self, out: Path) -> None:
        cv2.setNumThreads(1)
        self._frames = np.load(out / "frames.npy", mmap_mode="r+")
        self._labels = np.load(out / "labels.npy", mmap_mode="r+")
        self._sources: dict[str, MevisSource] = {}

    def write(self, clip: _Clip) -> None:
        """Resize and store all frames and labels of one clip."""
        if clip.source not in self._sources:
            self._sources[clip.source] = MevisSource(clip.source)
        source = self._sources[clip.source]
        video = source.video(clip.video)
        labels = _label_maps(source, video)
        height, width = self._frames.shape[1:3]
        for row in range(clip.length):
            rgb = source.frame(video, row)
            check_same_size(labels.shape, rgb.shape, str(source.frame_path(video, row)))
            place = clip.start + row
            self._frames[place] = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
            self._labels[place] = cv2.resize(labels[row], (width, height),
                                             interpolation=cv2.INTER_NEAREST_EXACT)


def _label_maps(source: MevisSource, video: VideoRecord) -> np.ndarray:
    """uint8 [T, H, W] object numbers at the size of the source."""
    every = range(len(video.frames))
    labels = np.zeros((len(video.frames), *source.frame_size(video)), np.uint8)
    for number, entry in enumerate(scene_objects(video), start=1):
        labels[source.track(video, entry.anno_id, every) > 0] = number
    return labels


@lru_cache(maxsize=1)
def _writer(out: Path) -> _Writer:
    """One writer per worker process: opening a source parses all of its masks."""
    return _Writer(out)


def _write_batch(out: Path, batch: Sequence[_Clip]) -> int:
    for clip in batch:
        _writer(out).write(clip)
    return len(batch)


def _read_clip(entry: dict[str, Any]) -> _Clip:
    expressions = tuple((text, kind, tuple(numbers)) for text, kind, numbers in
                        entry["expressions"])
    return _Clip(entry["source"], entry["video"], entry["start"], entry["length"], expressions,
                 tuple(entry["objects"]), tuple(entry.get("phrases", ())))
