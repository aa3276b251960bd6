"""A picture gives the same pixels as a file (`samwise segment`) and as a compressed message."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from model_builders import make_frames
from PIL import Image

from samwise_ros.messages.compressed_codec import compressed_to_rgb
from samwise_ros.streaming.pictures import read_picture
from samwise_ros.structures import FrameError

RGB = make_frames(1, 24, 40)[0]
WIDE = RGB.astype(np.uint16) * 257


def both(path: Path) -> tuple[np.ndarray, np.ndarray]:
    message = SimpleNamespace(format=path.suffix[1:], data=path.read_bytes())
    return read_picture(path, upright=False).astype(int), compressed_to_rgb(message).astype(int)


@pytest.mark.parametrize(("name", "mode"), [
    ("a.png", "RGB"), ("a.jpg", "RGB"), ("a.webp", "RGB"), ("p.png", "P"), ("one.png", "1"),
    ("l.png", "L"), ("la.png", "LA"), ("rgba.png", "RGBA"), ("cmyk.jpg", "CMYK"), ("l.jpg", "L")])
def test_modes(tmp_path: Path, name: str, mode: str) -> None:
    Image.fromarray(RGB).convert(mode).save(tmp_path / name)
    file, message = both(tmp_path / name)
    assert np.abs(file - message).max() <= 1


@pytest.mark.parametrize("pixels", [WIDE, WIDE[..., 0], np.dstack([WIDE, WIDE[..., :1]])])
def test_16_bits(tmp_path: Path, pixels: np.ndarray) -> None:
    assert cv2.imwrite(str(tmp_path / "wide.png"), pixels)
    file, message = both(tmp_path / "wide.png")
    assert np.abs(file - message).max() <= 1


def test_an_orientation_in_the_file_is_for_photos_only(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    file, message = both(tmp_path / "a.jpg")
    assert file.shape == message.shape == RGB.shape
    assert read_picture(tmp_path / "a.jpg").shape[:2] == RGB.shape[1::-1]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_cut_off_picture_is_refused_by_both(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:len(content) // 2])
    with pytest.raises(FrameError, match="not a readable image"):
        read_picture(tmp_path / name)
    with pytest.raises(FrameError, match="cannot be decoded"):
        compressed_to_rgb(SimpleNamespace(format="jpeg", data=content[:len(content) // 2]))
