"""Small data sets in exactly the layouts of the published ones, drawn with rectangles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
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
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


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
            meta["videos"][name]["scene"] = {"objects": [
                {"anno_id": anno[row], "class": classes[row], "colour": colours[row]}
                for row in range(3)]}
    write_json(root / "meta_expressions.json", meta)
    write_json(root / "mask_dict.json", codes)
    return root
