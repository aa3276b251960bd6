"""The encodings that `image_codec` doesn't know, by cv_bridge where that is installed and works.

Run as a program it decodes one known picture. It is tried so before its first use, in a process of
its own: builds of cv_bridge for NumPy 1 don't only fail beside NumPy 2, some end the process.
"""

import functools
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np

from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.structures import FrameError

_PATIENCE = 20.0  # seconds for a trial, most of them for imports


def any_image_to_rgb(message: Any) -> np.ndarray:
    """`image_to_rgb`, with cv_bridge for what that doesn't know. Raises FrameError."""
    return image_to_rgb(message, decode_by_cv_bridge)


def decode_by_cv_bridge(message: Any) -> np.ndarray:
    """Decode a sensor_msgs/Image.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        FrameError: cv_bridge isn't installed, doesn't work here, or knows no colours of the
        encoding.
    """
    fault = _fault()
    if fault:
        raise FrameError(fault)
    from cv_bridge import CvBridge

    try:
        rgb = CvBridge().imgmsg_to_cv2(message, "rgb8")
    except Exception as error:  # cv_bridge passes on what OpenCV and Boost raise
        raise FrameError(f"cv_bridge: {error}") from error
    if rgb.dtype != np.uint8 or rgb.shape != (message.height, message.width, 3):
        raise FrameError(f"cv_bridge: expected uint8 [{message.height}, {message.width}, 3], got "
                         f"{rgb.dtype} {list(rgb.shape)}")
    return np.ascontiguousarray(rgb)


@functools.cache
def _fault() -> str:
    """Why cv_bridge can't be used; empty when it can."""
    if find_spec("cv_bridge") is None:
        return "cv_bridge is not installed"
    path = os.pathsep.join(filter(None, sys.path))
    try:
        subprocess.run([sys.executable, "-m", __name__], check=True, timeout=_PATIENCE,
                       capture_output=True, env=os.environ | {"PYTHONPATH": path})
    except subprocess.TimeoutExpired:
        return f"cv_bridge does not work here: no answer within {_PATIENCE:g} s"
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"cv_bridge does not work here: {last or f'exit code {error.returncode}'}"
    return ""


def _try_cv_bridge() -> None:
    """Decode a picture that isn't square. Raises whatever goes wrong."""
    from cv_bridge import CvBridge
    from sensor_msgs.msg import Image

    bgr = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    message = Image(height=2, width=3, encoding="bgr8", step=9, data=bgr.tobytes())
    rgb = CvBridge().imgmsg_to_cv2(message, "rgb8")
    if not np.array_equal(rgb, bgr[..., ::-1]):
        raise ValueError("a known picture came out wrong")


if __name__ == "__main__":
    _try_cv_bridge()
