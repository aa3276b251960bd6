"""Follow what a sentence names: the segmentation node with depth, and who drives the base.

    ros2 launch samwise_ros nav2_follow.launch.py expression:="the person in red" \
        image:=/camera/color/image_raw depth:=/camera/aligned_depth_to_color/image_raw \
        camera_info:=/camera/color/camera_info

With `follower:=nav2` (the default) Nav2's following server plans and drives, where
opennav_following is installed (it is not released for every distribution); tell it to begin:

    ros2 action send_goal /follow_object nav2_msgs/action/FollowObject \
        "{pose_topic: /samwise/target_pose}"

(In Humble the action is opennav_following_msgs/action/FollowObject.) It reads target_pose reliably,
brings it into `fixed_frame` by TF, and calls the target lost when no pose has come for
`detection_timeout`. It does not look out for obstacles, so it does not turn to search unless told
to. With `follower:=simple` the base just turns towards the target and keeps its distance, without a
map: for trials in free space.
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from samwise_ros.ros.launch_arguments import node_topic, read_bool, read_choice, read_number

HERE = Path(__file__).resolve().parent
ARGUMENTS = (
    ("image", "/camera/color/image_raw", "camera topic"),
    ("depth", "/camera/aligned_depth_to_color/image_raw", "depth aligned with it"),
    ("camera_info", "/camera/color/camera_info", "its calibration"),
    ("expression", "", "first command, e.g. 'the person in red'"),
    ("namespace", "", "namespace of the segmentation node"),
    ("name", "samwise", "name of that node"),
    ("follower", "nav2", "nav2 or simple"),
    ("distance", "1.0", "distance to keep [m]"),
    ("fixed_frame", "odom", "frame in which nav2 follows"),
    ("base_frame", "base_link", "frame of the base"),
    ("detection_timeout", "2.0", "seconds without a pose after which nav2 calls the target lost"),
    ("search_by_rotating", "false", "nav2 turns on the spot for a lost target, blind to obstacles"),
    ("cmd_vel", "cmd_vel", "velocity topic of the base"),
    ("camera_pitch", "0.0", "by how much the camera looks down [rad]; for follower:=simple"),
    ("use_sim_time", "false", "follow /clock, as of a simulator or a recording (true or false)"),
)
NAV2_PACKAGES = ("opennav_following", "nav2_lifecycle_manager")


def generate_launch_description() -> LaunchDescription:
    """The segmentation node with its inputs, and the chosen follower."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[IncludeLaunchDescription | Node]:
    """Everything; raises ValueError or RuntimeError before anything is started."""
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    chosen = read_choice("follower", given["follower"], ("nav2", "simple"))
    followers = _nav2(given) if chosen == "nav2" else [_simple(given)]
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "samwise.launch.py")),
        launch_arguments={name: LaunchConfiguration(name) for name in (
            "image", "depth", "camera_info", "expression", "namespace", "name", "use_sim_time",
        )}.items())
    return [segmentation, *followers]


def _nav2(given: dict[str, str]) -> list[Node]:
    """Nav2's following server and what brings it up."""
    for package in NAV2_PACKAGES:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            raise RuntimeError(
                f"follower:=nav2 needs the package {package}, which is not installed here: build "
                "it from source (open-navigation/opennav_following for opennav_following), or "
                "choose "
                "follower:=simple in free space") from None
    sim_time = read_bool("use_sim_time", given["use_sim_time"])
    server = Node(
        package="opennav_following", executable="opennav_following", name="following_server",
        output="screen",
        parameters=[{
            "use_sim_time": sim_time,
            "desired_distance": read_number("distance", given["distance"], float),
            "detection_timeout": read_number("detection_timeout", given["detection_timeout"],
                                             float),
            "fixed_frame": given["fixed_frame"],
            "base_frame": given["base_frame"],
            "skip_orientation": True,  # a mask says nothing about how the target is turned
            "search_by_rotating": read_bool("search_by_rotating", given["search_by_rotating"]),
        }],
        remappings=[("cmd_vel", given["cmd_vel"])])
    manager = Node(
        package="nav2_lifecycle_manager", executable="lifecycle_manager",
        name="lifecycle_manager_following", output="screen",
        parameters=[{"use_sim_time": sim_time, "autostart": True,
                     "node_names": ["following_server"]}])
    return [server, manager]


def _simple(given: dict[str, str]) -> Node:
    """The follower of this package."""
    return Node(
        package="samwise_ros", executable="samwise_follow", name="follow_target", output="screen",
        parameters=[{
            "use_sim_time": read_bool("use_sim_time", given["use_sim_time"]),
            "distance": read_number("distance", given["distance"], float),
            "camera_pitch": read_number("camera_pitch", given["camera_pitch"], float),
            "base_frame": given["base_frame"]}],
        remappings=[("target_pose", node_topic(given["namespace"], given["name"], "target_pose")),
                    ("cmd_vel", given["cmd_vel"])])
