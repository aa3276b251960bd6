"""RefCOCO, RefCOCO+ and RefCOCOg after conversion: one image, one sentence, one object each.

Layout (docs/evaluation.md, 1.4): `<root>/<set>/instances_<set>_<split>.json` in
COCO format, where each sentence is an "image" of its own with one annotation.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from samwise_ros.data.files import check_same_size, decode_rle, image_size, read_field, read_json
from samwise_ros.data.reader import ExpressionRecord, VideoRecord, VideoSource
from samwise_ros.structures import DataError
from samwise_ros.user_files import contained_name

_log = logging.getLogger(__name__)

SPLITS = {
    "refcoco": ("train", "val", "testA", "testB"),
    "refcoco+": ("train", "val", "testA", "testB"),
    "refcocog": ("train", "val", "test"),
}
REMEDY = ("Convert the set first: `samwise_ros.data.refcoco_converter.convert_refcoco`, from "
          "refs(unc|umd).p and instances.json.")


class RefCocoSource(VideoSource):
    """One split of a converted RefCOCO set, every sentence a video of one frame.

    Args:
        root: Folder that holds one folder per set.
        images: Folder of the COCO train2014 images.
        name: "refcoco", "refcoco+" or "refcocog".
        split: A split of that set.

    Annotations of crowds, without a valid box and without an outline are left out. Raises DataError
    for missing or broken files.
    """

    def __init__(self, root: Path | str, images: Path | str, name: str = "refcoco",
                 split: str = "train") -> None:
        if split not in SPLITS.get(name, ()):
            known = "; ".join(f"{key}: {', '.join(value)}" for key, value in SPLITS.items())
            raise DataError(f"no split {split!r} of {name!r}; known are {known}")
        self.root = Path(root)
        self.images = Path(images)
        self._path = self.root / name / f"instances_{name}_{split}.json"
        content = read_json(self._path, REMEDY)
        self._annotations = {
            str(read_field(annotation, "image_id", self._path, "an annotation")): annotation
            for annotation in read_field(content, "annotations", self._path, "the file", list)
            if _has_area(annotation)}
        self._sizes: dict[str, tuple[int, int]] = {}
        entries = read_field(content, "images", self._path, "the file", list)
        self.videos = tuple(self._video(entry) for entry in entries if str(
            read_field(entry, "id", self._path, "an image")) in self._annotations)
        if len(self.videos) < len(entries):
            _log.warning("%s: %d of %d sentences are left out: crowds, or objects without an area",
                         self._path, len(entries) - len(self.videos), len(entries))

    def frame_path(self, video: VideoRecord, index: int) -> Path:
        """Path of the image."""
        return self.images / video.frames[index]

    def masks(self, video: VideoRecord, expression: ExpressionRecord,
              indices: Sequence[int]) -> np.ndarray:
        """bool [T, H, W] (T repeats of one image when `indices` repeats it). Raises DataError."""
        size = image_size(self.frame_path(video, 0))
        where = f"{self._path}: annotation of sentence {video.name}"
        check_same_size(self._sizes[video.name], size, where)
        mask = _polygon_mask(self._annotations[video.name], size, where)
        return np.repeat(mask[None].astype(bool), len(indices), axis=0)

    def _video(self, entry: Any) -> VideoRecord:
        where = f"image {entry['id']}"
        text = read_field(entry, "caption", self._path, where, str)
        file = read_field(entry, "file_name", self._path, where, str)
        name = contained_name(str(entry["id"]), f"{self._path}: {where}")
        height, width = (read_field(entry, side, self._path, where, int)
                         for side in ("height", "width"))
        self._sizes[name] = height, width
        return VideoRecord(name, (contained_name(file, f"{self._path}: {where}"),),
                           (ExpressionRecord("0", text, (1,), answered=True),))


def _has_area(annotation: Any) -> bool:
    """Whether it is of one object with a box and an outline."""
    box = annotation.get("bbox")
    boxed = (isinstance(box, list) and len(box) == 4
             and all(isinstance(side, int | float) for side in box) and min(box[2:]) > 0)
    shape = annotation.get("segmentation")
    return (boxed and not annotation.get("iscrowd")
            and bool(shape if isinstance(shape, dict) else _polygons(shape)))


def _polygons(shape: Any) -> list[Any]:
    """Outlines with three corners or more: pycocotools takes two corners for a box."""
    return [part for part in shape or () if not isinstance(part, list) or len(part) >= 6]


def _polygon_mask(annotation: Mapping[str, Any], size: tuple[int, int], where: str) -> np.ndarray:
    """uint8 [H, W] of polygons or of an RLE. Raises DataError."""
    shape = annotation["segmentation"]
    if isinstance(shape, dict):
        mask = decode_rle(shape, where)
        check_same_size(mask.shape, size, where)
        return mask
    try:
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(_polygons(shape), *size)))
    except Exception as error:  # pycocotools raises bare Exception for what it does not know
        raise DataError(f"{where}: wrong polygons ({error}). {REMEDY}") from error
