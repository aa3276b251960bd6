"""Picture files as people have them: names, order, bit depths, pages, orientation, damage."""

import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from model_builders import make_frames
from PIL import Image

from samwise_ros.streaming import pictures
from samwise_ros.streaming.pictures import list_pictures, read_pages, read_picture, write_png
from samwise_ros.streaming.video_io import FrameSource
from samwise_ros.structures import ConfigError, FrameError
from samwise_ros.user_files import claim_outputs

RGB = make_frames(1, 20, 30)[0]
GREY16 = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)


def exif(orientation: int) -> Image.Exif:
    entries = Image.Exif()
    entries[0x0112] = orientation
    return entries


def touch(folder: Path, *names: str) -> None:
    for name in names:
        Image.fromarray(RGB).save(folder / name, format="PNG")


def test_frames_come_in_the_order_that_people_count(tmp_path: Path) -> None:
    touch(tmp_path, "frame10.png", "Frame2.png", "frame1.PNG", "frame02b.png")
    assert [path.name for path in list_pictures(tmp_path)] == [
        "frame1.PNG", "Frame2.png", "frame02b.png", "frame10.png"]
    assert [frame.name for frame in FrameSource(tmp_path)][-1] == "frame10"


def test_hidden_companions_are_no_frames(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "1.png", ".hidden.png")
    (tmp_path / "._0.png").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    assert [frame.name for frame in FrameSource(tmp_path)] == ["0", "1"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "2.png")
    (tmp_path / "1.png").symlink_to(tmp_path / "moved.png")
    source = FrameSource(tmp_path)
    assert [frame.name for frame in source] == ["0", "2"] and list(source.damaged) == ["1"]


def test_pipes_are_no_frames_and_links_in_a_circle_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "0.png")
    os.mkfifo(tmp_path / "1.png")  # reading it would wait for ever
    assert [frame.name for frame in FrameSource(tmp_path)] == ["0"]
    circle = tmp_path / "circle.png"
    circle.symlink_to(circle)
    with pytest.raises(FrameError, match="no such"):
        FrameSource(circle)
    with pytest.raises(ConfigError, match=r"circle.png.*cannot write"):
        claim_outputs(circle, ("results.jsonl",), [tmp_path])


def test_a_picture_in_a_format_that_is_not_read_is_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "0.png")
    (tmp_path / "1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(FrameError, match=r"1\.HEIC.*not read"):
        FrameSource(tmp_path)


@pytest.mark.parametrize(("name", "mode"), [
    ("p.png", "P"), ("one.png", "1"), ("l.png", "L"), ("la.png", "LA"), ("rgba.png", "RGBA"),
    ("cmyk.tif", "CMYK"), ("ycc.jpg", "YCbCr"), ("p.gif", "P"), ("pa.tif", "LA"),
    ("w.webp", "RGBA"), ("bitmap.bmp", "P")])
def test_every_mode_of_a_picture_gives_its_colours(tmp_path: Path, name: str, mode: str) -> None:
    stored = Image.fromarray(RGB).convert(mode)
    stored.save(tmp_path / name, **({"lossless": True} if name == "w.webp" else {}))
    expected = np.array(stored.convert("RGB"))
    read = read_picture(tmp_path / name)
    assert read.dtype == np.uint8 and read.shape == (20, 30, 3)
    tolerance = 12 if name == "ycc.jpg" else 0
    assert np.abs(read.astype(int) - expected).mean() <= tolerance


def test_an_inverted_cmyk_jpeg_of_a_printer_is_not_a_negative(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (220, 40, 30)).convert("CMYK").save(tmp_path / "c.jpg")
    assert np.abs(read_picture(tmp_path / "c.jpg").mean((0, 1)) - (220, 40, 30)).max() < 12


@pytest.mark.parametrize("name", ["g.png", "g.tif", "g.pgm"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, name: str) -> None:
    assert cv2.imwrite(str(tmp_path / name), GREY16)
    read = read_picture(tmp_path / name)
    np.testing.assert_allclose(read[..., 0], GREY16 / 257, atol=1)
    assert (read[..., 0] == read[..., 2]).all()


@pytest.mark.parametrize("name", ["c.png", "c.tif", "c.ppm"])
def test_16_bit_colour_is_scaled(tmp_path: Path, name: str) -> None:
    assert cv2.imwrite(str(tmp_path / name), RGB[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_allclose(read_picture(tmp_path / name), RGB, atol=1)


def test_white_may_be_zero(tmp_path: Path) -> None:
    Image.fromarray(GREY16).save(tmp_path / "w.tif", tiffinfo={262: 0})
    np.testing.assert_allclose(read_picture(tmp_path / "w.tif")[..., 0], 255 - GREY16 / 257, atol=1)


def test_values_without_a_white_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 5), np.float32)).save(tmp_path / "depth.tif")
    Image.fromarray(np.ones((4, 5), np.int32)).save(tmp_path / "count.tif")
    for name in ("depth.tif", "count.tif"):
        with pytest.raises(FrameError, match=rf"{name}.*Convert"):
            list(FrameSource(tmp_path / name))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_several_pictures_in_one_file_are_a_video_with_its_times(tmp_path: Path, name: str) -> None:
    pages = [np.full((24, 32, 3), level, np.uint8) for level in (20, 120, 220)]
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(tmp_path / name, save_all=True, append_images=rest, duration=[100, 300, 200])
    source = FrameSource(tmp_path / name)
    frames = list(source)
    assert source.count == 3 and [frame.name for frame in frames] == ["00000", "00001", "00002"]
    assert [round(float(frame.rgb.mean())) for frame in frames] == pytest.approx([20, 120, 220],
                                                                                 abs=4)
    if name != "a.tif":
        assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.4])
    touch(tmp_path, "b.png")
    with pytest.raises(FrameError, match=rf"{name}.*3 pictures"):
        FrameSource(tmp_path)


def test_the_previews_of_a_phone_are_no_frames(tmp_path: Path) -> None:
    preview = Image.fromarray(255 - RGB)
    Image.fromarray(RGB).save(tmp_path / "p.jpg", format="MPO", save_all=True,
                              append_images=[preview])
    with Image.open(tmp_path / "p.jpg") as image:
        assert image.n_frames == 2, "the case that is tried"
    (frame,) = FrameSource(tmp_path / "p.jpg")
    assert frame.name == "p" and np.abs(frame.rgb.astype(int) - RGB).mean() < 60


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 8])
def test_photos_are_turned_and_frames_of_data_sets_are_not(tmp_path: Path,
                                                           orientation: int) -> None:
    folder = tmp_path / "JPEGImages" / "clip"
    folder.mkdir(parents=True)
    stored = Image.fromarray(RGB)
    for place in (tmp_path / "photo.png", folder / "0.png"):
        stored.save(place, exif=exif(orientation))
    (photo,), (frame,) = FrameSource(tmp_path / "photo.png"), FrameSource(folder)
    np.testing.assert_array_equal(frame.rgb, RGB)
    assert photo.rgb.shape[:2] == ((30, 20) if orientation > 4 else (20, 30))
    if orientation == 6:
        np.testing.assert_array_equal(photo.rgb, np.rot90(RGB, -1))


def cut(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * share)])


@pytest.mark.parametrize("name", ["1.png", "1.jpg", "1.webp", "1.tif"])
def test_a_cut_off_picture_is_named_and_the_others_keep_their_places(
        tmp_path: Path, name: str) -> None:
    touch(tmp_path, "0.png", "2.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    cut(tmp_path / name)
    source = FrameSource(tmp_path)
    assert [(frame.name, frame.index, frame.time) for frame in source] == [
        ("0", 0, 0.0), ("2", 2, 2 / 25)]
    assert list(source.damaged) == ["1"] and name in source.damaged["1"]


def test_damaged_pages_keep_their_places(tmp_path: Path) -> None:
    pages = [Image.fromarray(frame) for frame in make_frames(3, 64, 64)]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    cut(tmp_path / "a.gif", 0.9)
    found = list(read_pages(tmp_path / "a.gif"))
    assert found and isinstance(found[-1], FrameError), "the last page is the one cut off"


@pytest.mark.parametrize("name", [b"a b", b"-x", b"%05d", b"[red]x", b"a\nb", b"\xff\xfe", b":+1:",
                                  b"x" * 251])
def test_any_name_is_read_and_written(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name + b".png")
    write_png(path, RGB)
    (frame,) = FrameSource(path)
    np.testing.assert_array_equal(frame.rgb, RGB)
    assert os.fsencode(frame.name) == name and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("width, height", [(30_000, 30_000), (20_000, 8_000)])
def test_a_header_that_claims_gigabytes_is_refused_by_name(tmp_path: Path, width: int, height: int
                                                           ) -> None:
    touch(tmp_path, "0.png")
    data = bytearray((tmp_path / "0.png").read_bytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "0.png").write_bytes(data)
    with pytest.raises(FrameError,
                       match=r"0.png: .*(pixels are more than 134 million|exceeds limit)"):
        read_picture(tmp_path / "0.png")


def test_later_pages_are_not_larger_than_the_limit_either(tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 20 * 30)
    first, second = Image.fromarray(RGB), Image.fromarray(np.zeros((40, 50, 3), np.uint8))
    first.save(tmp_path / "0.tiff", save_all=True, append_images=[second])
    pages = read_pages(tmp_path / "0.tiff")
    assert next(pages).rgb.shape == (20, 30, 3)
    with pytest.raises(FrameError, match="0.tiff: 50x40 pixels are more than"):
        next(pages)
