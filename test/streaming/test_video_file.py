"""Video files as people have them: codecs, damage, times, turned phones, names."""

import os
import struct
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from samwise_ros.streaming import pictures, video_file
from samwise_ros.streaming.video_file import VideoWriter
from samwise_ros.streaming.video_io import FrameSource
from samwise_ros.structures import FrameError

FRAMES = 30


def level(number: int) -> int:
    return number * 8


def make_video(path: Path, codec: str, pixels: str = "yuv420p", noise: bool = False) -> Path:
    """30 grey frames at 10 per second, each as bright as its number says."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        for number in range(FRAMES):
            picture = np.full((64, 96, 3), level(number), np.uint8)
            if noise:
                picture[:, 48:] = rng.integers(0, 256, (64, 48, 3))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def check_numbers(source: FrameSource) -> list[int]:
    """Numbers of the frames that were read, each seen to be the picture of that number."""
    numbers = []
    for frame in source:
        assert frame.name == f"{frame.index:05d}"
        assert frame.time == pytest.approx(frame.index / 10, abs=1e-3)
        assert abs(frame.rgb[:, :40].mean() - level(frame.index)) < 8, frame.index
        numbers.append(frame.index)
    return numbers


@pytest.mark.parametrize(("name", "codec", "pixels"), [
    ("a.mp4", "libx264", "yuv420p"), ("b.mkv", "libx264", "yuv420p10le"),
    ("c.webm", "libvpx", "yuv420p"),
    ("d.webm", "libvpx-vp9", "yuv420p"), ("e.mp4", "libsvtav1", "yuv420p"),
    ("f.avi", "mpeg4", "yuv420p"),
    ("g.avi", "ffv1", "yuv420p"), ("h.mov", "prores_ks", "yuv422p10le"),
    ("i.ts", "mpeg2video", "yuv420p"), ("j.mp4", "libx265", "yuv420p")])
def test_every_codec_gives_every_frame(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot encode {codec}")
    source = FrameSource(make_video(tmp_path / name, codec, pixels))
    assert check_numbers(source) == list(range(FRAMES)) and source.damaged == {}
    assert source.rate == pytest.approx(10) and source.count in (FRAMES, None)


def blank(path: Path, *numbers: int, skip: int = 8) -> None:
    """Zero whole pictures of an AVI file; `skip` leaves the headers of their chunks."""
    content = bytearray(path.read_bytes())
    chunks, place = [], content.find(b"movi")
    while len(chunks) < FRAMES:
        place = content.find(b"00dc", place + 1)
        chunks.append(place)
    chunks.append(content.rfind(b"idx1"))
    for number in numbers:
        start = chunks[number] + skip
        content[start:chunks[number + 1]] = bytes(chunks[number + 1] - start)
    path.write_bytes(content)


@pytest.mark.parametrize("whole_chunk", [False, True])
def test_a_damaged_frame_is_named_and_the_rest_keep_their_numbers(
        tmp_path: Path, whole_chunk: bool) -> None:
    """Zeroed pictures, or zeroed chunks, so that the reader loses its place as well."""
    path = make_video(tmp_path / "cut.avi", "mjpeg", "yuvj420p")
    blank(path, 10, 11, 20, skip=0 if whole_chunk else 8)
    source = FrameSource(path)
    numbers = check_numbers(source)
    assert len(numbers) == 27 and {10, 11, 20}.isdisjoint(numbers)
    assert list(source.damaged) == ["00010", "00011", "00020"]


@pytest.mark.parametrize(("name", "codec", "pixels", "whole"), [
    ("a.mp4", "libx264", "yuv420p", False), ("b.mkv", "libx264", "yuv420p", False),
    ("c.webm", "libvpx", "yuv420p", False), ("d.avi", "mjpeg", "yuvj420p", True)])
@pytest.mark.parametrize("kind", ["zeroed", "cut off"])
def test_no_frame_of_a_damaged_file_goes_missing_unnamed(
        tmp_path: Path, name: str, codec: str, pixels: str, whole: bool, kind: str) -> None:
    path = make_video(tmp_path / name, codec, pixels, noise=True)
    if path.suffix == ".mp4" and kind == "cut off":
        make_fast_start(path)
    content = bytearray(path.read_bytes())
    if kind == "zeroed":
        content[len(content) // 2:len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content if kind == "zeroed" else content[:len(content) * 2 // 3])
    source = FrameSource(path)
    read = [frame.index for frame in source]
    assert 0 < len(read) < FRAMES or kind == "zeroed"
    assert len(read) + len(source.damaged) == FRAMES
    assert not {f"{number:05d}" for number in read} & set(source.damaged)
    if whole:
        assert check_numbers(source) == read


def make_fast_start(path: Path) -> None:
    """Move the index of an MP4 to its front, so that a cut leaves a file that opens."""
    copy = path.with_name("fast.mp4")
    with (av.open(str(path)) as source,
          av.open(str(copy), "w", container_options={"movflags": "faststart"}) as target):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    copy.replace(path)


def test_a_changing_rate_with_a_long_last_frame_is_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "screen.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in (0, 100, 1500, 1600):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert b"00:00:01." in content, "the length that its writer noted"
    path.write_bytes(content.replace(b"00:00:01.", b"00:00:05."))
    source = FrameSource(path)
    assert len(list(source)) == 4 and source.damaged == {}


def test_frames_that_an_editor_trimmed_are_not_missed(tmp_path: Path) -> None:
    """An edit list hides the end of a file whose frames are all announced."""
    path = make_video(tmp_path / "v.mp4", "mpeg4")
    content = bytearray(path.read_bytes())
    entries = content.find(b"elst") + 8
    assert struct.unpack(">I", content[entries:entries + 4]) == (1,), "the case that is tried"
    content[entries + 4:entries + 8] = struct.pack(">I", 1000)  # milliseconds
    path.write_bytes(content)
    source = FrameSource(path)
    assert check_numbers(source) == list(range(10)) and source.damaged == {}


def test_a_video_of_which_nothing_can_be_decoded_is_an_error(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.avi", "mjpeg", "yuvj420p")
    blank(path, *range(FRAMES))
    with pytest.raises(FrameError, match="no frame of this mjpeg video"):
        FrameSource(path)


def test_a_video_of_pictures_that_are_too_large_is_refused_by_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "clip.mkv", "ffv1")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    with pytest.raises(FrameError, match=r"clip.mkv: \d+x\d+ pixels are more than"):
        FrameSource(path)


def test_what_is_no_video_says_what_to_do(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    (tmp_path / "text.mp4").write_text("no video")
    for name, message in (("sound.mp4", "no video"), ("text.mp4", "ffmpeg -i")):
        with pytest.raises(FrameError, match=message) as caught:
            FrameSource(tmp_path / name)
        assert name in str(caught.value)


def test_frame_times_survive_reading_and_writing(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.9, 1.0]
    with closing(VideoWriter(tmp_path / "v.mp4", 25)) as writer:
        for number, time in enumerate(times):
            writer.write(np.full((32, 48, 3), 40 * number, np.uint8), time)
    assert [frame.time for frame in FrameSource(tmp_path / "v.mp4")] == pytest.approx(times,
                                                                                      abs=1e-4)


@pytest.mark.parametrize("rate", [10, 23.976, 29.97, 59.94, 7.5])
def test_frames_without_a_time_come_at_the_rate(tmp_path: Path, rate: float) -> None:
    with closing(VideoWriter(tmp_path / "v.mp4", rate)) as writer:
        for _ in range(8):
            writer.write(np.zeros((32, 48, 3), np.uint8))
    source = FrameSource(tmp_path / "v.mp4")
    assert source.rate == pytest.approx(rate, rel=1e-3)
    assert [frame.time for frame in source] == pytest.approx([n / rate for n in range(8)], abs=1e-3)


def test_times_that_do_not_rise_are_mended(tmp_path: Path) -> None:
    with closing(VideoWriter(tmp_path / "v.mp4", 10)) as writer:
        for time in (0.0, 0.5, 0.5, 0.2, 0.6):
            writer.write(np.zeros((32, 48, 3), np.uint8), time)
    assert len(list(FrameSource(tmp_path / "v.mp4"))) == 5


def test_a_phone_held_upright_gives_an_upright_picture(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with closing(VideoWriter(path, 10)) as writer:
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[:32] = 200
        writer.write(picture)
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 44
    content[matrix:matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0,
                                              1 << 30)
    path.write_bytes(content)
    (frame,) = FrameSource(path)
    assert frame.rgb.shape == (96, 64, 3)
    assert frame.rgb[:, 40:].mean() > 180 and frame.rgb[:, :24].mean() < 20, "turned clockwise"
    _, by_opencv = cv2.VideoCapture(str(path)).read()
    assert np.abs(frame.rgb[..., ::-1].astype(int) - by_opencv).mean() < 3


@pytest.mark.parametrize("name",
                         [b"a b", b"-x", b"%05d", b"[red]x", b"a\nb", b"\xff\xfe", b"pipe:0",
                                  b"x" * 251, b"..", b"."])
def test_any_name_is_read_and_written(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name + b".mp4")
    with closing(VideoWriter(path, 10)) as writer:
        writer.write(np.zeros((32, 48, 3), np.uint8))
    source = FrameSource(path)
    assert len(list(source)) == 1 and len(list(tmp_path.iterdir())) == 1
    assert os.fsencode(source.name) == name if name.strip(b".") else source.name == "video"


def test_a_build_without_x264_writes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_file, "_CODEC_FOR_ALL", False)
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 4)
    with closing(VideoWriter(tmp_path / "v.mp4", Fraction(30000, 1001))) as writer:
        for _ in range(3):
            writer.write(picture)
    frames = list(FrameSource(tmp_path / "v.mp4"))
    assert len(frames) == 3 and np.abs(frames[2].rgb.astype(int) - picture).mean() < 8


def test_a_limit_ends_the_reading_and_not_the_numbers(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.avi", "mjpeg", "yuvj420p")
    blank(path, 1)
    source = FrameSource(path, limit=4)
    assert check_numbers(source) == [0, 2, 3] and list(source.damaged) == ["00001"]
