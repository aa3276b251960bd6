"""A video file as the camera, and the segmentation node beside it.

    ros2 launch samwise_ros demo.launch.py video:=clip.mp4 expression:="the red cup"
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from samwise_ros.ros.launch_arguments import read_bool

HERE = Path(__file__).resolve().parent


def _camera(context: LaunchContext) -> list[Node]:
    """The camera. Raises ValueError when `loop` means neither true nor false."""
    return [Node(
        package="samwise_ros", executable="samwise_camera", name="camera", output="screen",
        parameters=[{
            "video": ParameterValue(LaunchConfiguration("video"), value_type=str),
            "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
            "loop": read_bool("loop", LaunchConfiguration("loop").perform(context)),
            "wait_for_subscribers": 1,
        }],
        remappings=[("image_raw", LaunchConfiguration("image"))],
    )]


def generate_launch_description() -> LaunchDescription:
    """The camera, and samwise.launch.py with its own arguments passed through."""
    # Included first: it sets the middleware's profile, which the camera needs most. Both are made
    # in
    # one go: an argument that the camera refuses must not leave a node behind.
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "samwise.launch.py")),
        launch_arguments={"image": LaunchConfiguration("image")}.items())
    return LaunchDescription([
        DeclareLaunchArgument("video", description="path of the video file"),
        DeclareLaunchArgument("rate", default_value="0.0", description="frames per second; "
                              "0.0: the file's own"),
        DeclareLaunchArgument("loop", default_value="true", description="play again and again"),
        DeclareLaunchArgument("image", default_value="/camera/image_raw",
                              description="topic between the two"),
        OpaqueFunction(function=lambda context: [segmentation, *_camera(context)]),
    ])
