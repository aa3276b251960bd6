"""Camera images of every encoding of sensor_msgs -> uint8 RGB. NumPy and OpenCV, no ROS.

Decoded here rather than by cv_bridge, whose builds for Humble and Jazzy break beside NumPy 2: a
view on the message's buffer is as fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from samwise_ros.structures import FrameError


class ImageLike(Protocol):
    """The fields of sensor_msgs/Image that are read here."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


@dataclass(frozen=True)
class _Layout:
    """How one encoding stores a pixel: bytes per value, values per pixel, OpenCV code to RGB."""

    depth: int
    channels: int
    to_rgb: int | None


_CHANNEL_ORDERS = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
    # ROS names the first two pixels of the first two rows, OpenCV the inner two of the second row.
    "bayer_rggb": (1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg": (1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg": (1, cv2.COLOR_BayerGB2RGB),
}

_LAYOUTS = {
    f"{name}{8 * depth}": _Layout(depth, channels, code)
    for name, (channels, code) in _CHANNEL_ORDERS.items()
    for depth in (1, 2)
} | {
    "yuv422": _Layout(1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": _Layout(1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _Layout(1, 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": _Layout(1, 2, cv2.COLOR_YUV2RGB_YUY2),
    # OpenCV's type names carry no colour order; like OpenCV we take it to be BGR.
    "8UC1": _Layout(1, 1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Layout(1, 3, cv2.COLOR_BGR2RGB),
    "8UC4": _Layout(1, 4, cv2.COLOR_BGRA2RGB),
    "16UC3": _Layout(2, 3, cv2.COLOR_BGR2RGB),
    "16UC4": _Layout(2, 4, cv2.COLOR_BGRA2RGB),
}

@dataclass(frozen=True)
class _Planes:
    """A plane of Y, then one of chroma pairs: pixels that share a pair, OpenCV code to RGB.

    The code is that of the format which OpenCV knows and in which the planes are handed to it.
    """

    across: int
    down: int
    to_rgb: int


_PLANES = {
    "nv12": _Planes(2, 2, cv2.COLOR_YUV2RGB_NV12),
    "nv21": _Planes(2, 2, cv2.COLOR_YUV2RGB_NV21),
    "nv24": _Planes(1, 1, cv2.COLOR_YUV2RGB_YUY2),
}

ENCODINGS = (*_LAYOUTS, *_PLANES)
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "64FC1")
_DEPTH_LAYOUTS = {
    "16UC1": (_Layout(2, 1, None), np.uint16),
    "mono16": (_Layout(2, 1, None), np.uint16),
    "32FC1": (_Layout(4, 1, None), np.float32),
}


def image_to_rgb(message: ImageLike,
                 fallback: Callable[[Any], np.ndarray] | None = None) -> np.ndarray:
    """Decode an image message.

    Any row step and byte order is honoured; 16-bit values are scaled by 255/65535.

    Args:
        message: sensor_msgs/Image, of whatever library.
        fallback: Decodes an encoding that is unknown here, or raises FrameError.

    Returns:
        uint8 [H, W, 3] RGB, C-contiguous. For tightly packed rgb8 it is a view on the message's
        buffer, so it must not be written to.

    Raises:
        FrameError: for an encoding that isn't a colour or grey image, or fields that contradict
            each other.
    """
    if message.encoding in _PLANES:
        return _planes_to_rgb(message, _PLANES[message.encoding])
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        return _unknown_to_rgb(message, fallback)
    pixels = _pixels(message, layout)
    # Scaled first, where that is the same: afterwards there are more values to scale. A mosaic is
    # interpolated, so it is rounded last.
    mosaic = message.encoding.startswith("bayer")
    if layout.depth == 2 and not mosaic:
        pixels = _to_8_bit(pixels)
    if layout.to_rgb is not None:
        pixels = cv2.cvtColor(pixels, layout.to_rgb)
    if layout.depth == 2 and mosaic:
        pixels = _to_8_bit(pixels)
    return np.ascontiguousarray(pixels)


def _to_8_bit(pixels: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0)


def image_to_depth(message: ImageLike) -> np.ndarray:
    """Decode a depth message; the encoding says the unit (REP 118).

    Returns:
        uint16 [H, W] millimetres for 16UC1 (and mono16), float32 [H, W] metres for 32FC1. It may be
        a view on the message's buffer, so it must not be written to.

    Raises:
        FrameError: for another encoding, or fields that contradict each other.
    """
    if message.encoding not in _DEPTH_LAYOUTS:
        raise FrameError(f"encoding {message.encoding[:40]!r} is not a depth image: expected one "
                         f"of {', '.join(_DEPTH_LAYOUTS)}; check the remapping of `depth`")
    layout, dtype = _DEPTH_LAYOUTS[message.encoding]
    return _pixels(message, layout).view(dtype)


def _unknown_to_rgb(message: ImageLike,
                    fallback: Callable[[Any], np.ndarray] | None) -> np.ndarray:
    encoding = message.encoding
    if encoding in _DEPTH_ENCODINGS:
        raise FrameError(f"encoding {encoding!r} is a depth image: the `image` topic expects a "
                         "colour or grey one; check the remapping")
    refused: FrameError | None = None
    if fallback is not None:
        try:
            return fallback(message)
        except FrameError as error:
            refused = error
    reason = f" ({refused})" if refused else ""
    raise FrameError(f"unknown image encoding {encoding[:40]!r}{reason}; known are "
                     f"{', '.join(ENCODINGS)}: set the driver to one of them") from refused


def _planes_to_rgb(message: ImageLike, planes: _Planes) -> np.ndarray:
    """Decode Y and chroma planes of one row step. The last pair of an odd size serves one pixel."""
    luma, chroma = _split_planes(message, planes)
    height, width = luma.shape
    if planes.across == 1:  # as YUYV with each pixel twice, since OpenCV has no code for 4:4:4
        # By OpenCV's functions throughout: NumPy's copies with strides took 25 ms of 1280x720.
        u, v = cv2.split(chroma)
        packed = cv2.merge((luma, u, luma, v))
        doubled = cv2.cvtColor(packed.reshape(height, 2 * width, 2), planes.to_rgb)
        pixels = np.empty((height, width, 3), np.uint8)
        cv2.mixChannels([doubled.reshape(height, width, 6)], [pixels], (0, 0, 1, 1, 2, 2))
        return pixels
    luma = np.pad(luma, ((0, height % 2), (0, width % 2)), "edge")
    rgb = cv2.cvtColorTwoPlane(luma, chroma, planes.to_rgb)
    return np.ascontiguousarray(rgb[:height, :width])


def _split_planes(message: ImageLike, planes: _Planes) -> tuple[np.ndarray, np.ndarray]:
    """Y [H, W] and chroma [ceil(H / down), ceil(W / across), 2], views where nothing is missing.

    Of an odd size drivers may round the chroma rows up or down, in length and in number: a pair
    that is not sent is that before it.
    """
    height, width, step = message.height, message.width, message.step
    _check_size(message, max(width, planes.across))
    pairs, rows = -(-width // planes.across), -(-height // planes.down)
    buffer = _as_bytes(message.data)
    stride = step * 2 // planes.across
    if stride < 2 * pairs and buffer.size >= step * height + 2 * pairs * rows:
        stride = 2 * pairs
    sent = min(pairs, stride // 2)
    needed = step * height + stride * (rows - 1) + 2 * sent
    sent_rows = rows
    if buffer.size < needed and height > 1:
        sent_rows = height // planes.down
        needed -= stride * (rows - sent_rows)
    _check_data(message, buffer, needed)
    luma = np.ndarray((height, width), np.uint8, buffer, strides=(step, 1))
    chroma = np.ndarray((sent_rows, sent, 2), np.uint8, buffer, step * height, (stride, 2, 1))
    return luma, np.pad(chroma, ((0, rows - sent_rows), (0, pairs - sent), (0, 0)), "edge")


def _pixels(message: ImageLike, layout: _Layout) -> np.ndarray:
    """View of the message as [H, W] or [H, W, channels] in native byte order, rows strided."""
    height, width, step = message.height, message.width, message.step
    row = width * layout.channels * layout.depth
    _check_size(message, row)
    if layout.channels == 2 and width % 2:
        raise FrameError(f"{message.encoding} needs an even width, got {width}")
    buffer = _as_bytes(message.data)
    # some drivers leave out the padding of the last row
    _check_data(message, buffer, step * (height - 1) + row)
    byte_order = ">" if message.is_bigendian else "<"
    dtype = np.dtype(f"{byte_order}u{layout.depth}")
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, layout.channels * layout.depth)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, layout.depth)
    view = np.ndarray(shape, dtype, buffer, strides=strides)
    # OpenCV takes strided rows, but neither foreign byte orders nor unaligned values.
    return view if layout.depth == 1 else np.ascontiguousarray(view, dtype.newbyteorder("="))


def _check_size(message: ImageLike, row: int) -> None:
    """Raises FrameError for an empty image, or rows shorter than `row` bytes."""
    height, width, step = message.height, message.width, message.step
    if height < 1 or width < 1:
        raise FrameError(f"empty image: expected at least 1x1 pixels, got {width}x{height}")
    if step < row:
        raise FrameError(f"step: expected at least {row} bytes for {width} pixels of "
                         f"{message.encoding}, got {step}")


def _check_data(message: ImageLike, buffer: np.ndarray, needed: int) -> None:
    """Raises FrameError for fewer bytes than `needed`."""
    if buffer.size < needed:
        raise FrameError(f"data: expected {needed} bytes for {message.width}x{message.height} "
                         f"{message.encoding} with step {message.step}, got {buffer.size}")


def _as_bytes(data: Any) -> np.ndarray:
    """uint8 [n] view of a message's `data`; the one place to change for other buffer types."""
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError):  # a list, or an empty buffer
        return np.asarray(data, np.uint8)
