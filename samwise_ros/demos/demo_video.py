"""A short video that the demo draws for itself where no sample is at hand. OpenCV only."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.streaming.video_io import VideoWriter

_SIZE = (360, 640)  # height, width
_FRAMES = 60
_RATE = 12.0
_BALL_RADIUS = 38


def write_demo_video(path: Path) -> Path:
    """Write five seconds of a red ball and a blue box that cross on a table; returns `path`."""
    with closing(VideoWriter(path, _RATE)) as video:
        for frame in demo_frames():
            video.write(frame)
    return path


def demo_frames() -> Iterator[np.ndarray]:
    """uint8 RGB [360, 640, 3] frames, the same on every call."""
    background = _background()
    height, width = _SIZE
    for index in range(_FRAMES):
        progress = index / (_FRAMES - 1)
        frame = background.copy()
        box_x = round(width * (0.85 - 0.7 * progress))
        cv2.rectangle(frame, (box_x - 45, 205), (box_x + 45, 285), (40, 80, 200), -1, cv2.LINE_AA)
        ball = (round(width * (0.12 + 0.75 * progress)),
                round(height * 0.62 - 60 * abs(np.sin(3 * np.pi * progress))))
        cv2.circle(frame, ball, _BALL_RADIUS, (205, 45, 40), -1, cv2.LINE_AA)
        cv2.circle(frame, (ball[0] - 12, ball[1] - 14), 8, (240, 150, 140), -1, cv2.LINE_AA)
        yield frame


def _background() -> np.ndarray:
    """A wall and a table with some grain, so that the picture isn't flat."""
    height, width = _SIZE
    picture = np.full((height, width, 3), (190, 195, 185), np.float32)
    picture[height // 2:] = (150, 115, 80)
    grain = np.random.default_rng(0).normal(0, 9, (height // 4, width // 4, 1)).astype(np.float32)
    picture += cv2.resize(grain, (width, height))[..., None]
    return picture.clip(0, 255).astype(np.uint8)
