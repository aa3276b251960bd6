"""From a camera's frame to another, at the time of the image, by tf2_ros where it is installed."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from samwise_ros.structures import MissingDependencyError, SamwiseError

try:
    import tf2_ros
except ImportError:  # not on PyPI
    tf2_ros = None

_PATIENCE = 0.05  # seconds; a transform is often published a moment after the image
_FAREWELL = 5.0  # seconds for the listening thread to end


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
        node: Whose namespace and context are used. Transforms are received on a node of their own,
            in a thread of their own, so that waiting for one blocks nobody.
        target_frame: Name of the frame to go to.
        buffer: A tf2_ros.Buffer to use instead of an own one.
        camera: Name of the camera, where a node has several; it tells their lookups apart.

    Raises:
        MissingDependencyError: tf2_ros is not installed.
    """

    def __init__(self, node: Node, target_frame: str, buffer: Any = None,
                 camera: str = "") -> None:
        self.target_frame = target_frame
        self._spinning: _Spinning | None = None
        if buffer is None:
            if tf2_ros is None:
                raise MissingDependencyError(
                    f"target_frame {target_frame!r} needs tf2_ros, which is not installed: apt "
                    "install ros-$ROS_DISTRO-tf2-ros-py, or leave target_frame empty for poses in "
                    "the camera's frame")
            buffer = tf2_ros.Buffer()
            self._spinning = _Spinning(node, camera, buffer)
        self._buffer = buffer

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
        """Forget what was heard, as after a jump of the clock: tf2's Python buffer doesn't itself.

        Static transforms stay.
        """
        self._buffer.clear()

    def close(self) -> None:
        """Stop listening; the thread has ended then."""
        spinning, self._spinning = self._spinning, None
        if spinning is not None:
            spinning.close()


class _Spinning:
    """A node that fills a buffer, with its thread.

    tf2's own thread (`spin_thread`) never ends: it keeps the listener whose deletion would end it.

    Args:
        node, camera: See `TransformLookup`.
        buffer: A tf2_ros.Buffer.
    """

    def __init__(self, node: Node, camera: str, buffer: Any) -> None:
        name = "_".join(part for part in (node.get_name(), camera, "transforms") if part)
        # launch renames every node of a process by a global argument; a local one wins. Other
        # global ones (remapped /tf, use_sim_time) are to hold here, too.
        self._node = rclpy.create_node(
            name, context=node.context, namespace=node.get_namespace(), enable_rosout=False,
            start_parameter_services=False, cli_args=["--ros-args", "-r", f"__node:={name}"])
        self._listener = tf2_ros.TransformListener(buffer, self._node)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._executor.shutdown()
        self._thread.join(_FAREWELL)
        self._listener.unregister()
        self._node.destroy_node()

    def _run(self) -> None:
        try:
            self._executor.spin()
        except Exception:  # what rclpy raises once its handles are gone
            if self._node.context.ok() and not self._closing:
                raise


def rotation_matrix(x: float, y: float, z: float, w: float) -> np.ndarray:
    """Unit quaternion -> float64 [3, 3]."""
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
