"""Follow what a sentence names: the segmentation node with depth, and who drives the base.

    ros2 launch samwise_ros nav2_follow.launch.py expression:="the person in red" \
        image:=/camera/color/image_raw depth:=/camera/aligned_depth_to_color/image_raw \
        camera_info:=/camera/color/camera_info

With `follower:=nav2` (the default) Nav2's following server plans and drives; tell it to begin:

    ros2 action send_goal /follow_object nav2_msgs/action/FollowObject \
        "{pose_topic: /samwise/target_pose}"

(In Humble the action is opennav_following_msgs/action/FollowObject.) It reads target_pose reliably,
brings it into `fixed_frame` by TF, and calls the target lost when no pose has come for
`detection_timeout`. With `follower:=simple` the base just turns towards the target and keeps its
distance, without a map: for trials in free space.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

HERE = Path(__file__).resolve().parent
ARGUMENTS = (
    ("image", "/camera/color/image_raw", "camera topic"),
    ("depth", "/camera/aligned_depth_to_color/image_raw", "depth aligned with it"),
    ("camera_info", "/camera/color/camera_info", "its calibration"),
    ("expression", "", "first command, e.g. 'the person in red'"),
    ("follower", "nav2", "nav2 or simple"),
    ("distance", "1.0", "distance to keep [m]"),
    ("fixed_frame", "odom", "frame in which nav2 follows"),
    ("detection_timeout", "2.0", "seconds without a pose after which nav2 calls the target lost"),
    ("cmd_vel", "cmd_vel", "velocity topic of the base"),
    ("camera_pitch", "0.0", "by how much the camera looks down [rad]; for follower:=simple"),
)
TARGET_POSE = "/samwise/target_pose"


def generate_launch_description() -> LaunchDescription:
    """The segmentation node with its inputs, and the chosen follower."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS]
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "samwise.launch.py")),
        launch_arguments={name: LaunchConfiguration(name)
                          for name in ("image", "depth", "camera_info", "expression")}.items())
    return LaunchDescription([*declared, segmentation, *_nav2(), _simple()])


def _nav2() -> list[Node]:
    """Nav2's following server and what brings it up."""
    wanted = _chosen("nav2")
    server = Node(
        package="opennav_following", executable="opennav_following", name="following_server",
        output="screen", condition=wanted,
        parameters=[{
            "desired_distance": _number("distance"),
            "detection_timeout": _number("detection_timeout"),
            "fixed_frame": LaunchConfiguration("fixed_frame"),
            "skip_orientation": True,  # a mask says nothing about how the target is turned
            "search_by_rotating": True,
        }],
        remappings=[("cmd_vel", LaunchConfiguration("cmd_vel"))])
    manager = Node(
        package="nav2_lifecycle_manager", executable="lifecycle_manager",
        name="lifecycle_manager_following", output="screen", condition=wanted,
        parameters=[{"autostart": True, "node_names": ["following_server"]}])
    return [server, manager]


def _simple() -> Node:
    """The follower of this package."""
    return Node(
        package="samwise_ros", executable="samwise_follow", name="follow_target", output="screen",
        condition=_chosen("simple"),
        parameters=[{"distance": _number("distance"), "camera_pitch": _number("camera_pitch")}],
        remappings=[("target_pose", TARGET_POSE), ("cmd_vel", LaunchConfiguration("cmd_vel"))])


def _chosen(follower: str) -> IfCondition:
    """Whether this follower is asked for; EqualsSubstitution came after Humble."""
    return IfCondition(PythonExpression(
        ["'", LaunchConfiguration("follower"), f"' == '{follower}'"]))


def _number(name: str) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(name), value_type=float)
