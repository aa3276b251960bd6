"""The video camera and the whole demo over real DDS, with a real (seeded) nano model."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import Client, RosProcess, new_domain
from sensor_msgs.msg import Image

from samwise_ros.demos import demo
from samwise_ros.demos.client import DemoError
from samwise_ros.demos.demo_client import Answer, summarise
from samwise_ros.demos.demo_video import demo_frames
from samwise_ros.demos.process_group import ProcessGroup
from samwise_ros.demos.video_camera import CameraParameters
from samwise_ros.ros.inputs.image_codec import image_to_rgb
from samwise_ros.structures import ConfigError, SamwiseError


@pytest.fixture(scope="module")
def frames_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small lossless frames, told apart by their brightness."""
    folder = tmp_path_factory.mktemp("frames")
    for number in range(4):
        frame = np.full((24, 36, 3), 50 * number, np.uint8)
        frame[:, :18, 0] += 40
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture
def client() -> Iterator[Client]:
    opened = Client(new_domain())
    yield opened
    opened.close()


def start_camera(client: Client, folder: Path, **parameters: object) -> RosProcess:
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    return RosProcess(["-m", "samwise_ros.demos.video_camera", "--ros-args", *arguments],
                      client.node.context.get_domain_id(), folder / "camera.log")


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8", "mono8"])
def test_the_camera_plays_every_frame_once_in_order_and_exits(client, frames_folder, tmp_path,
                                                              encoding):
    received: list[Image] = []
    client.node.create_subscription(Image, "image_raw", received.append, 10)
    camera = start_camera(client, tmp_path, video=frames_folder, loop="false", rate=20.0,
                          frame_id="eye", wait_for_subscribers=1, encoding=encoding)
    try:
        client.wait(lambda: len(received) == 4, "four frames")
        assert camera.wait() == 0
        stamps = [(image.header.stamp.sec, image.header.stamp.nanosec) for image in received]
        assert stamps == sorted(set(stamps))
        for number, image in enumerate(received):
            assert image.header.frame_id == "eye" and image.encoding == encoding
            original = cv2.imread(str(frames_folder / f"{number}.png"))
            expected = cv2.cvtColor(original, cv2.COLOR_BGR2RGB)
            if encoding == "mono8":
                grey = cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY)
                expected = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
            np.testing.assert_array_equal(image_to_rgb(image), expected)
    finally:
        camera.kill()


def test_the_camera_loops_and_resizes(client, frames_folder, tmp_path):
    received: list[Image] = []
    client.node.create_subscription(Image, "image_raw", received.append, 10)
    camera = start_camera(client, tmp_path, video=frames_folder, rate=50.0, width=18)
    try:
        client.wait(lambda: len(received) > 8, "more frames than the folder holds")
        assert {(image.height, image.width) for image in received} == {(12, 18)}
        assert camera.interrupt() == 0 and "Traceback" not in camera.text
    finally:
        camera.kill()


def test_a_camera_without_a_video_says_so(client, tmp_path):
    camera = start_camera(client, tmp_path, video="nowhere.mp4")
    try:
        assert camera.wait() == 1 and "nowhere.mp4" in camera.text
        assert "Traceback" not in camera.text
    finally:
        camera.kill()


@pytest.mark.parametrize("changes", [{"encoding": "jpeg"}, {"qos": "fast"}, {"rate": -1.0},
                                     {"width": -1}, {"wait_for_subscribers": -1}])
def test_camera_parameters_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match=f"{next(iter(changes))}: expected"):
        CameraParameters(**changes)


def test_the_demo_video_has_a_ball_that_moves_right():
    columns = []
    for frame in demo_frames():
        red = (frame[..., 0] > 180) & (frame[..., 1] < 80)
        columns.append(np.nonzero(red)[1].mean())
    assert len(columns) == 60 and columns[-1] - columns[0] > 400
    assert (np.diff(columns) > -3).all()


def test_the_report_counts_masks_and_their_latency():
    empty, full = np.zeros((4, 6), np.uint8), np.full((4, 6), 255, np.uint8)
    answers = [Answer(0.010, None, empty)] * 90 + [Answer(0.050, None, full)] * 10
    assert summarise(answers, 107) == {
        "frames": 100, "jf": None, "latency_ms_p50": 10.0, "latency_ms_p95": 50.0, "drops": 7,
        "frames_with_mask": 10}
    with pytest.raises(DemoError, match="no mask"):
        summarise([], 0)


def test_a_video_without_a_sentence_is_refused(tmp_path):
    with pytest.raises(SamwiseError, match="--expression"):
        demo.choose_video(Path("clip.mp4"), None, tmp_path)


def test_two_runs_never_share_a_domain(tmp_path):
    groups = [ProcessGroup(tmp_path / str(number)) for number in range(8)]
    try:
        domains = {group._environment["ROS_DOMAIN_ID"] for group in groups}
        assert len(domains) == 8 and all(1 <= int(domain) <= 100 for domain in domains)
    finally:
        for group in groups:
            group.stop()


def test_a_failing_process_ends_the_run_with_its_log_and_no_process_left(tmp_path):
    group = ProcessGroup(tmp_path)
    try:
        group.start("patient", "http.server", "0")
        group.start("failing", "no_such_module")
        with pytest.raises(SamwiseError, match="failing failed:(?s:.*)no_such_module"):
            group.wait_for("patient", 60.0)
    finally:
        group.stop()
    assert all(process.poll() is not None for process in group.running.values())


def test_the_demo_runs_a_real_model_through_three_processes(frames_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(demo, "NANO_WEIGHTS", tmp_path / "none")  # quick, whatever is shipped
    assert demo.main(["--out", str(tmp_path), "--video", str(frames_folder),
                      "--expression", "the red half", "--timeout", "150"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] + report["drops"] == 4 and report["frames"] >= 1
    assert report["jf"] is None and report["seeded"]
    assert 0 < report["latency_ms_p50"] <= report["latency_ms_p95"]
    assert "seeded (untrained)" in report["model"]
    assert cv2.imread(str(tmp_path / "contact_sheet.png")).shape[1] >= 320
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= 1
    left = [name for name in os.listdir("/proc") if name.isdigit() and _in_domain_of(name, tmp_path)]
    assert not left


def _in_domain_of(process: str, logs: Path) -> bool:
    """Whether a process of this demo run (told by its log folder) is still there."""
    try:
        return str(logs).encode() in Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return False
