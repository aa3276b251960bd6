"""Every image encoding against OpenCV's own conversion, on odd non-square images."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from samwise_ros.messages.image_codec import ENCODINGS, image_to_rgb
from samwise_ros.structures import FrameError

HEIGHT, WIDTH = 23, 38  # not square, no multiple of anything; even width for 4:2:2


def message(pixels: np.ndarray, encoding: str, /, *, padding: int = 0, big_endian: bool = False,
            **changes) -> SimpleNamespace:
    """Image message around native-order pixels [H, W(, C)]; padding bytes are noise."""
    values = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(pixels.shape[0], -1)
    noise = np.random.default_rng(1).integers(0, 256, (rows.shape[0], padding), np.uint8)
    padded = np.hstack([rows, noise])
    fields = {"height": pixels.shape[0], "width": pixels.shape[1], "encoding": encoding,
              "is_bigendian": int(big_endian), "step": padded.shape[1], "data": padded.tobytes()}
    return SimpleNamespace(**fields | changes)


def random_pixels(channels: int, dtype: type, width: int = WIDTH) -> np.ndarray:
    shape = (HEIGHT, width, channels) if channels > 1 else (HEIGHT, width)
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Full-scale 16 bit to 8 bit, correctly rounded."""
    return np.round(pixels.astype(np.float64) * 255 / 65535).astype(np.uint8)


COLOURS = {
    "rgb": (3, lambda x: x), "bgr": (3, lambda x: cv2.cvtColor(x, cv2.COLOR_BGR2RGB)),
    "rgba": (4, lambda x: cv2.cvtColor(x, cv2.COLOR_RGBA2RGB)),
    "bgra": (4, lambda x: cv2.cvtColor(x, cv2.COLOR_BGRA2RGB)),
    "mono": (1, lambda x: cv2.cvtColor(x, cv2.COLOR_GRAY2RGB)),
}
CASES = [(f"{name}{bits}", *rest, dtype) for name, rest in COLOURS.items()
         for bits, dtype in ((8, np.uint8), (16, np.uint16))]
CASES += [("8UC1", *COLOURS["mono"], np.uint8), ("8UC3", *COLOURS["bgr"], np.uint8),
          ("8UC4", *COLOURS["bgra"], np.uint8), ("16UC3", *COLOURS["bgr"], np.uint16),
          ("16UC4", *COLOURS["bgra"], np.uint16)]


@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("encoding, channels, convert, dtype", CASES,
                         ids=[case[0] for case in CASES])
def test_colour_orders_depths_steps_and_byte_orders(encoding, channels, convert, dtype, big_endian,
                                                    padding):
    pixels = random_pixels(channels, dtype, width=37)
    expected = convert(pixels)
    rgb = image_to_rgb(message(pixels, encoding, padding=padding, big_endian=big_endian))
    assert rgb.dtype == np.uint8 and rgb.shape == (HEIGHT, 37, 3) and rgb.flags.c_contiguous
    if dtype is np.uint16:
        expected = to_8_bit(expected)
        assert np.abs(rgb.astype(int) - expected).max() <= 1  # OpenCV rounds ties to even
        assert (rgb == expected).mean() > 0.99
    else:
        np.testing.assert_array_equal(rgb, expected)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding, code", [
    ("yuv422", cv2.COLOR_YUV2RGB_UYVY), ("uyvy", cv2.COLOR_YUV2RGB_UYVY),
    ("yuv422_yuy2", cv2.COLOR_YUV2RGB_YUY2), ("yuyv", cv2.COLOR_YUV2RGB_YUY2)])
def test_yuv_422(encoding, code, padding):
    pixels = random_pixels(2, np.uint8)
    np.testing.assert_array_equal(image_to_rgb(message(pixels, encoding, padding=padding)),
                                  cv2.cvtColor(pixels, code))


@pytest.mark.parametrize("bits, dtype", [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_give_back_the_colour_they_were_taken_from(pattern, big_endian, bits, dtype):
    colour = {"r": 200, "g": 90, "b": 30}
    scale = 257 if bits == 16 else 1
    tile = np.array([[colour[c] for c in pattern[:2]], [colour[c] for c in pattern[2:]]])
    mosaic = (np.tile(tile, (12, 19)) * scale).astype(dtype)
    rgb = image_to_rgb(message(mosaic, f"bayer_{pattern}{bits}", padding=2, big_endian=big_endian))
    np.testing.assert_array_equal(rgb, np.broadcast_to(np.uint8([200, 90, 30]), rgb.shape))


def planes_message(encoding: str, width: int, height: int, *, padding: int = 0, rounded: str = "up"
                   ) -> tuple[SimpleNamespace, np.ndarray, np.ndarray]:
    """Random Y and chroma in one buffer with noise as padding; message, Y and chroma [h, w, 2].

    `rounded`: whether the chroma of an odd size is sent for its last row and column.
    """
    rng = np.random.default_rng(2)
    luma = rng.integers(0, 256, (height, width), np.uint8)
    share = 1 if encoding == "nv24" else 2
    rows, pairs = (-(-size // share) if rounded == "up" else size // share
                   for size in (height, width))
    chroma = rng.integers(0, 256, (rows, pairs, 2), np.uint8)
    step = width + padding
    row = 2 * step if share == 1 else max(step, 2 * pairs)
    data = [np.hstack([values,
                       rng.integers(0, 256, (len(values), width_ - values.shape[1]), np.uint8)])
            for values, width_ in ((luma, step), (chroma.reshape(rows, -1), row))]
    return SimpleNamespace(height=height, width=width, encoding=encoding, is_bigendian=0, step=step,
                           data=b"".join(part.tobytes() for part in data)), luma, chroma


@pytest.mark.parametrize("padding", [0, 6, 32])
@pytest.mark.parametrize("width, height", [(38, 24), (96, 64), (2, 2)])
@pytest.mark.parametrize("encoding, code", [("nv12", cv2.COLOR_YUV2RGB_NV12),
                                            ("nv21", cv2.COLOR_YUV2RGB_NV21)])
def test_yuv_420_in_two_planes(encoding, code, width, height, padding):
    image, luma, chroma = planes_message(encoding, width, height, padding=padding)
    rgb = image_to_rgb(image)
    stacked = np.vstack([luma, chroma.reshape(height // 2, width)])
    np.testing.assert_array_equal(rgb, cv2.cvtColor(stacked, code))
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("rounded, padding", [("up", 0), ("up", 1), ("up", 7), ("down", 0)])
@pytest.mark.parametrize("width, height", [(37, 24), (38, 23), (37, 23), (3, 3)])
@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_yuv_420_of_odd_sizes(encoding, width, height, rounded, padding):
    image, luma, chroma = planes_message(encoding, width, height, padding=padding, rounded=rounded)
    rows, columns = (np.minimum(np.arange(size) // 2, sent - 1)
                     for size, sent in zip((height, width), chroma.shape))
    packed = np.stack([luma, chroma[rows][:, columns][..., int(encoding == "nv21")],
                       luma, chroma[rows][:, columns][..., int(encoding == "nv12")]], -1)
    expected = cv2.cvtColor(packed.reshape(height, -1, 2), cv2.COLOR_YUV2RGB_YUY2)[:, ::2]
    np.testing.assert_array_equal(image_to_rgb(image), expected)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("width, height", [(38, 24), (37, 23), (1, 1)])
def test_yuv_444_in_two_planes(width, height, padding):
    """As nv12 of a picture twice as large, in which four pixels share what belongs to one here."""
    image, luma, chroma = planes_message("nv24", width, height, padding=padding)
    large = cv2.cvtColorTwoPlane(luma.repeat(2, 0).repeat(2, 1), chroma, cv2.COLOR_YUV2RGB_NV12)
    np.testing.assert_array_equal(image_to_rgb(image), large[::2, ::2])


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
def test_planes_that_are_cut_off_are_named(encoding):
    image, *_ = planes_message(encoding, 38, 24)
    image.data = image.data[:-1]
    with pytest.raises(FrameError,
                       match=f"data: expected {len(image.data) + 1} bytes for 38x24 {encoding}"):
        image_to_rgb(image)
    image.step = 37
    with pytest.raises(FrameError, match="step: expected at least 38"):
        image_to_rgb(image)


def test_every_known_encoding_is_tested_above():
    tested = {case[0] for case in CASES} | {"yuv422", "uyvy", "yuv422_yuy2", "yuyv"}
    tested |= {"nv12", "nv21", "nv24"}
    tested |= {f"bayer_{p}{b}" for p in ("rggb", "bggr", "gbrg", "grbg") for b in (8, 16)}
    assert tested == set(ENCODINGS)


def test_a_view_is_returned_for_tight_rgb8_and_nothing_is_written():
    pixels = random_pixels(3, np.uint8)
    image = message(pixels, "rgb8")
    before = bytes(image.data)
    rgb = image_to_rgb(image)
    assert np.shares_memory(rgb, np.frombuffer(image.data, np.uint8))
    assert image.data == before


@pytest.mark.parametrize("kind", [list, bytearray, lambda data: np.frombuffer(data, np.uint8)])
def test_any_kind_of_buffer_is_read(kind):
    pixels = random_pixels(3, np.uint8)
    image = message(pixels, "rgb8")
    image.data = kind(image.data)
    np.testing.assert_array_equal(image_to_rgb(image), pixels)


def test_missing_padding_of_the_last_row_is_accepted():
    pixels = random_pixels(3, np.uint8)
    image = message(pixels, "bgr8", padding=6)
    image.data = image.data[:-6]
    np.testing.assert_array_equal(image_to_rgb(image), pixels[..., ::-1])


def test_a_single_pixel_is_an_image():
    assert image_to_rgb(message(np.uint8([[[1, 2, 3]]]), "bgr8")).tolist() == [[[3, 2, 1]]]


@pytest.mark.parametrize("changes, reason", [
    ({"encoding": "16UC1"}, "depth image"),
    ({"encoding": "32FC1"}, "depth image"),
    ({"encoding": ""}, "unknown image encoding ''"),
    ({"encoding": "x" * 100_000}, "unknown image encoding"),
    ({"width": 0}, "at least 1x1"),
    ({"height": 0}, "at least 1x1"),
    ({"width": 1000}, "step: expected at least 3000"),
    ({"step": 0}, "step: expected at least 114"),
    ({"height": 24}, "data: expected 2736 bytes"),
    ({"data": b""}, "got 0"),
    ({"encoding": "yuyv", "width": 37}, "even width"),
    ({"height": 2**32 - 1, "step": 2**32 - 1}, "data: expected"),
])
def test_contradicting_fields_are_named(changes, reason):
    image = message(random_pixels(3, np.uint8), "rgb8", **changes)
    with pytest.raises(FrameError, match=reason) as raised:
        image_to_rgb(image)
    assert len(str(raised.value)) < 600
