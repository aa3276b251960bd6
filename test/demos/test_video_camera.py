"""The video camera over real DDS."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Image_

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import Client, RosProcess, new_domain
from sensor_msgs.msg import Image

from samwise_ros.demos.video_camera import CameraParameters
from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.ros.parameters.fields import build_parameters
from samwise_ros.structures import ConfigError


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


def test_the_camera_keeps_the_times_of_the_file(client, tmp_path):
    """0.2 and 0.8 s apart."""
    first, *rest = [Image_.new("RGB", (36, 24), (level, 0, 0)) for level in (40, 120, 200)]
    first.save(tmp_path / "1.gif", save_all=True, append_images=rest, duration=[200, 800, 100])
    received: list[Image] = []
    client.node.create_subscription(Image, "image_raw", received.append, 10)
    camera = start_camera(client, tmp_path, video=tmp_path / "1.gif", loop="false",
                          wait_for_subscribers=1)
    try:
        client.wait(lambda: len(received) == 3, "three frames")
        assert camera.wait() == 0
    finally:
        camera.kill()
    stamps = [image.header.stamp.sec + 1e-9 * image.header.stamp.nanosec for image in received]
    first_pause, second_pause = np.diff(stamps)
    assert 0.15 < first_pause < 0.6 and 0.7 < second_pause < 1.2


def test_the_camera_goes_on_after_a_damaged_picture_and_names_it(client, frames_folder, tmp_path):
    for path in frames_folder.iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[:60] if path.stem == "1" else content)
    received: list[Image] = []
    client.node.create_subscription(Image, "image_raw", received.append, 10)
    camera = start_camera(client, tmp_path, video=tmp_path, loop="false", wait_for_subscribers=1)
    try:
        client.wait(lambda: len(received) == 3, "three frames")
        assert camera.wait() == 0 and "frame 1 is left out" in camera.text
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
        build_parameters(CameraParameters, dataclasses.asdict(CameraParameters()) | changes)


def test_a_camera_can_be_asked_for_its_parameters(frames_folder, tmp_path):
    client = Client(new_domain(), "/camera")
    camera = start_camera(client, tmp_path, video=frames_folder, rate=12)
    try:
        assert (client.parameter("rate"), client.parameter("encoding")) == (12.0, "bgr8")
    finally:
        camera.kill()
        client.close()
