"""A short video of a red ball, drawn with OpenCV."""

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.streaming.video_file import VideoWriter


def write_ball_video(path: Path, frames: int = 60) -> Path:
    """A red ball that moves right over a grey ground, 160x120 at 12 frames/s; returns `path`."""
    with closing(VideoWriter(path, 12.0)) as video:
        for index in range(frames):
            frame = np.full((120, 160, 3), 170, np.uint8)
            cv2.circle(frame, (20 + 2 * index, 70), 14, (205, 45, 40), -1, cv2.LINE_AA)
            video.write(frame)
    return path
