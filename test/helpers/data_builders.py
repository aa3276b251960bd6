"""Small data sets in exactly the layouts of the published ones, drawn with rectangles."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

SIZE = (40, 60)
NUM_FRAMES = 10
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}


def rectangle(y: int, x: int, height: int, width: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 [H, W] with ones in one rectangle."""
    mask = np.zeros(size, np.uint8)
    mask[y:y + height, x:x + width] = 1
    return mask


def encode(mask: np.ndarray) -> dict[str, Any]:
    """COCO RLE with text counts, as JSON files hold it."""
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


def moving_tracks(num_frames: int = NUM_FRAMES) -> list[np.ndarray]:
    """Three uint8 [T, H, W] tracks: one moves right, one stands still, one enters at frame 4."""
    empty = np.zeros(SIZE, np.uint8)
    return [
        np.stack([rectangle(4, 2 + 3 * t, 12, 14) for t in range(num_frames)]),
        np.stack([rectangle(22, 8, 12, 12) for _ in range(num_frames)]),
        np.stack([rectangle(24, 40, 10, 12) if t >= 4 else empty for t in range(num_frames)]),
    ]


def paint(tracks: list[np.ndarray], colours: list[str], frame: int) -> np.ndarray:
    """uint8 [H, W, 3] RGB picture of all tracks on one frame, on grey."""
    picture = np.full((*SIZE, 3), 128, np.uint8)
    for track, colour in zip(tracks, colours, strict=True):
        picture[track[frame] > 0] = COLOURS[colour]
    return picture


def write_rgb(path: Path, rgb: np.ndarray) -> None:
    """Write an RGB picture, format by suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not imwrite, which ends the process over a path that is no Unicode.
    path.write_bytes(cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])


def write_json(path: Path, content: Any) -> None:
    """Write JSON, making folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def build_mevis(root: Path, videos: tuple[str, ...] = ("v0", "v1"), simulated: bool = False,
                ) -> Path:
    """MeViS split, or the simulator's variant with `kind` and `scene`. Returns `root`.

    Objects per video: a red mug that moves, a blue mug that stands, a red duck that enters late.
    """
    meta: dict[str, Any] = {"videos": {}}
    codes: dict[str, list[Any]] = {}
    colours, classes = ["red", "blue", "red"], ["mug", "mug", "duck"]
    for number, name in enumerate(videos):
        tracks = moving_tracks()
        anno = [3 * number + row for row in range(3)]
        for row in range(3):
            codes[str(anno[row])] = [encode(mask) if mask.any() else None for mask in tracks[row]]
        frames = [f"{t:05d}" for t in range(NUM_FRAMES)]
        for t, frame in enumerate(frames):
            write_rgb(root / "JPEGImages" / name / f"{frame}.jpg", paint(tracks, colours, t))
        sentences = [("the mug that moves to the right", [0], "motion"),
                     ("The two  mugs", [0, 1], "class"),
                     ("the red duck", [2], "colour_class"),
                     ("the blue one", [1], "colour"),
                     ("the mug above the other mug", [0], "relation"),
                     ("the green robot", [], "absent")]
        expressions = {}
        for key, (text, rows, kind) in enumerate(sentences):
            if not simulated and kind == "absent":
                continue
            expressions[str(key)] = {"exp": text, "obj_id": rows,
                                     "anno_id": [anno[row] for row in rows]}
            if simulated:
                expressions[str(key)]["kind"] = kind
        meta["videos"][name] = {"frames": frames, "expressions": expressions}
        if simulated:
            meta["videos"][name]["scene"] = {"fps": 8.0, "objects": {
                str(row): {"anno_id": anno[row], "class": classes[row], "colour": colours[row]}
                for row in range(3)}}
    write_json(root / "meta_expressions.json", meta)
    write_json(root / "mask_dict.json", codes)
    return root


def write_indexed(path: Path, ids: np.ndarray) -> None:
    """Write a palette PNG whose pixels are object ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids.astype(np.uint8)).convert("P")
    image.putpalette([value for number in range(256) for value in (number, 255 - number, 90)])
    image.save(path)


def object_map(tracks: list[np.ndarray], frame: int) -> np.ndarray:
    """uint8 [H, W] with the 1-based number of the track at each pixel."""
    ids = np.zeros(SIZE, np.uint8)
    for number, track in enumerate(tracks, start=1):
        ids[track[frame] > 0] = number
    return ids


def build_ref_youtube_vos(root: Path) -> Path:
    """Train split with answers, valid and test splits without, as the competition gives them."""
    tracks = moving_tracks()
    frames = [f"{5 * t:05d}" for t in range(NUM_FRAMES)]
    sentences = {"0": {"exp": "The  red mug", "obj_id": "1"},
                 "1": {"exp": "a blue mug", "obj_id": "2"},
                 "2": {"exp": "the duck", "obj_id": "3"}}
    unanswered = {key: {"exp": fields["exp"]} for key, fields in sentences.items()}
    listed = {"train": {"t0": sentences}, "valid": {"a0": unanswered, "b0": unanswered},
              "test": {"b0": unanswered}}
    for split, videos in listed.items():
        meta = {name: {"expressions": expressions, "frames": frames}
                for name, expressions in videos.items()}
        write_json(root / "meta_expressions" / split / "meta_expressions.json", {"videos": meta})
        for name in videos:
            for t, frame in enumerate(frames):
                write_rgb(root / split / "JPEGImages" / name / f"{frame}.jpg",
                          paint(tracks, ["red", "blue", "red"], t))
                if split == "train":
                    write_indexed(root / split / "Annotations" / name / f"{frame}.png",
                                  object_map(tracks, t))
    return root


def build_davis_archives(root: Path) -> tuple[Path, Path]:
    """DAVIS folder and folder of expression files; video `swan` for training, `goat` to validate.

    `motorbike` is misspelt in the expression files, as in the published ones.
    """
    davis, texts = root / "DAVIS", root / "davis_text_annotations"
    tracks = moving_tracks(6)[:2]
    for split, videos in (("train", ["motorbike"]), ("val", ["goat"])):
        path = davis / "ImageSets" / "2017" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(videos) + "\n")
        for name in videos:
            for t in range(6):
                write_rgb(davis / "JPEGImages" / "480p" / name / f"{t:05d}.jpg",
                          paint(tracks, ["red", "blue"], t))
                write_indexed(davis / "Annotations_unsupervised" / "480p" / name / f"{t:05d}.png",
                              object_map(tracks, t))
    texts.mkdir(parents=True)
    for annotator, suffix in ((1, ""), (1, "_full_video"), (2, ""), (2, "_full_video")):
        lines = []
        for name in ("motor-bike", "goat"):
            for number in (2, 1):
                lines.append(f'{name} {number} "object {number} by {annotator}{suffix} caf\u00e9"')
        encoding = "utf-8" if annotator == 1 else "latin-1"
        (texts / f"Davis17_annot{annotator}{suffix}.txt").write_text("\n".join(lines) + "\n",
                                                                     encoding=encoding)
    return davis, texts


def build_refcoco_archive(root: Path, name: str = "refcoco") -> tuple[Path, Path]:
    """(folder with refs and instances, folder of images), one object with two sentences a split."""
    splits = ("train", "val", "test") if name == "refcocog" else ("train", "val", "testA", "testB")
    folder, images = root / name, root / "train2014"
    refs, entries, annotations = [], [], []
    for number, split in enumerate(splits):
        file_name = f"COCO_train2014_{number:012d}.jpg"
        write_rgb(images / file_name, paint([rectangle(10, 10 + number, 20, 30)[None]], ["red"], 0))
        entries.append({"id": 100 + number, "file_name": file_name, "height": SIZE[0],
                        "width": SIZE[1]})
        left, right = 10 + number, 40 + number
        annotations.append({
            "id": 500 + number, "image_id": 100 + number, "category_id": 3, "iscrowd": 0,
            "segmentation": [[left, 10, right, 10, right, 30, left, 30]],
            "bbox": [left, 10, 30, 20], "area": 600})
        refs.append({"ref_id": number, "ann_id": 500 + number, "image_id": 100 + number,
                     "split": split, "category_id": 3,
                     "sentences": [{"sent": f"red box {number}", "raw": "", "tokens": []},
                                   {"sent": "Left  Thing", "raw": "", "tokens": []}]})
    folder.mkdir(parents=True)
    refs_name = "refs(umd).p" if name == "refcocog" else "refs(unc).p"
    (folder / refs_name).write_bytes(pickle.dumps(refs, protocol=2))
    write_json(folder / "instances.json", {"images": entries, "annotations": annotations,
                                           "categories": [{"id": 3, "name": "car"}]})
    return folder, images
