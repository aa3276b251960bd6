"""RefCOCO, RefCOCO+ and RefCOCOg after conversion: one image, one sentence, one object each.

Layout (docs/evaluation.md, 1.4): `<root>/<set>/instances_<set>_<split>.json` in
COCO format, where each sentence is an "image" of its own with one annotation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from samwise_ros.data.files import check_same_size, decode_rle, image_size, read_field, read_json
from samwise_ros.data.reader import ExpressionRecord, VideoRecord, VideoSource
from samwise_ros.structures import DataError

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

    Annotations of crowds and without a valid box are left out, as published. Raises DataError for
    missing or broken files.
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
        entries = read_field(content, "images", self._path, "the file")
        self._annotations = {
            str(annotation["image_id"]): annotation
            for annotation in read_field(content, "annotations", self._path, "the file")
            if not annotation.get("iscrowd") and _has_area(annotation)}
        self._sizes = {str(entry["id"]): (entry["height"], entry["width"]) for entry in entries}
        self.videos = tuple(self._video(entry) for entry in entries
                            if str(entry["id"]) in self._annotations)

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

    def _video(self, entry: Mapping[str, Any]) -> VideoRecord:
        name = str(entry["id"])
        text = read_field(entry, "caption", self._path, f"image {name}")
        return VideoRecord(name, (entry["file_name"],), (ExpressionRecord("0", text, (1,)),))


def _has_area(annotation: Mapping[str, Any]) -> bool:
    _, _, width, height = annotation["bbox"]
    return width > 0 and height > 0


def _polygon_mask(annotation: Mapping[str, Any], size: tuple[int, int], where: str) -> np.ndarray:
    """uint8 [H, W] of polygons or of an RLE. Raises DataError."""
    shape = annotation["segmentation"]
    if isinstance(shape, dict):
        mask = decode_rle(shape, where)
        check_same_size(mask.shape, size, where)
        return mask
    try:
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(shape, *size)))
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"{where}: wrong polygons ({error}). {REMEDY}") from error
