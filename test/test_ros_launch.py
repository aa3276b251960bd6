"""The launch files: always compiled, and run for real where launch_ros is installed."""

import ast
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import ROOT, Client, RosProcess, new_domain
from sensor_msgs.msg import Image

from samwise_ros.ros.parameters import FIELDS, refusal

LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
PARAMETER_FILES = [ROOT / "config" / name for name in ("samwise.yaml", "multi_camera.yaml")]
RUNNER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
file, *arguments = sys.argv[1:]
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(file),
    launch_arguments=[tuple(argument.split(":=", 1)) for argument in arguments])]))
sys.exit(service.run())
"""


@pytest.mark.parametrize("file", LAUNCH_FILES, ids=lambda file: file.name)
def test_launch_files_are_valid_python(file):
    compile(file.read_text(), str(file), "exec")
    assert "def generate_launch_description" in file.read_text()


@pytest.mark.parametrize("file", PARAMETER_FILES, ids=lambda file: file.name)
def test_parameter_files_name_only_parameters_that_there_are_and_that_fit(file):
    values = yaml.safe_load(file.read_text())["/**"]["ros__parameters"]
    assert values.keys() <= FIELDS.keys()
    assert not [reason for reason in (refusal(*item) for item in values.items()) if reason]
    for name, value in values.items():
        assert type(value) is type(FIELDS[name].default), name


def test_the_launch_arguments_that_replace_parameters_are_parameters():
    (names,) = [ast.literal_eval(node.value) for node in ast.walk(ast.parse(
        (ROOT / "launch" / "samwise.launch.py").read_text())) if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "OVERRIDES"]
    assert {name for name, _ in names} <= FIELDS.keys()


def test_the_cameras_argument_is_read_and_bad_entries_are_named():
    """parse_cameras alone: the rest of its file needs launch."""
    (function,) = [node for node in ast.parse(
        (ROOT / "launch" / "multi_camera.launch.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "parse_cameras"]
    names: dict = {}
    exec(compile(ast.unparse(function), "multi_camera.launch.py", "exec"), names)  # noqa: S102
    parse = names["parse_cameras"]
    assert parse(" front:=/a/image  wrist:=b ") == {"front": "/a/image", "wrist": "b"}
    for bad in ("", "front", "front:=", ":=/a", "a:=/x a:=/y"):
        with pytest.raises(ValueError, match="cameras: expected"):
            parse(bad)


def launch(folder: Path, domain: int, file: str, *arguments: str) -> RosProcess:
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI; comes with ROS from apt")
    prefixes = os.pathsep.join(filter(None, [os.environ.get("AMENT_PREFIX_PATH"), sys.prefix]))
    return RosProcess(["-c", RUNNER, str(ROOT / "launch" / file), *arguments], domain,
                      folder / "launch.log", AMENT_PREFIX_PATH=prefixes)


def test_the_node_comes_up_active_with_its_arguments_and_goes_down_cleanly(tmp_path):
    domain = new_domain()
    process = launch(tmp_path, domain, "samwise.launch.py", "seeded:=true",
                     "namespace:=robot", "image:=/image", "expression:=the red ball")
    client = Client(domain, "/robot/samwise")
    try:
        client.wait(lambda: client.lifecycle.state(240.0) == "active" or client.spin(0.5),
                    "the node is active", 240.0)
        mask = client.ask(np.zeros((48, 64, 3), np.uint8))
        assert (mask.height, mask.width) == (48, 64)
        assert process.interrupt() == 0, process.text
        assert "process has finished cleanly" in process.text
    finally:
        client.close()
        process.kill()


def test_without_autostart_the_node_waits(tmp_path):
    domain = new_domain()
    process = launch(tmp_path, domain, "samwise.launch.py", "autostart:=false")
    client = Client(domain)
    try:
        assert client.lifecycle.state() == "unconfigured"
        client.spin(2.0)
        assert client.lifecycle.state() == "unconfigured"
    finally:
        client.close()
        process.kill()


def test_the_demo_launch_file_plays_a_video_into_the_node(tmp_path):
    from samwise_ros.ros.demo_video import write_demo_video

    domain = new_domain()
    process = launch(tmp_path, domain, "demo.launch.py", "seeded:=true",
                     f"video:={write_demo_video(tmp_path / 'clip.mp4')}")
    client = Client(domain)
    try:
        client.wait(lambda: len(client.masks) >= 3, "masks of the video", 300.0)
        assert (client.masks[-1].height, client.masks[-1].width) == (360, 640)
    finally:
        client.close()
        process.kill()


def test_the_multi_camera_launch_file_gives_each_camera_its_topics(tmp_path):
    domain = new_domain()
    process = launch(tmp_path, domain, "multi_camera.launch.py", "seeded:=true",
                     "cameras:=front:=/robot/front wrist:=/robot/wrist")
    client = Client(domain)
    try:
        client.wait(lambda: client.lifecycle.state(240.0) == "active" or client.spin(0.5),
                    "the node is active", 240.0)
        client.wait(lambda: client.node.count_subscribers("/robot/front") == 1, "front's images")
        client.wait(lambda: client.node.count_subscribers("/robot/wrist") == 1, "wrist's images")
        masks: list[Image] = []
        client.node.create_subscription(Image, "/samwise/wrist/mask", masks.append, 5)
        camera = client.node.create_publisher(Image, "/robot/wrist", 5)

        def answered() -> bool:
            camera.publish(Image(height=4, width=6, encoding="mono8", step=6, data=bytes(24)))
            client.spin(0.2)
            return bool(masks)

        client.wait(answered, "a mask")
        assert (masks[0].height, masks[0].width) == (4, 6)
    finally:
        client.close()
        process.kill()
