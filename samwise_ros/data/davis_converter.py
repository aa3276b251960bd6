"""Ref-DAVIS17 from the DAVIS 2017 archives and the four files of expressions.

Writes the layout of Ref-YouTube-VOS (docs/evaluation.md, 1.3). The published
converter moves images out of the user's archive; this one copies or links and leaves it whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from rich.progress import Progress

from samwise_ros.data.files import (
    read_indexed,
    read_json,
    read_lines,
    require_dir,
    require_file,
    typed,
)
from samwise_ros.streaming.pictures import list_pictures
from samwise_ros.structures import DataError
from samwise_ros.user_files import contained_name, keep_apart, whole_file, write_once

Placement = Literal["copy", "symlink"]

# Two annotators, each from the first frame and from the full video, in the order of evaluation.
EXPRESSION_FILES = (
    ("Davis17_annot1.txt", "utf-8"),
    ("Davis17_annot1_full_video.txt", "utf-8"),
    ("Davis17_annot2.txt", "latin-1"),
    ("Davis17_annot2_full_video.txt", "latin-1"),
)
MISSPELT = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
SPLIT_FILES = {"train": "train.txt", "valid": "val.txt"}
REMEDY = ("Unpack DAVIS-2017-Unsupervised-trainval-480p.zip, and give the folder DAVIS that it "
          "contains.")


def convert_davis(davis: Path | str, texts: Path | str, out: Path | str, *,
                  semantics: Path | str | None = None, placement: Placement = "copy",
                  progress: bool = True) -> None:
    """Write Ref-DAVIS17 in the layout of Ref-YouTube-VOS.

    Args:
        davis: Folder `DAVIS` with JPEGImages, Annotations_unsupervised and ImageSets.
        texts: Folder with the four `Davis17_annot*.txt` files.
        out: Folder to write. A run can be repeated: what an earlier one finished is kept, what it
            left half copied is finished, and any other file that is in the way is an error.
        semantics: `davis_semantics.json` with the category of each object; optional.
        placement: "copy" images and annotations, or "symlink" to them.
        progress: Show a progress bar.

    Raises DataError for missing or broken input.
    """
    davis, texts, out = Path(davis).resolve(), Path(texts), Path(out)
    keep_apart(out, [*SPLIT_FILES, "meta_expressions"], [davis, texts])
    expressions = _merge_expressions([_read_expressions(texts / name, encoding)
                                      for name, encoding in EXPRESSION_FILES])
    categories = {} if semantics is None else typed(read_json(
        Path(semantics), "It is in the DAVIS-2017 semantics archive; it may also be left out."),
        dict, str(semantics))
    splits = {split: _read_split(davis, name) for split, name in SPLIT_FILES.items()}
    with Progress(disable=not progress) as bar:
        task = bar.add_task("converting", total=sum(map(len, splits.values())))
        for split, videos in splits.items():
            meta, objects = {}, {}
            for video in videos:
                frames = _place_video(davis, out / split, video, placement)
                meta[video] = {"expressions": _expressions_of(expressions, video, texts),
                               "frames": frames}
                objects[video] = {"objects": _objects_of(out / split, video, frames, categories)}
                bar.advance(task)
            for path, content in ((out / "meta_expressions" / split / "meta_expressions.json",
                                   meta),
                                  (out / split / "meta.json", objects)):
                write_once(path, json.dumps({"videos": content}))


def _read_split(davis: Path, name: str) -> list[str]:
    path = davis / "ImageSets" / "2017" / name
    return [contained_name(video, str(path))
            for line in read_lines(path, REMEDY) for video in line.split()]


def _read_expressions(path: Path, encoding: str) -> dict[str, list[tuple[str, str]]]:
    """(object id, sentence) per video, ordered by object id as text, as published."""
    lines = read_lines(path, "Give the folder with the four Davis17_annot*.txt files.", encoding)
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parts = line.split(maxsplit=2)
        if len(parts) != 3 or not parts[1].isdigit():
            raise DataError(f"{path}, line {number}: expected 'video object \"sentence\"', got "
                            f"{line!r}. Fetch the file again.")
        sentence = " ".join(parts[2].split()).removeprefix('"').removesuffix('"')
        found[MISSPELT.get(parts[0], parts[0])].append((parts[1], sentence))
    return {video: sorted(entries, key=lambda entry: entry[0]) for video, entries in found.items()}


def _merge_expressions(files: list[dict[str, list[tuple[str, str]]]],
                       ) -> dict[str, list[tuple[str, str]]]:
    """Per video the sentences object by object, four each in the order of the files."""
    merged = {}
    for video, first in files[0].items():
        columns = [entries.get(video, []) for entries in files]
        ids = [[object_id for object_id, _ in column] for column in columns]
        if any(column != ids[0] for column in ids):
            raise DataError(f"expression files: the objects of {video} differ between the four "
                            f"files ({ids}). Take all four from one download.")
        merged[video] = [column[row] for row in range(len(first)) for column in columns]
    return merged


def _expressions_of(expressions: Mapping[str, list[tuple[str, str]]], video: str,
                    texts: Path) -> dict[str, dict[str, str]]:
    if video not in expressions:
        raise DataError(f"{texts}: no expressions for video {video}. "
                        "Take all four files from one download.")
    return {str(key): {"exp": sentence, "obj_id": object_id}
            for key, (object_id, sentence) in enumerate(expressions[video])}


def _place_video(davis: Path, out: Path, video: str, placement: Placement) -> list[str]:
    """Copy or link one video's images and annotations; returns its frame names in order."""
    images = require_dir(davis / "JPEGImages" / "480p" / video, REMEDY)
    answers = require_dir(davis / "Annotations_unsupervised" / "480p" / video, REMEDY)
    frames = [path.stem for path in list_pictures(images, (".jpg",))]
    if not frames:
        raise DataError(f"{images}: no JPEG images. {REMEDY}")
    for frame in frames:
        _place(images / f"{frame}.jpg", out / "JPEGImages" / video / f"{frame}.jpg", placement)
        _place(answers / f"{frame}.png", out / "Annotations" / video / f"{frame}.png", placement)
    return frames


def _place(source: Path, target: Path, placement: Placement) -> None:
    require_file(source, REMEDY)
    if target.is_symlink() and not target.exists():  # leads nowhere any more: nothing is lost
        target.unlink()
    if _is_in_place(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if placement == "symlink":
        os.symlink(source, target)
    else:
        with whole_file(target) as part:
            shutil.copyfile(source, part)


def _is_in_place(source: Path, target: Path) -> bool:
    """Whether `target` holds all of `source`; not when it is absent or holds only its beginning.

    Raises DataError when it holds anything else.
    """
    if not target.exists():
        return False
    wanted, found = source.read_bytes(), target.read_bytes()
    if found == wanted:
        return True
    if not wanted.startswith(found) or target.is_symlink():
        raise DataError(f"{target}: exists with another content than {source}, which is not "
                        "overwritten. Give another folder, or move it away.")
    target.unlink()
    return False


def _objects_of(out: Path, video: str, frames: Iterable[str],
                categories: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Objects of the first frame's annotation, with their category where it is known."""
    first = read_indexed(out / "Annotations" / video / f"{next(iter(frames))}.png")
    names = typed(categories.get(video, {}), dict, f"categories of {video}")
    return {str(number): {"category": names.get(str(number), "")}
            for number in sorted(set(first.ravel().tolist()) - {0, 255})}
