"""What a point, a box or a mask on the first frame is worth, on clips made by `samwise simulate`.

    python -m samwise_ros.evaluation.shown data/test --model nano

prints J, the mean overlap with the truth, on the first frame, on the last and over all, of objects
that the first frame shows and that a sentence names: shown without it, with it, and it alone. The
point is the one deepest inside the object; the box is tight.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.reader import VideoRecord
from samwise_ros.data.scene_objects import scene_objects
from samwise_ros.model.checkpoint import load_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.image_ops import tight_box
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import Command, CommandError, CommandKind, Prompt

WAYS = ("point", "box", "mask")
_SMALLEST = 40  # pixels on the first frame


def prompt_for(mask: np.ndarray, way: str) -> Prompt | None:
    """How an object, bool [H, W], is shown; None for a way that is none."""
    if way == "mask":
        return Prompt(mask=mask)
    if way == "box":
        box = tight_box(mask)
        assert box is not None  # the object is seen
        return Prompt(box=(box.x0, box.y0, box.x1 - 1, box.y1 - 1))
    if way == "point":
        inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        return Prompt(points=((float(column) - 1, float(row) - 1),))
    return None


def overlaps(model: SamwiseModel, source: MevisSource, video: VideoRecord, way: str, said: bool
             ) -> np.ndarray:
    """J float64 [N, T] of N objects over a video's frames.

    Raises CommandError where the model cannot be shown anything without a sentence.
    """
    sentences = {each.anno_ids[0]: each.text for each in reversed(video.expressions)
                 if len(each.anno_ids) == 1}
    session, truth = StreamingSession(model), {}
    for entry in scene_objects(video):
        track = source.track(video, entry.anno_id, range(len(video.frames))).astype(bool)
        if entry.anno_id in sentences and track[0].sum() >= _SMALLEST:
            truth[entry.anno_id] = track
            session.submit(Command(
                CommandKind.ADD, entry.anno_id, sentences[entry.anno_id] if said else None,
                prompt=prompt_for(track[0], way)))
    found = np.zeros((len(truth), len(video.frames)))
    for index in range(len(video.frames)):
        result = session.step(source.frame(video, index))
        for row, target in enumerate(result.targets):
            mask = truth[target.target_id][index]
            union = (mask | target.mask).sum()
            found[row, index] = (mask & target.mask).sum() / union if union else 1.0
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--max-videos", type=int)
    options = parser.parse_args(arguments)
    source, model = MevisSource(options.data), load_model(options.model)
    print("| shown by | sentence | objects | first frame | last frame | all frames |\n"
          "|---|---|---|---|---|---|")
    for way, said in (*((way, said) for way in WAYS for said in (False, True)), ("", True)):
        try:
            found = np.concatenate([overlaps(model, source, video, way, said)
                                    for video in source.videos[: options.max_videos]])
        except CommandError as error:
            print(f"| {way} | no | refused: {error} | | | |")
            continue
        print(f"| {way or 'nothing'} | {'yes' if said else 'no'} | {len(found)} | "
              f"{found[:, 0].mean():.2f} | {found[:, -1].mean():.2f} | {found.mean():.2f} |",
              flush=True)


if __name__ == "__main__":
    main()
