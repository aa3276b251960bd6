"""Camera images of any usual encoding -> uint8 RGB. Plain NumPy and OpenCV, no ROS import.

cv_bridge isn't used: its builds for Humble and Jazzy break beside NumPy 2, and a view on the
message's buffer is as fast.
"""

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

ENCODINGS = tuple(_LAYOUTS)
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "64FC1")
_DEPTH_LAYOUTS = {
    "16UC1": (_Layout(2, 1, None), np.uint16),
    "mono16": (_Layout(2, 1, None), np.uint16),
    "32FC1": (_Layout(4, 1, None), np.float32),
}


def image_to_rgb(message: ImageLike) -> np.ndarray:
    """Decode an image message.

    Any row step and byte order is honoured; 16-bit values are scaled by 255/65535.

    Returns:
        uint8 [H, W, 3] RGB, C-contiguous. For tightly packed rgb8 it is a view on the message's
        buffer, so it must not be written to.

    Raises:
        FrameError: for an encoding that isn't a colour or grey image, or fields that contradict
            each other.
    """
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        raise FrameError(_unknown_encoding(message.encoding))
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


def _unknown_encoding(encoding: str) -> str:
    if encoding in _DEPTH_ENCODINGS:
        return (f"encoding {encoding!r} is a depth image: the `image` topic expects a colour or "
                "grey one; check the remapping")
    return (f"unknown image encoding {encoding[:40]!r}; known are {', '.join(ENCODINGS)}")


def _pixels(message: ImageLike, layout: _Layout) -> np.ndarray:
    """View of the message as [H, W] or [H, W, channels] in native byte order, rows strided."""
    height, width, step = message.height, message.width, message.step
    row = width * layout.channels * layout.depth
    if height < 1 or width < 1:
        raise FrameError(f"empty image: expected at least 1x1 pixels, got {width}x{height}")
    if layout.channels == 2 and width % 2:
        raise FrameError(f"{message.encoding} needs an even width, got {width}")
    if step < row:
        raise FrameError(f"step: expected at least {row} bytes for {width} pixels of "
                         f"{message.encoding}, got {step}")
    buffer = _as_bytes(message.data)
    needed = step * (height - 1) + row  # some drivers leave out the padding of the last row
    if buffer.size < needed:
        raise FrameError(f"data: expected {needed} bytes for {width}x{height} "
                         f"{message.encoding} with step {step}, got {buffer.size}")
    byte_order = ">" if message.is_bigendian else "<"
    dtype = np.dtype(f"{byte_order}u{layout.depth}")
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, layout.channels * layout.depth)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, layout.depth)
    view = np.ndarray(shape, dtype, buffer, strides=strides)
    # OpenCV takes strided rows, but neither foreign byte orders nor unaligned values.
    return view if layout.depth == 1 else np.ascontiguousarray(view, dtype.newbyteorder("="))


def _as_bytes(data: Any) -> np.ndarray:
    """uint8 [n] view of a message's `data`; the one place to change for other buffer types."""
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError):  # a list, or an empty buffer
        return np.asarray(data, np.uint8)
