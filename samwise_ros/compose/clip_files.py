"""Writes composed clips in the layout of `samwise simulate` (MeViS with facts).

Beyond that layout an expression has `form`, `noun` (start and end of the target's noun in the
sentence), `anchors` (the same for other objects named in it) and `named` (the noun is no "thing").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from samwise_ros.compose.compose_clip import ComposedClip
from samwise_ros.compose.errors import ComposeError
from samwise_ros.sim.writer import anno_id, clip_file, encode_mask, write_json
from samwise_ros.streaming.pictures import write_encoded


def video_name(split: str, seed: int, clip: int, probe: str | None = None) -> str:
    """Folder name of a clip; it says how to make it again."""
    return f"{probe or 'composed'}_{split}_{seed:04d}_{clip:06d}"


def write_clip(out: Path, video: str, number: int, clip: ComposedClip) -> None:
    """Writes frames, then masks and sentences; a partial clip is overwritten.

    Raises ComposeError when a file cannot be written.
    """
    folder = out / "JPEGImages" / video
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:05d}" for index in range(len(clip.rendered.frames))]
    for name, frame in zip(names, clip.rendered.frames):
        path = folder / f"{name}.jpg"
        picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        try:
            write_encoded(path, picture, [cv2.IMWRITE_JPEG_QUALITY, clip.plan.finish.quality])
        except OSError as error:
            raise ComposeError(f"cannot write {path} ({error}): is the disk full or the folder "
                               "read-only?") from error
    record = {
        "video": video,
        "meta": {"frames": names, "expressions": _expressions(clip, number),
                 "scene": _scene(clip, number)},
        "masks": {str(anno_id(number, index)): [encode_mask(labels == index + 1)
                                                for labels in clip.rendered.labels]
                  for index in range(len(clip.facts.labels))},
    }
    target = clip_file(out, video)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, record)


def _expressions(clip: ComposedClip, number: int) -> dict[str, Any]:
    return {
        str(row): {
            "exp": sentence.text, "obj_id": list(sentence.targets),
            "anno_id": [anno_id(number, target) for target in sentence.targets],
            "kind": sentence.kind, "form": sentence.form, "noun": list(sentence.noun),
            "anchors": [list(span) for span in sentence.anchors], "named": sentence.named,
        }
        for row, sentence in enumerate(clip.sentences)
    }


def _scene(clip: ComposedClip, number: int) -> dict[str, Any]:
    facts = clip.facts
    objects = {
        str(index): {"class": label.name, "kind": label.kind, "colour": label.colour,
                     "nouns": sorted(label.nouns), "tags": sorted(facts.tags[index]),
                     "asked": facts.asked[index], "anno_id": anno_id(number, index)}
        for index, label in enumerate(facts.labels)
    }
    scene = {"split": clip.plan.split, "camera": clip.plan.camera,
             "background": clip.plan.background.path, "objects": objects}
    if clip.probe is not None:
        scene["probe"] = clip.probe
    return scene
