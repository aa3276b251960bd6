"""Six degrees of freedom of what a sentence names: our mask into Isaac ROS FoundationPose.

    ros2 launch samwise_ros foundation_pose.launch.py expression:="the mustard bottle" \
        mesh_file_path:=... refine_engine_file_path:=... score_engine_file_path:=...

FoundationPose joins image, depth, camera_info and mask by equal stamps, 20 of each at most: all
four have to be of one size and rectified, the depth 32FC1 (convert 16UC1 with
isaac_ros_depth_image_proc's ConvertMetricNode), and the mask must come within 20 frames. Our mask
carries the image's stamp and size unchanged, and is silent while the target is not there, since
FoundationPose logs an error for every empty one. Models and engines: see the documentation of
isaac_ros_foundationpose.
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
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode

from samwise_ros.ros.launch_arguments import node_topic

HERE = Path(__file__).resolve().parent
TOPICS = (
    ("image", "/rgb/image_rect_color", "rectified rgb8 image"),
    ("depth", "/depth_registered/image_rect", "32FC1 depth aligned with it"),
    ("camera_info", "/rgb/camera_info", "calibration of the rectified image"),
)
MODELS = ("mesh_file_path", "texture_path", "refine_model_file_path", "refine_engine_file_path",
          "score_model_file_path", "score_engine_file_path")
# Names of the tensors in NVIDIA's published engines.
TENSORS = {
    "refine_input_tensor_names": ["input_tensor1", "input_tensor2"],
    "refine_input_binding_names": ["input1", "input2"],
    "refine_output_tensor_names": ["output_tensor1", "output_tensor2"],
    "refine_output_binding_names": ["output1", "output2"],
    "score_input_tensor_names": ["input_tensor1", "input_tensor2"],
    "score_input_binding_names": ["input1", "input2"],
    "score_output_tensor_names": ["output_tensor"],
    "score_output_binding_names": ["output1"],
}


def generate_launch_description() -> LaunchDescription:
    """The segmentation node, and FoundationPose listening to it."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in TOPICS]
    declared += [
        DeclareLaunchArgument("expression", default_value="", description="first command"),
        DeclareLaunchArgument("namespace", default_value="",
                              description="namespace of the segmentation node"),
        DeclareLaunchArgument("name", default_value="samwise", description="name of that node"),
        DeclareLaunchArgument("output", default_value="/pose_estimation/output",
                              description="topic of the poses, vision_msgs/Detection3DArray"),
        *(DeclareLaunchArgument(name, default_value="", description=f"FoundationPose's {name}")
          for name in MODELS),
    ]
    # Depth is for FoundationPose alone: without it our node computes no poses of its own. In a
    # group, because what is included would leave its arguments behind.
    segmentation = GroupAction([IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "samwise.launch.py")),
        launch_arguments={"image": LaunchConfiguration("image"), "depth": "~/depth",
                          "camera_info": "~/camera_info", "empty_masks": "false",
                          "expression": LaunchConfiguration("expression")}.items())])
    return LaunchDescription([*declared, segmentation,
                              OpaqueFunction(function=_foundation_pose)])


def _foundation_pose(context: LaunchContext) -> list[ComposableNodeContainer]:
    mask = node_topic(*(LaunchConfiguration(name).perform(context)
                        for name in ("namespace", "name")), "mask")
    node = ComposableNode(
        name="foundationpose", package="isaac_ros_foundationpose",
        plugin="nvidia::isaac_ros::foundationpose::FoundationPoseNode",
        parameters=[TENSORS | {name: LaunchConfiguration(name) for name in MODELS}],
        remappings=[
            ("pose_estimation/image", LaunchConfiguration("image")),
            ("pose_estimation/depth_image", LaunchConfiguration("depth")),
            ("pose_estimation/camera_info", LaunchConfiguration("camera_info")),
            ("pose_estimation/segmentation", mask),
            ("pose_estimation/output", LaunchConfiguration("output")),
        ])
    return [ComposableNodeContainer(
        name="foundationpose_container", namespace="", package="rclcpp_components",
        executable="component_container_mt", composable_node_descriptions=[node], output="screen")]
