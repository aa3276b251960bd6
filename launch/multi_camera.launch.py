"""Several cameras on one model: the segmentation node with the camera topics of a robot.

    ros2 launch samwise_ros multi_camera.launch.py expression:="the red cup" \
        cameras:="front:=/front_camera/color/image_raw wrist:=/wrist_camera/color/image_raw"

Each entry of `cameras` is NAME:=TOPIC, and likewise of `depth` and `camera_info`, which are for
poses and may name some of the cameras only. The outputs of camera `front` are below
/samwise/front/, its own commands come on `front/command`, and `command` reaches all. The cameras
take turns, so each gets its share of the model's frames, and each has a memory and targets of its
own.
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

from samwise_ros.ros.launch_arguments import read_topics

HERE = Path(__file__).resolve().parent
ARGUMENTS = (
    ("cameras", "front:=/front_camera/image_raw wrist:=/wrist_camera/image_raw",
     "NAME:=TOPIC of each camera, separated by spaces"),
    ("depth", "", "NAME:=TOPIC of depth images, for poses; a camera without any: NAME/depth"),
    ("camera_info", "", "NAME:=TOPIC of calibrations; a camera without any: NAME/camera_info"),
    ("params_file", str(HERE.parent / "config" / "multi_camera.yaml"), "parameters of the node"),
    ("expression", "", "first command, for all cameras"),
    ("model", "", "model size or path of a checkpoint; empty: as in params_file"),
    ("seeded", "", "random weights, to try the plumbing without any; empty: as in params_file"),
    ("autostart", "true", "configure and activate the node (true or false)"),
)
INPUTS = {"cameras": "image", "depth": "depth", "camera_info": "camera_info"}
PASSED_ON = ("params_file", "expression", "model", "seeded", "autostart")


def generate_launch_description() -> LaunchDescription:
    """The arguments, and samwise.launch.py with the cameras' names and topics."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[GroupAction]:
    """The node; here the cameras' names are known.

    Raises ValueError for an argument that cannot be taken, before anything is started.
    """
    topics = {argument: read_topics(argument, LaunchConfiguration(argument).perform(context))
              for argument in ("cameras", "depth", "camera_info")}
    cameras = topics["cameras"]
    if not cameras:
        raise ValueError("cameras: expected at least one NAME:=TOPIC")
    for argument, given in topics.items():
        if unknown := given.keys() - cameras.keys():
            raise ValueError(f"{argument}: {', '.join(sorted(unknown))} is none of the cameras")
    remaps = [SetRemap(src=f"{name}/{INPUTS[argument]}", dst=topic)
              for argument, given in topics.items() for name, topic in given.items()]
    arguments = {name: LaunchConfiguration(name) for name in PASSED_ON}
    # Ours mean something else than those of a single camera.
    arguments |= {"depth": "depth", "camera_info": "camera_info"}
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "samwise.launch.py")),
        launch_arguments=(arguments | {"cameras": " ".join(cameras)}).items())
    return [GroupAction([*remaps, segmentation])]
