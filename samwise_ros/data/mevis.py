"""MeViS, and the simulator's output, which is MeViS with facts added.

Layout (docs/evaluation.md, 1.1): `JPEGImages/<video>/<frame>.jpg`,
`meta_expressions.json`, `mask_dict.json`. The simulator adds `kind` to each expression and `scene`
to each video, `samwise compose` also where nouns stand; recorded MeViS has none of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from samwise_ros.data.files import (
    check_same_size,
    decode_rle,
    image_size,
    read_field,
    read_json,
    require_dir,
    typed,
    whole_number,
)
from samwise_ros.data.reader import ExpressionRecord, Phrases, VideoRecord, VideoSource
from samwise_ros.structures import DataError
from samwise_ros.user_files import contained_name

REMEDY = ("Give the folder of one split of MeViS (for instance MeViS_release/train) or one made "
          "by `samwise simulate`.")


class MevisSource(VideoSource):
    """One split of MeViS, or one folder written by `samwise simulate`.

    Args:
        root: Folder that holds `meta_expressions.json` and `JPEGImages`.

    Raises DataError when the meta file or the image folder is missing or broken. Masks are read
    when they are first asked for, so splits without answers can be opened too.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._meta_path = self.root / "meta_expressions.json"
        meta = read_json(self._meta_path, REMEDY)
        require_dir(self.root / "JPEGImages", REMEDY)
        videos = read_field(meta, "videos", self._meta_path, "the file", dict)
        self.videos = _all_answered(tuple(
            self._video(name, entry) for name, entry in videos.items()))

    def frame_path(self, video: VideoRecord, index: int) -> Path:
        """Path of the image of frame `index`: a JPEG, or a PNG where there is no JPEG."""
        folder = self.root / "JPEGImages" / video.name
        path = folder / f"{video.frames[index]}.jpg"
        png = path.with_suffix(".png")
        return png if not path.is_file() and png.is_file() else path

    def masks(self, video: VideoRecord, expression: ExpressionRecord,
              indices: Sequence[int]) -> np.ndarray:
        """bool [T, H, W]: union of all objects of the expression on the frames `indices`.

        MeViS 2 has sentences that name nothing in the video: their masks are empty. Raises
        DataError when the split has no answers or a mask is missing or broken.
        """
        if not expression.answered:
            raise DataError(f"{self._meta_path}: expression {expression.expression_id} of "
                            f"{video.name} has no anno_id: this split comes without answers. "
                            "Use train or valid_u.")
        height, width = self.frame_size(video)
        union = np.zeros((len(indices), height, width), bool)
        for anno_id in expression.anno_ids:
            union |= self.track(video, anno_id, indices).astype(bool)
        return union

    def track(self, video: VideoRecord, anno_id: str, indices: Sequence[int]) -> np.ndarray:
        """uint8 [T, H, W] of 0 and 1: one mask track on the frames `indices`. Raises DataError."""
        codes = self._codes(video, anno_id)
        size = self.frame_size(video)
        masks = np.zeros((len(indices), *size), np.uint8)
        for row, index in enumerate(indices):
            if codes[index] is None:
                continue
            where = f"{self.mask_path}: anno {anno_id}, frame {index} of {video.name}"
            mask = decode_rle(codes[index], where)
            check_same_size(mask.shape, size, where)
            masks[row] = mask
        return masks

    def frame_size(self, video: VideoRecord) -> tuple[int, int]:
        """(H, W) of the video's frames, from the header of its first image."""
        if video.name not in self._sizes:
            self._sizes[video.name] = image_size(self.frame_path(video, 0))
        return self._sizes[video.name]

    @property
    def mask_path(self) -> Path:
        """The file that holds all masks of the split."""
        return self.root / "mask_dict.json"

    @cached_property
    def _masks(self) -> dict[str, list[Any]]:
        masks = read_json(self.mask_path, "Masks come with the train and valid_u splits only; "
                          "place mask_dict.json beside meta_expressions.json.")
        return typed(masks, dict, str(self.mask_path))

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        return {}

    def _codes(self, video: VideoRecord, anno_id: str) -> list[Any]:
        codes = self._masks.get(str(anno_id))
        if codes is None:
            raise DataError(f"{self.mask_path}: no masks for anno {anno_id} of {video.name}. "
                            "Take meta_expressions.json and mask_dict.json from the same split.")
        typed(codes, list, f"{self.mask_path}: anno {anno_id}")
        if len(codes) != len(video.frames):
            raise DataError(f"{self.mask_path}: anno {anno_id} has {len(codes)} masks, video "
                            f"{video.name} {len(video.frames)} frames. Take both files from the "
                            "same split.")
        return codes

    def _video(self, name: str, entry: Any) -> VideoRecord:
        where = f"{self._meta_path}: video {name}"
        frames = read_field(entry, "frames", self._meta_path, f"video {name}", list)
        if not frames:
            raise DataError(f"{where} lists no frames. Fetch the file again.")
        expressions = read_field(entry, "expressions", self._meta_path, f"video {name}", dict)
        return VideoRecord(
            name=contained_name(name, where),
            frames=tuple(contained_name(frame, where) for frame in frames),
            expressions=tuple(self._expression(name, contained_name(key, where), fields)
                              for key, fields in expressions.items()),
            scene=typed(entry.get("scene") or {}, dict, f"{where}, scene"),
        )

    def _expression(self, video: str, expression_id: str, fields: Any) -> ExpressionRecord:
        where = f"expression {expression_id} of {video}"
        text = read_field(fields, "exp", self._meta_path, where, str)
        objects, annotations = (
            typed([] if fields.get(key) is None else fields[key], list,
                  f"{self._meta_path}: {key!r} of {where}") for key in ("obj_id", "anno_id"))
        numbers = (whole_number(number, f"{self._meta_path}: 'obj_id' of {where}")
                   for number in objects)
        keys = (typed(key, (int, str), f"{self._meta_path}: 'anno_id' of {where}")
                for key in annotations)
        kind = fields.get("kind")
        named = kind == "absent" or isinstance(fields.get("anno_id"), list)
        return ExpressionRecord(expression_id, text, tuple(numbers), tuple(map(str, keys)), kind,
                                phrases=_phrases(fields),
                                answered=bool(annotations) or (named and not objects))


def _all_answered(videos: tuple[VideoRecord, ...]) -> tuple[VideoRecord, ...]:
    """Where any sentence has masks, one that names no object is answered, too: by nothing."""
    if not any(expression.anno_ids for video in videos for expression in video.expressions):
        return videos
    return tuple(replace(video, expressions=tuple(
        expression if expression.object_ids else replace(expression, answered=True)
        for expression in video.expressions)) for video in videos)


def _phrases(fields: Mapping[str, Any]) -> Phrases | None:
    if "noun" not in fields:
        return None
    return Phrases(tuple(fields["noun"]), tuple(tuple(span) for span in fields["anchors"]),
                   fields["named"], fields["form"])
