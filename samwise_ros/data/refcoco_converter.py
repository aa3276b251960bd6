"""RefCOCO, RefCOCO+ and RefCOCOg from the published refs files and COCO's instances.json.

Each sentence becomes an "image" of its own (docs/evaluation.md, 1.4).
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samwise_ros.data.files import read_field, read_json, require_file
from samwise_ros.data.refcoco import SPLITS
from samwise_ros.structures import DataError
from samwise_ros.user_files import write_once

REFS_FILES = {"refcoco": "refs(unc).p", "refcoco+": "refs(unc).p", "refcocog": "refs(umd).p"}
REMEDY = "Give the unpacked folder of the set, which holds refs(unc|umd).p and instances.json."


def convert_refcoco(folder: Path | str, out: Path | str, name: str) -> dict[str, int]:
    """Write `<out>/<name>/instances_<name>_<split>.json` for every split of one set.

    Args:
        folder: Folder with the refs file and `instances.json`.
        out: Folder that receives one folder per set; a file that is there with another content is
            not replaced.
        name: "refcoco", "refcoco+" or "refcocog".

    Returns:
        Number of sentences per split. Raises DataError for missing or broken input.
    """
    if name not in REFS_FILES:
        raise DataError(f"expected one of {', '.join(REFS_FILES)}, got {name!r}")
    folder, target = Path(folder), Path(out) / name
    refs_path, instances_path = folder / REFS_FILES[name], folder / "instances.json"
    refs = _load_plain_pickle(refs_path)
    instances = read_json(instances_path, REMEDY)
    images, annotations = (
        {read_field(entry, "id", instances_path, f"one of the {key}"): entry
         for entry in read_field(instances, key, instances_path, "the file", list)}
        for key in ("images", "annotations"))
    counts = {}
    for split in SPLITS[name]:
        chosen = [ref for ref in refs if ref.get("split") == split]
        if not chosen:
            raise DataError(f"{refs_path}: no expressions of split {split!r} of {name}. "
                            "Is this the refs file of another set?")
        content = _coco_split(chosen, images, annotations, name, refs_path)
        content["categories"] = instances.get("categories", [])
        write_once(target / f"instances_{name}_{split}.json", json.dumps(content))
        counts[split] = len(content["images"])
    return counts


def _coco_split(refs: list[dict[str, Any]], images: dict[int, dict[str, Any]],
                annotations: dict[int, dict[str, Any]], name: str, path: Path) -> dict[str, Any]:
    result: dict[str, Any] = {"info": {}, "licenses": [], "images": [], "annotations": []}
    for number, (ref, sentence) in enumerate(_sentences(refs, path)):
        image_id, ann_id = (read_field(ref, key, path, "an expression")
                            for key in ("image_id", "ann_id"))
        if image_id not in images or ann_id not in annotations:
            raise DataError(f"{path}: image {image_id} or annotation {ann_id} is not "
                            "in instances.json. Take both files from one archive.")
        image, annotation = images[image_id], annotations[ann_id]
        sizes = {key: read_field(image, key, path.with_name("instances.json"), f"image {image_id}")
                 for key in ("file_name", "height", "width")}
        result["images"].append({"id": number, "original_id": image_id, "caption": sentence,
                                 "dataset_name": name, **sizes})
        # What is absent stays absent: the reader leaves out annotations without box or outline.
        kept = {key: annotation.get(key) for key in
                ("segmentation", "bbox", "area", "iscrowd", "category_id")}
        result["annotations"].append({
            **kept, "id": number, "image_id": number, "original_id": ann_id})
    return result


def _sentences(refs: list[dict[str, Any]], path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    for ref in refs:
        for sentence in read_field(ref, "sentences", path, "an expression", list):
            yield ref, read_field(sentence, "sent", path, "a sentence", str)


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dictionaries, text and numbers; a pickle that names a class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every class and function. Raises UnpicklingError."""
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}")


def _load_plain_pickle(path: Path) -> list[dict[str, Any]]:
    require_file(path, REMEDY)
    try:
        # Written by Python 2, where text was bytes.
        refs = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin-1").load()
    except Exception as error:  # damaged pickles raise many types
        raise DataError(f"{path}: not a plain pickle of expressions ({error}). Fetch it again; "
                        "files that carry code are not opened.") from error
    if not isinstance(refs, list) or not refs or not all(isinstance(ref, dict) for ref in refs):
        raise DataError(f"{path}: expected a list of expressions, got {type(refs).__name__}")
    return refs
