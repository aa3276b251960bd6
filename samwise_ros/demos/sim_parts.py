"""What the simulated camera and the simulated robot share: messages."""

from array import array

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.sim.geometry import Intrinsics


def depth_to_msg(depth: np.ndarray, header: Header) -> Image:
    """float32 [H, W] metres -> 32FC1."""
    height, width = depth.shape
    message = Image(header=header, height=height, width=width, encoding="32FC1", step=4 * width)
    data = array("B")
    data.frombytes(np.ascontiguousarray(depth, "<f4").data.cast("B"))
    message.data = data
    return message


def info_to_msg(camera: Intrinsics, header: Header) -> CameraInfo:
    """Intrinsics of a camera without distortion -> CameraInfo."""
    matrix = camera.matrix
    return CameraInfo(
        header=header, height=camera.height, width=camera.width, distortion_model="plumb_bob",
        d=[0.0] * 5, k=matrix.ravel(), r=np.eye(3).ravel(),
        p=np.hstack([matrix, np.zeros((3, 1))]).ravel())


def instance_to_msg(instance: np.ndarray, header: Header) -> Image:
    """int32 [H, W] object numbers from 1, 0 for background -> mono8."""
    return rgb_to_msg(instance.astype(np.uint8), header, "mono8")
