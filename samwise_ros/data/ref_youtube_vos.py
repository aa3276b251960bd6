"""Ref-YouTube-VOS, and Ref-DAVIS17 after conversion, which has the same layout.

Layout (docs/evaluation.md, 1.2 and 1.3): `meta_expressions/<split>/
meta_expressions.json`, `<split>/JPEGImages/<video>/<frame>.jpg`, and where answers are public
`<split>/Annotations/<video>/<frame>.png`, whose pixels are object ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samwise_ros.data.files import (
    check_same_size,
    image_size,
    read_field,
    read_indexed,
    read_json,
    require_dir,
    whole_number,
)
from samwise_ros.data.reader import ExpressionRecord, VideoRecord, VideoSource
from samwise_ros.streaming.pictures import natural_key
from samwise_ros.structures import DataError
from samwise_ros.user_files import contained_name

REMEDY = ("Give the folder that holds meta_expressions/, train/ and valid/ (for DAVIS the folder "
          "written by the converter).")
SPLITS = ("train", "valid", "test")


class RefYoutubeVosSource(VideoSource):
    """One split of Ref-YouTube-VOS or of converted Ref-DAVIS17.

    Args:
        root: Folder that holds `meta_expressions`.
        split: "train", "valid" or "test".

    The published validation file also lists the test videos; they are left out where the test file
    is present (202 videos remain). Raises DataError for missing or broken files.
    """

    def __init__(self, root: Path | str, split: str = "train") -> None:
        if split not in SPLITS:
            raise DataError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
        self.root = Path(root)
        self.split = split
        videos = self._read_videos(split)
        if split == "valid" and self._meta_path("test").is_file():
            hidden = self._read_videos("test")
            videos = {name: entry for name, entry in videos.items() if name not in hidden}
        require_dir(self.root / split / "JPEGImages", REMEDY)
        self.videos = tuple(self._video(name, entry) for name, entry in videos.items())

    @property
    def annotations(self) -> Path:
        """Folder of the answers; it exists only in splits that publish them."""
        return self.root / self.split / "Annotations"

    def frame_path(self, video: VideoRecord, index: int) -> Path:
        """Path of the image of frame `index`."""
        return (self.root / self.split / "JPEGImages" / video.name
                / f"{video.frames[index]}.jpg")

    def masks(self, video: VideoRecord, expression: ExpressionRecord,
              indices: Sequence[int]) -> np.ndarray:
        """bool [T, H, W] of the expression's object. Raises DataError without answers."""
        if not expression.object_ids:
            raise DataError(f"{self._meta_path(self.split)}: expression "
                            f"{expression.expression_id} of {video.name} has no obj_id: this "
                            "split comes without answers. Use train.")
        size = image_size(self.frame_path(video, indices[0]))
        ids = self.object_maps(video, indices, size)
        return np.isin(ids, expression.object_ids)

    def object_maps(self, video: VideoRecord, indices: Sequence[int],
                    size: tuple[int, int]) -> np.ndarray:
        """uint8 [T, H, W] object id of each pixel. Raises DataError unless frames have `size`."""
        maps = np.zeros((len(indices), *size), np.uint8)
        for row, index in enumerate(indices):
            path = self.annotations / video.name / f"{video.frames[index]}.png"
            ids = read_indexed(path)
            check_same_size(ids.shape, size, str(path))
            maps[row] = ids
        return maps

    def _meta_path(self, split: str) -> Path:
        return self.root / "meta_expressions" / split / "meta_expressions.json"

    def _read_videos(self, split: str) -> dict[str, Any]:
        path = self._meta_path(split)
        return read_field(read_json(path, REMEDY), "videos", path, "the file", dict)

    def _video(self, name: str, entry: Any) -> VideoRecord:
        path = self._meta_path(self.split)
        where = f"{path}: video {name}"
        frames = read_field(entry, "frames", path, f"video {name}", list)
        if not frames:
            raise DataError(f"{where} lists no frames. Fetch the file again.")
        expressions = read_field(entry, "expressions", path, f"video {name}", dict)
        # Training sorts the frame names, which are numbers.
        return VideoRecord(
            contained_name(name, where),
            tuple(sorted((contained_name(frame, where) for frame in frames), key=natural_key)),
            tuple(self._expression(name, contained_name(key, where), fields)
                  for key, fields in expressions.items()))

    def _expression(self, video: str, key: str, fields: Any) -> ExpressionRecord:
        path, where = self._meta_path(self.split), f"expression {key} of {video}"
        text = read_field(fields, "exp", path, where, str)
        number = fields.get("obj_id")
        if number is None:
            return ExpressionRecord(key, text)
        return ExpressionRecord(key, text, (whole_number(number, f"{path}: 'obj_id' of {where}"),),
                                answered=True)
