"""Start the segmentation node and, unless told otherwise, configure and activate it.

    ros2 launch samwise_ros samwise.launch.py image:=/camera/color/image_raw expression:="red cup"
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from samwise_ros.ros.launch_arguments import (
    profile_variable,
    read_bool,
    read_number,
    refuse_topics_of_one_camera,
)

# Installed, this file is in share/samwise_ros/launch; in a checkout, in launch/. Either way the
# configuration is beside it, and no index has to be asked (the wheels from PyPI don't set one up).
CONFIG = Path(__file__).resolve().parents[1] / "config"
PROFILE = profile_variable()

# These replace what the parameter file says, but only where they are given.
OVERRIDES = (
    ("model", "model size or path of a checkpoint"),
    ("seeded", "random weights, to try the plumbing without any (true or false)"),
    ("device", "auto, cpu, cuda or cuda:N"),
    ("precision", "auto, fp32, bf16 or fp16"),
    ("quality", "exact, balanced or fast"),
    ("engine", "eager, compile, cuda_graph, onnx or openvino: what runs the frames"),
    ("camera_size", "WIDTHxHEIGHT of the images, which the engine is prepared for"),
    ("num_threads", "CPU threads of the network; 0: torch's choice"),
    ("image_transport", "raw or compressed"),
    ("image_qos", "sensor_data or reliable"),
    ("expression", "first command, e.g. 'the red cup'"),
    ("overlay_rate", "overlays per second at most; 0: none"),
    ("empty_masks", "publish masks without the target, too (true or false)"),
    ("target_frame", "frame of reference of poses, by TF"),
    ("cameras", "names of several cameras that share the model, separated by spaces"),
    ("page", "port of a page to look at and to command from; 0: none"),
    ("use_sim_time", "follow /clock, as of a simulator or a recording (true or false)"),
)
BOOLEANS = ("seeded", "empty_masks", "use_sim_time")
ARGUMENTS = (
    ("image", "image", "camera topic, sensor_msgs/Image"),
    ("depth", "depth", "depth aligned with it, sensor_msgs/Image; for poses"),
    ("camera_info", "camera_info", "its calibration, sensor_msgs/CameraInfo; for poses"),
    ("command", "command", "topic of text commands, std_msgs/String"),
    ("prompt/point", "prompt/point", "topic of points that show a target, PointStamped"),
    ("prompt/box", "prompt/box", "topic of boxes that do, vision_msgs/Detection2D"),
    ("prompt/mask", "prompt/mask", "topic of masks that do, sensor_msgs/Image"),
    ("namespace", "", "namespace of the node"),
    ("name", "samwise", "name of the node"),
    ("params_file", str(CONFIG / "samwise.yaml"), "parameters of the node"),
    ("autostart", "true", "configure and activate the node (true or false)"),
    ("large_images", "false" if PROFILE in os.environ else "true",
     "give Fast DDS enough shared memory for large images (not where a profile is set already)"),
    ("log_level", "info", "debug, info, warn or error"),
)
TOPICS = ("image", "depth", "camera_info", "command", "prompt/point", "prompt/box", "prompt/mask")


def generate_launch_description() -> LaunchDescription:
    """The arguments, the middleware's profile, and the node with its transitions."""
    declared = [DeclareLaunchArgument(name, default_value="",
                                      description=description + "; empty: as in params_file")
                for name, description in OVERRIDES]
    declared += [DeclareLaunchArgument(name, default_value=default, description=description)
                 for name, default, description in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list:
    """The middleware's profile, the node and its transitions; here the arguments are known.

    Raises ValueError for an argument that cannot be taken, before anything is started.
    """
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    large_images, autostart = (read_bool(name, value(name))
                               for name in ("large_images", "autostart"))
    refuse_topics_of_one_camera(value("cameras"), {
        name: value(name) for name in ("image", "depth", "camera_info")})
    overrides = {name: _parameter(name, value(name)) for name, _ in OVERRIDES if value(name)}
    node = LifecycleNode(
        package="samwise_ros",
        executable="samwise_node",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        parameters=[LaunchConfiguration("params_file"), overrides],
        remappings=[(topic, LaunchConfiguration(topic)) for topic in TOPICS],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
    )
    profile = [SetEnvironmentVariable(PROFILE, str(CONFIG / "fastdds.xml"))] if large_images else []
    return [*profile, node, *(_autostart(node) if autostart else [])]


def _parameter(name: str, text: str) -> str | bool | int | float | list[str]:
    """The value of a parameter that an argument gives."""
    if name in BOOLEANS:
        return read_bool(name, text)
    if name in ("overlay_rate", "num_threads", "page"):
        return read_number(name, text, float if name == "overlay_rate" else int)
    return text.split() if name == "cameras" else text


def _autostart(node: LifecycleNode) -> list:
    """Configure at start, activate once that has succeeded.

    LifecycleNode's own `autostart` doesn't exist in Humble. `handle_once`, so that a later
    configure by hand does not activate.
    """
    matches = matches_action(node)
    return [
        RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=node, start_state="configuring", goal_state="inactive",
            handle_once=True,
            entities=[EmitEvent(event=ChangeState(
                lifecycle_node_matcher=matches,
                transition_id=Transition.TRANSITION_ACTIVATE))])),
        EmitEvent(event=ChangeState(
            lifecycle_node_matcher=matches,
            transition_id=Transition.TRANSITION_CONFIGURE)),
    ]
