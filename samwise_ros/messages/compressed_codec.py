"""Compressed camera images -> uint8 RGB. Plain NumPy and OpenCV, no ROS import."""

from types import SimpleNamespace
from typing import Any, Protocol

import cv2
import numpy as np

from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.streaming.pictures import DamagedPictureError, check_size, header_size
from samwise_ros.structures import FrameError

_CHANNELS = {1: "mono", 3: "bgr", 4: "bgra"}  # as OpenCV decodes them


class CompressedImageLike(Protocol):
    """The fields of sensor_msgs/CompressedImage that are read here."""

    format: str
    data: Any


def compressed_to_rgb(message: CompressedImageLike) -> np.ndarray:
    """Decode a JPEG or PNG message, or what else both Pillow and OpenCV read (TIFF, WebP, BMP ...).

    The format says what was compressed: "jpeg", "png", or as image_transport writes it "ENCODING;
    jpeg compressed ORDER" with the encoding of the camera and the order of the colours in the file.
    16-bit values are scaled by 255/65535; an orientation in the file is ignored, since camera_info
    does not know it.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        FrameError: for depth images, for data that cannot be decoded, and for a size in the header
            that no camera has; nothing is decoded then.
    """
    camera_encoding, _, rest = message.format.lower().partition(";")
    if "compresseddepth" in rest:
        raise FrameError(f"format {message.format[:60]!r} is a depth image: the image topic "
                         "expects a colour or grey one; check the remapping")
    pixels = _decode(message)
    depth = 8 * pixels.itemsize
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    encoding = f"{_CHANNELS[channels]}{depth}"
    if channels == 1 and camera_encoding.startswith("bayer_"):
        encoding = f"{camera_encoding.strip()[:10]}{depth}"  # compressed as the sensor gave it
    if "compressed rgb" in rest:
        encoding = encoding.replace("bgr", "rgb")
    return image_to_rgb(SimpleNamespace(
        height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=0,
        step=pixels.strides[0], data=pixels.data.cast("B")))


def _decode(message: CompressedImageLike) -> np.ndarray:
    """uint8 or uint16 [H, W] or [H, W, 3 or 4], C-contiguous."""
    data = np.frombuffer(message.data, np.uint8)
    named = f"compressed image of {data.size} bytes, format {message.format[:60]!r}"
    try:
        check_size(*header_size(data.tobytes()))
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except DamagedPictureError:
        pixels = None
    except FrameError as error:
        raise FrameError(f"{named}: {error}") from None
    except cv2.error as error:
        raise FrameError(f"{named}: {error.err}") from None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise FrameError(f"{named}, cannot be decoded: expected a whole JPEG or PNG file")
    return np.ascontiguousarray(pixels)
