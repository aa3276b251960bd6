"""A video of a data set in MeViS' layout, and sentences to try on it."""

from __future__ import annotations

from pathlib import Path

from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.reader import KINDS, VideoRecord

_META = "meta_expressions.json"


def video_folder(path: Path) -> Path:
    """Folder of frames: that of the first video where `path` is a data set, else `path` itself."""
    if (path / _META).is_file():
        return path / "JPEGImages" / MevisSource(path).videos[0].name
    return path


def sentences_about(folder: Path) -> list[str]:
    """What the data set around a folder of frames says about it; [] where there is none."""
    folder = folder.resolve()
    root = folder.parent.parent
    if not (root / _META).is_file():
        return []
    return choose_sentences(MevisSource(root).video(folder.name))


def choose_sentences(video: VideoRecord) -> list[str]:
    """One sentence per object, each of another kind, and one about what is not there.

    Recorded data have no kinds: there it is the first sentence for each object.
    """
    chosen: list[str] = []
    answered: set[int] = set()
    for kind in (None, *KINDS):
        for expression in video.expressions:
            empty = expression.answered and not expression.object_ids
            new = kind == "absent" if empty else not answered & set(expression.object_ids)
            if expression.kind == kind and new:
                chosen.append(expression.text)
                answered |= set(expression.object_ids)
                if kind is not None:
                    break
    return chosen
