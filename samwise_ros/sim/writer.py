"""Writes clips in the MeViS layout.

    OUT/JPEGImages/<video>/<frame>.jpg
    OUT/meta_expressions.json   {"videos": {video: {"frames", "expressions", "scene"}}}
    OUT/mask_dict.json          {anno_id: [COCO RLE or null, one per frame]}
    OUT/Depth/<video>/<frame>.png, OUT/cameras/<video>.json     (with `depth`)
    OUT/clips/<video>.json      one finished clip; the two large files are merged from these

A clip's own file is written last and by renaming, so it exists exactly when the clip is complete.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from samwise_ros.sim.clip_renderer import SimClip
from samwise_ros.sim.errors import SimulationError
from samwise_ros.streaming.pictures import write_encoded
from samwise_ros.user_files import claim_outputs, load_json

JPEG_QUALITY = 95
META_FILE, MASK_FILE = "meta_expressions.json", "mask_dict.json"
OBJECTS_PER_CLIP = 100  # annotation ids: clip * 100 + object, unique in one output folder


def video_name(split: str, seed: int, clip: int, probe: str | None = None) -> str:
    """Folder name of a clip; it says how to make it again."""
    return f"{probe or 'sim'}_{split}_{seed:04d}_{clip:06d}"


def clip_file(out: Path, video: str) -> Path:
    """The file that exists once a clip is complete."""
    return out / "clips" / f"{video}.json"


def write_clip(out: Path, video: str, clip_index: int, clip: SimClip, depth: bool) -> None:
    """Writes frames, masks and expressions of one clip; a partial clip is overwritten.

    Args:
        out: output folder.
        video: name of the clip.
        clip_index: number of the clip, from which the annotation ids follow.
        clip: what to write.
        depth: also write 16-bit depth pictures [mm] and camera poses.
    """
    folder = out / "JPEGImages" / video
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:05d}" for index in range(len(clip.frames))]
    for name, frame in zip(names, clip.frames):
        picture = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
        _write_image(folder / f"{name}.jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if depth:
        _write_depth(out, video, names, clip)
    record = {
        "video": video,
        "meta": {
            "frames": names,
            "expressions": _expressions(clip, clip_index),
            "scene": _scene(clip, clip_index),
        },
        "masks": _masks(clip, clip_index),
    }
    target = clip_file(out, video)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, record)


def claim_split(out: Path, videos: list[str]) -> None:
    """Make the folder of a split, unless it holds anything but a part of these videos.

    Raises:
        ConfigError: `out` holds a data set that the clips of other seeds, or other people, made.
    """
    try:
        listed = load_json(out / META_FILE)["videos"] if (out / META_FILE).exists() else {}
        ours = set(listed) <= set(videos)
    except (ValueError, KeyError, TypeError):
        ours = False
    if not ours or not (out / "clips").is_dir():
        claim_outputs(out, (META_FILE, MASK_FILE))
    out.mkdir(parents=True, exist_ok=True)


def merge_clips(out: Path, videos: list[str]) -> None:
    """Merges the files of finished clips into `meta_expressions.json` and `mask_dict.json`.

    Raises:
        SimulationError: a clip is missing or its file is damaged.
    """
    meta: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for video in videos:
        path = clip_file(out, video)
        try:
            record = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise SimulationError(
                f"cannot read the finished clip {path}: {error}; delete it and run again"
            ) from error
        meta[video] = record["meta"]
        masks.update(record["masks"])
    write_json(out / MASK_FILE, masks)
    write_json(out / META_FILE, {"videos": meta})


def anno_id(clip_index: int, object_index: int) -> int:
    """Annotation id of an object, unique in one output folder."""
    return clip_index * OBJECTS_PER_CLIP + object_index


def encode_mask(mask: np.ndarray) -> dict[str, Any] | None:
    """COCO run lengths of a bool mask [H, W] with `counts` as str; None if it is empty."""
    if not mask.any():
        return None
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}


def _expressions(clip: SimClip, clip_index: int) -> dict[str, Any]:
    return {
        str(number): {
            "exp": expression.text,
            "obj_id": list(expression.targets),
            "anno_id": [anno_id(clip_index, target) for target in expression.targets],
            "kind": expression.kind,
        }
        for number, expression in enumerate(clip.expressions)
    }


def _scene(clip: SimClip, clip_index: int) -> dict[str, Any]:
    objects = {
        str(index): {
            "class": item.class_name,
            "colour": item.colour,
            "size_m": round(item.size, 4),
            "tags": sorted(clip.facts.tags[index]),
            "anno_id": anno_id(clip_index, index),
        }
        for index, item in enumerate(clip.plan.objects)
    }
    scene = {
        "split": clip.plan.split,
        "camera": clip.plan.camera.kind,
        "place": clip.plan.surface.place,
        "fps": clip.plan.settings.fps,
        "objects": objects,
    }
    if clip.probe is not None:
        scene["probe"] = {"kind": "late_target", **dataclasses.asdict(clip.probe)}
    return scene


def _masks(clip: SimClip, clip_index: int) -> dict[str, Any]:
    return {
        str(anno_id(clip_index, index)): [encode_mask(frame.mask(index)) for frame in clip.frames]
        for index in range(len(clip.plan.objects))
    }


def _write_depth(out: Path, video: str, names: list[str], clip: SimClip) -> None:
    folder = out / "Depth" / video
    folder.mkdir(parents=True, exist_ok=True)
    poses = {}
    for name, frame in zip(names, clip.frames):
        millimetres = np.clip(np.round(frame.depth * 1000), 0, 65535).astype(np.uint16)
        _write_image(folder / f"{name}.png", millimetres, [])
        poses[name] = frame.camera.matrix.round(6).tolist()
    path = out / "cameras" / f"{video}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    intrinsics = clip.plan.intrinsics.matrix.tolist()
    write_json(path, {"K": intrinsics, "world_from_optical": poses})


def _write_image(path: Path, picture: np.ndarray, options: list[int]) -> None:
    try:
        write_encoded(path, picture, options)
    except OSError as error:
        raise SimulationError(f"cannot write {path} ({error}): is the disk full or the folder "
                              "read-only?") from error


def write_json(path: Path, content: Any) -> None:
    """Writes a file that is there whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content))
    draft.replace(path)
