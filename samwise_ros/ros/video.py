"""Video files as a source of frames. OpenCV only, no ROS import."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.structures import FrameError

_FALLBACK_RATE = 25.0  # for containers that don't say


class VideoFile:
    """A readable video.

    Args:
        path: File that OpenCV can decode.

    Raises:
        FrameError: The file is absent or holds no frame.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FrameError(f"video: no file {str(path)!r}")
        capture = cv2.VideoCapture(str(path))
        try:
            readable, _ = capture.read()
            rate = capture.get(cv2.CAP_PROP_FPS)
        finally:
            capture.release()
        if not readable:
            raise FrameError(f"video: {str(path)!r} holds no frame that OpenCV can decode")
        self.rate = rate if 0 < rate < 1000 else _FALLBACK_RATE

    def frames(self, loop: bool = False) -> Iterator[np.ndarray]:
        """uint8 [H, W, 3] BGR frames, once or again and again."""
        while True:
            capture = cv2.VideoCapture(str(self.path))
            try:
                while True:
                    readable, frame = capture.read()
                    if not readable:
                        break
                    yield frame
            finally:
                capture.release()
            if not loop:
                return


def write_video(path: str | Path, frames: Iterator[np.ndarray] | list[np.ndarray],
                rate: float) -> None:
    """Write uint8 [H, W, 3] BGR frames of one size as MPEG-4.

    Raises:
        FrameError: There is no frame, or OpenCV can't write the file.
    """
    writer = None
    try:
        for frame in frames:
            if writer is None:
                height, width = frame.shape[:2]
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate,
                                         (width, height))
                if not writer.isOpened():
                    raise FrameError(f"video: OpenCV can't write {str(path)!r}")
            writer.write(frame)
    finally:
        if writer is not None:
            writer.release()
    if writer is None:
        raise FrameError(f"video: no frames for {str(path)!r}")
