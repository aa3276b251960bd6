"""From a camera's frame to another, at the time of the image, by tf2_ros where it is installed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from samwise_ros.structures import MissingDependencyError, SamwiseError

try:
    import tf2_ros
except ImportError:  # not on PyPI
    tf2_ros = None

_PATIENCE = 0.05  # seconds; a transform is often published a moment after the image


class TransformError(SamwiseError):
    """There is no transform between two frames at the time asked for."""


@dataclass(frozen=True)
class Transform:
    """x in the source frame -> `rotation` x + `translation` in the target frame.

    Attributes:
        rotation: float64 [3, 3].
        translation: float64 [3] metres.
    """

    rotation: np.ndarray
    translation: np.ndarray


class TransformLookup:
    """Looks up transforms into one frame.

    Args:
        node: Whose namespace, clock and context are used. Transforms are received on a node of
            their own, in a thread of their own, so that waiting for one blocks nobody.
        target_frame: Name of the frame to go to.
        buffer: A tf2_ros.Buffer to use instead of an own one.
        camera: Name of the camera, where a node has several; it tells their lookups apart.

    Raises:
        MissingDependencyError: tf2_ros is not installed.
    """

    def __init__(self, node: Node, target_frame: str, buffer: Any = None,
                 camera: str = "") -> None:
        self.target_frame = target_frame
        self._node = self._listener = None
        if buffer is None:
            buffer = self._listen(node, camera)
        self._buffer = buffer

    def _listen(self, node: Node, camera: str) -> Any:
        if tf2_ros is None:
            raise MissingDependencyError(
                f"target_frame {self.target_frame!r} needs tf2_ros, which is not installed: apt "
                "install ros-$ROS_DISTRO-tf2-ros-py, or leave target_frame empty for poses in the "
                "camera's frame")
        self._node = rclpy.create_node(
            "_".join(part for part in (node.get_name(), camera, "transforms") if part),
            context=node.context, namespace=node.get_namespace())
        buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(buffer, self._node, spin_thread=True)
        return buffer

    def at(self, header: Header) -> Transform:
        """The transform from the header's frame at the header's stamp. Raises TransformError."""
        try:
            found = self._buffer.lookup_transform(
                self.target_frame, header.frame_id, Time.from_msg(header.stamp),
                timeout=Duration(seconds=_PATIENCE)).transform
        except Exception as error:  # tf2 has a family of them, in a C++ module
            raise TransformError(f"no transform from {header.frame_id!r} to {self.target_frame!r} "
                                 f"at the image's stamp: {error}") from error
        turn, shift = found.rotation, found.translation
        return Transform(rotation_matrix(turn.x, turn.y, turn.z, turn.w),
                         np.array([shift.x, shift.y, shift.z]))

    def reset(self) -> None:
        """Forget what was heard, as after a jump of the clock; tf2's Python buffer doesn't by itself.

        Static transforms stay.
        """
        self._buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()
            self._node.destroy_node()
        self._listener = self._node = None


def rotation_matrix(x: float, y: float, z: float, w: float) -> np.ndarray:
    """Unit quaternion -> float64 [3, 3]."""
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
