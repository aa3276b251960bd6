"""Compressed messages against OpenCV's own decoding."""

import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from samwise_ros.messages.compressed_codec import compressed_to_rgb
from samwise_ros.structures import FrameError


def pixels(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """Smooth (JPEG loses little of it), not square."""
    rows, columns = np.mgrid[:46, :75].astype(np.float64)
    planes = [rows / 46, columns / 75, (rows + columns) / 121, 1 - rows / 46][:channels]
    values = (np.stack(planes, -1) * np.iinfo(dtype).max).astype(dtype)
    return values if channels > 1 else values[..., 0]


def message(image: np.ndarray, extension: str, text: str) -> SimpleNamespace:
    encoded, data = cv2.imencode(extension, image)
    assert encoded
    return SimpleNamespace(format=text, data=data.tobytes())


@pytest.mark.parametrize("text", ["png", "bgr8; png compressed bgr8", "rgb8; png compressed bgr8"])
def test_png_comes_back_exactly(text):
    rgb = pixels()
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    decoded = compressed_to_rgb(message(bgr, ".png", text))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, rgb)


@pytest.mark.parametrize("text", ["jpeg", "jpg", "rgb8; jpeg compressed bgr8", ""])
def test_jpeg_keeps_the_order_of_the_colours(text):
    rgb = pixels()
    decoded = compressed_to_rgb(message(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), ".jpg", text))
    assert np.abs(decoded.astype(int) - rgb).mean() < 3


def test_files_that_were_written_in_rgb_order_are_read_so():
    rgb = pixels()
    decoded = compressed_to_rgb(message(rgb, ".png", "rgb8; png compressed rgb8"))
    np.testing.assert_array_equal(decoded, rgb)


def test_grey_alpha_16_bit_and_bayer():
    grey = pixels(1)
    np.testing.assert_array_equal(compressed_to_rgb(message(grey, ".png",
                                                            "mono8; png compressed ")),
                                  cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))
    bgra = pixels(4)
    np.testing.assert_array_equal(compressed_to_rgb(message(bgra, ".png",
                                                            "bgra8; png compressed ")),
                                  cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB))
    deep = pixels(3, np.uint16)
    expected = np.round(deep[..., ::-1].astype(np.float64) * 255 / 65535)
    decoded = compressed_to_rgb(message(deep, ".png", "rgb16; png compressed bgr16"))
    assert np.abs(decoded - expected).max() <= 1  # ties are rounded differently
    bayer = compressed_to_rgb(message(grey, ".png", "bayer_rggb8; png compressed "))
    np.testing.assert_array_equal(bayer, cv2.cvtColor(grey, cv2.COLOR_BayerBG2RGB))


def test_an_orientation_in_the_file_is_ignored_since_camera_info_does_not_know_it():
    jpeg = cv2.imencode(".jpg", pixels())[1].tobytes()
    tags = (b"Exif\0\0II*\0\x08\0\0\0\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0")
    rotated = jpeg[:2] + b"\xff\xe1" + (len(tags) + 2).to_bytes(2, "big") + tags + jpeg[2:]
    turned = cv2.imdecode(np.frombuffer(rotated, np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape == (75, 46, 3)  # so the tag is understood
    assert compressed_to_rgb(SimpleNamespace(format="jpeg", data=rotated)).shape == (46, 75, 3)


@pytest.mark.parametrize("data", [b"", b"\0", b"no picture at all", "cut"])
def test_what_cannot_be_decoded_is_named(data):
    if data == "cut":
        data = message(pixels(), ".png", "png").data[:40]
    with pytest.raises(FrameError, match=f"{len(data)} bytes, format 'png'.*whole JPEG or PNG"):
        compressed_to_rgb(SimpleNamespace(format="png", data=data))


def claiming(extension: str, width: int, height: int) -> bytes:
    """A small file whose header says another size."""
    data = bytearray(message(pixels(), extension, "").data)
    if extension == ".png":
        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    elif extension == ".bmp":
        data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    else:
        at = data.index((46).to_bytes(2, "big") + (75).to_bytes(2, "big"))
        data[at:at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize("extension, size", [
    (".png", (30_000, 30_000)), (".png", (20_000, 8_000)), (".png", (2**31 - 1, 2**31 - 1)),
    (".jpg", (65_000, 65_000)), (".bmp", (30_000, 30_000))])
def test_a_size_that_no_camera_has_is_refused_before_anything_is_decoded(monkeypatch, extension,
                                                                         size):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    data = claiming(extension, *size)
    with pytest.raises(FrameError,
                       match=f"of {len(data)} bytes, format 'x': .*(pixels are more than 134 "
                                         "million|exceeds limit)"):
        compressed_to_rgb(SimpleNamespace(format="x", data=data))


def test_webp_tiff_and_bmp_are_decoded_too():
    rgb = pixels()
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    for extension in (".tiff", ".bmp"):
        np.testing.assert_array_equal(compressed_to_rgb(message(bgr, extension, "tiff")), rgb)
    assert np.abs(compressed_to_rgb(message(bgr, ".webp", "webp")).astype(int) - rgb).mean() < 3


def test_depth_images_are_refused_by_name():
    depth = message(pixels(1, np.uint16), ".png", "16UC1; compressedDepth png")
    with pytest.raises(FrameError, match="is a depth image"):
        compressed_to_rgb(depth)
