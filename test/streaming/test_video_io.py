"""Videos, folders and images in; overlays, contact sheets and result folders out."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from model_builders import make_frames
from PIL import Image

from samwise_ros.streaming.pictures import read_picture, write_png
from samwise_ros.streaming.result_folder import ResultFolder, SentenceAnswer
from samwise_ros.streaming.video_file import VideoWriter
from samwise_ros.streaming.video_io import FrameSource
from samwise_ros.structures import FrameError, TargetState


def write_video(path: Path, frames: list[np.ndarray], rate: float = 12.0) -> Path:
    with closing(VideoWriter(path, rate)) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_folder(path: Path, names: list[str]) -> list[np.ndarray]:
    path.mkdir()
    frames = make_frames(len(names), 20, 30)
    for name, frame in zip(sorted(names), frames, strict=True):
        Image.fromarray(frame).save(path / name)
    return frames


def test_a_video_is_read_as_rgb_in_order_and_again(tmp_path: Path) -> None:
    frames = [np.full((48, 64, 3), colour, np.uint8)
              for colour in ((250, 20, 20), (20, 250, 20), (20, 20, 250))]
    source = FrameSource(write_video(tmp_path / "clip.mp4", frames))
    assert (source.name, source.rate, source.count) == ("clip", 12.0, 3)
    for _ in range(2):
        read = list(source)
        assert [frame.name for frame in read] == ["00000", "00001", "00002"]
        for frame, original in zip(read, frames, strict=True):
            assert frame.rgb.dtype == np.uint8
            assert np.abs(frame.rgb.astype(int) - original).mean() < 12


def test_a_folder_is_read_by_name_and_keeps_the_names(tmp_path: Path) -> None:
    names = ["00010.png", "00002.png", "b.png", "a.bmp"]
    frames = write_folder(tmp_path / "video1", names)
    (tmp_path / "video1" / "notes.txt").write_text("not an image")
    source = FrameSource(tmp_path / "video1")
    assert (source.name, source.count) == ("video1", 4)
    read = list(source)
    assert [frame.name for frame in read] == ["00002", "00010", "a", "b"]
    for frame, original in zip(read, frames, strict=True):
        np.testing.assert_array_equal(frame.rgb, original)


def test_one_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    Image.fromarray(grey).save(tmp_path / "photo.png")
    source = FrameSource(tmp_path / "photo.png")
    (frame,) = source
    assert (source.name, source.count, frame.name) == ("photo", 1, "photo")
    np.testing.assert_array_equal(frame.rgb, np.repeat(grey[..., None], 3, axis=2))


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to see it upright
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (40, 20, 3)


@pytest.mark.parametrize("limit", [1, 2, 9])
def test_a_limit_cuts_what_is_read(tmp_path: Path, limit: int) -> None:
    video = write_video(tmp_path / "v.mp4", make_frames(3, 48, 64))
    source = FrameSource(video, limit)
    assert source.count == len(list(source)) == min(limit, 3)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    write_folder(tmp_path / "double", ["a.png", "a.jpg"])
    for name, message in (("nothing", "no such"), ("empty", "no images"),
                          ("text.mp4", "no frame"), ("double", "one mask file")):
        with pytest.raises(FrameError, match=message) as caught:
            FrameSource(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(FrameError, match="not a readable image"):
        list(FrameSource(tmp_path / "broken.png"))


@pytest.mark.parametrize("size", [(48, 64), (33, 129), (7, 5), (1, 1), (479, 641)])
def test_any_frame_size_can_be_written_and_read_again(
        tmp_path: Path, size: tuple[int, int]) -> None:
    frames = make_frames(3, *size)
    read = list(FrameSource(write_video(tmp_path / "v.mp4", frames)))
    assert len(read) == 3
    height, width = size
    assert read[0].rgb.shape[0] - height in range(16) and read[0].rgb.shape[1] - width in range(16)
    if min(size) > 30:
        difference = read[0].rgb[:height, :width].astype(int) - frames[0]
        assert np.abs(difference).mean() < 12, "extended at the edge, not scaled"


def test_frames_of_another_size_are_fitted_into_the_video(tmp_path: Path) -> None:
    frames = make_frames(1, 48, 64) + make_frames(1, 96, 64)
    shapes = [f.rgb.shape for f in FrameSource(write_video(tmp_path / "v.mp4", frames))]
    assert shapes == [(48, 64, 3)] * 2


def test_a_video_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with closing(VideoWriter(tmp_path / "no" / "such" / "v.mp4", 10)) as writer, \
            pytest.raises(FrameError, match="cannot write"):
        writer.write(make_frames(1)[0])


def test_a_png_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    write_png(path, np.zeros((4, 5), np.uint8))
    with pytest.raises((TypeError, ValueError, KeyError)):
        write_png(tmp_path / "bad.png", np.zeros((4, 5, 7), np.uint8))
    write_png(path, np.full((4, 5), 255, np.uint8))
    assert (np.array(Image.open(path)) == 255).all()
    assert not (tmp_path / "bad.png").exists()


def test_a_result_folder_follows_the_benchmark_layout(tmp_path: Path) -> None:
    frames = write_folder(tmp_path / "dogs", ["00000.png", "00005.png"])
    source = FrameSource(tmp_path / "dogs")
    mask = np.zeros((20, 30), bool)
    mask[3:9, 4:14] = True
    answers = [SentenceAnswer("the dog", TargetState.TRACKING, 2.0, mask, True),
               SentenceAnswer("the cat", TargetState.SEARCHING, -2.0, np.zeros_like(mask), False)]
    with closing(ResultFolder(tmp_path / "out", source)) as results:
        for frame in source:
            results.add(frame, answers)
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*")
                     if p.is_file())
    assert written == [
        "Annotations/dogs/0/00000.png", "Annotations/dogs/0/00005.png",
        "Annotations/dogs/1/00000.png", "Annotations/dogs/1/00005.png",
        "contact_sheet.png", "overlay.mp4", "results.jsonl"]
    with Image.open(tmp_path / "out" / written[0]) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.array(image), mask * np.uint8(255))
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").open()]
    assert [(line["frame"], line["name"], line["target"]) for line in lines] == [
        (0, "00000", 0), (0, "00000", 1), (1, "00005", 0), (1, "00005", 1)]
    assert lines[0] == {"frame": 0, "name": "00000", "time": 0.0, "target": 0,
                        "expression": "the dog",
                        "state": "TRACKING", "score": pytest.approx(0.8808, abs=1e-4),
                        "object_score": 2.0, "box": [4, 3, 14, 9], "area": 60, "switched": True}
    assert lines[1]["box"] is None and lines[1]["area"] == 0
    assert len(list(FrameSource(tmp_path / "out" / "overlay.mp4"))) == len(frames)
