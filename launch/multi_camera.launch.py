"""Several cameras on one model: the segmentation node with the camera topics of a robot.

    ros2 launch samwise_ros multi_camera.launch.py expression:="the red cup" \
        cameras:="front:=/front_camera/color/image_raw wrist:=/wrist_camera/color/image_raw"

Each entry of `cameras` is NAME:=TOPIC. The outputs of camera `front` are below /samwise/front/, its
own commands come on `front/command`, and `command` reaches all. The cameras take turns, so each
gets its share of the model's frames, and each has a memory and targets of its own.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import SetRemap

HERE = Path(__file__).resolve().parent
ARGUMENTS = (
    ("cameras", "front:=/front_camera/image_raw wrist:=/wrist_camera/image_raw",
     "NAME:=TOPIC of each camera, separated by spaces"),
    ("params_file", str(HERE.parent / "config" / "multi_camera.yaml"), "parameters of the node"),
    ("expression", "", "first command, for all cameras"),
    ("model", "", "model size or path of a checkpoint; empty: as in params_file"),
    ("seeded", "", "random weights, to try the plumbing without any; empty: as in params_file"),
    ("autostart", "true", "configure and activate the node (true or false)"),
)
PASSED_ON = ("params_file", "expression", "model", "seeded", "autostart")


def generate_launch_description() -> LaunchDescription:
    """The arguments, and samwise.launch.py with the cameras' names and topics."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[GroupAction]:
    """The node; here the cameras' names are known."""
    cameras = parse_cameras(LaunchConfiguration("cameras").perform(context))
    remaps = [SetRemap(src=f"{name}/image", dst=topic) for name, topic in cameras.items()]
    arguments = {name: LaunchConfiguration(name) for name in PASSED_ON}
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "samwise.launch.py")),
        launch_arguments=(arguments | {"cameras": " ".join(cameras)}).items())
    return [GroupAction([*remaps, segmentation])]


def parse_cameras(text: str) -> dict[str, str]:
    """Topic of each camera by name. Raises ValueError when an entry is not NAME:=TOPIC."""
    cameras: dict[str, str] = {}
    for entry in text.split():
        name, found, topic = entry.partition(":=")
        if not (name and found and topic) or name in cameras:
            raise ValueError(f"cameras: expected different NAME:=TOPIC, got {entry!r}")
        cameras[name] = topic
    if not cameras:
        raise ValueError("cameras: expected at least one NAME:=TOPIC")
    return cameras
