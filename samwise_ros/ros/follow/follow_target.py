"""A base that follows: target_pose (PoseStamped) in, cmd_vel (Twist) out.

    ros2 run samwise_ros samwise_follow --ros-args -r target_pose:=/samwise/target_pose

It moves only while poses keep coming: when the target is lost the segmentation node falls silent,
and the base stands still. It keeps no map and avoids no obstacles; where there are any, use Nav2
(launch/nav2_follow.launch.py).
"""

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import rclpy
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time

from samwise_ros.ros.follow.follow_controller import (
    STANDSTILL,
    FollowController,
    FollowSettings,
    Sighting,
    Velocity,
    sighting_from_optical,
)
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.node.shutdown import ignore_signals, refuse_start, start_ros
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.ros.parameters.server import declare_parameters
from samwise_ros.structures import SamwiseError

_POSE_QOS = QoSProfile(depth=1)  # reliable, as Nav2's FollowObject asks for it
_LAST_WORDS = 1.0  # seconds for which a standstill is repeated before others may drive
_FAREWELL = 1.0  # seconds that the base gets to confirm the standstill


@dataclass(frozen=True)
class FollowParameters(FollowSettings):
    """Values of all parameters; those of `FollowSettings` may change while the base moves."""

    camera_pitch: float = parameter(
        0.0, "By how much the camera looks down [rad].", limits=(-1.5, 1.5))
    base_frame: str = parameter(
        "base_link",
        "frame_id of poses that are in the base's own frame (x forward, y left), and of "
        "stamped velocities.")
    optical_frame: str = parameter(
        "", "frame_id of poses that are in a camera's optical frame (x right, z forward). Empty: "
        "every frame whose name ends in _optical_frame or _optical. Poses in any other frame are "
        "not followed.")
    rate: float = parameter(20.0, "Velocities per second.", limits=(1.0, 200.0))
    stamped: bool = parameter(
        False, "Publish TwistStamped, as Nav2 does from Kilted on, instead of Twist.")


class FollowTarget(Node):
    """Publishes `cmd_vel` from the newest `target_pose`."""

    def __init__(self) -> None:
        super().__init__("follow_target")
        self._log = LimitedLog(self, seconds=10.0)
        self._settings = declare_parameters(self, FollowParameters, self._changed)
        self._controller = FollowController(self._settings)
        self._target: Sighting | None = None
        self._wrong_frame = ""  # why the last pose can't be followed
        self._stopped_at: float | None = None
        self._kind = TwistStamped if self._settings.stamped else Twist
        self._publisher = self.create_publisher(self._kind, "cmd_vel", 1)
        self.create_subscription(PoseStamped, "target_pose", self._on_pose, _POSE_QOS)
        # Steady: with use_sim_time a clock that stands still must not leave the base driving.
        self.create_timer(1.0 / self._settings.rate, self._drive,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))

    def stop(self) -> None:
        """Publish a standstill, for the end, and wait until the base has it."""
        self._publish(STANDSTILL)
        self._publisher.wait_for_all_acked(Duration(seconds=_FAREWELL))

    def _changed(self, parameters: FollowParameters) -> None:
        self._controller.settings = parameters

    def _on_pose(self, message: PoseStamped) -> None:
        stamp = Time.from_msg(message.header.stamp).nanoseconds * 1e-9
        point, frame = message.pose.position, message.header.frame_id.lstrip("/")
        self._wrong_frame = ""
        if frame == self._settings.base_frame:
            self._target = Sighting(stamp, point.x, point.y)
        elif is_optical(frame, self._settings.optical_frame):
            self._target = sighting_from_optical(stamp, (point.x, point.y, point.z),
                                                 self._settings.camera_pitch)
        else:  # with axes that nobody knows it would drive somewhere
            self._target = None
            self._wrong_frame = (
                f"poses are in frame {frame!r}, which is neither base_frame "
                f"{self._settings.base_frame!r} nor an optical one: set target_frame of the "
                "segmentation node to base_frame, or optical_frame here")

    def _drive(self) -> None:
        now = self.get_clock().now().nanoseconds * 1e-9
        velocity = self._controller.update(now, self._target)
        if not self._controller.reason:
            self._stopped_at = None
        elif self._stopped_at is None:
            self._stopped_at = now
            self.get_logger().info("standing still: "
                                   f"{self._wrong_frame or self._controller.reason}")
        if self._wrong_frame:
            self._log.error(f"standing still: {self._wrong_frame}")
        # Silent afterwards, so that a joystick or a planner may take over.
        if self._stopped_at is None or 0 <= now - self._stopped_at < _LAST_WORDS:
            self._publish(velocity)

    def _publish(self, velocity: Velocity) -> None:
        message = self._kind()
        twist = message
        if self._kind is TwistStamped:
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = self._settings.base_frame
            twist = message.twist
        twist.linear.x, twist.angular.z = velocity.linear, velocity.angular
        self._publisher.publish(message)


def is_optical(frame: str, optical_frame: str = "") -> bool:
    """Whether poses in a frame have the axes of a camera (REP 103): x right, y down, z forward.

    Args:
        frame: Their frame_id.
        optical_frame: The only one that has; empty: all whose name says so.
    """
    return (frame == optical_frame if optical_frame
            else frame.endswith(("_optical_frame", "_optical")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `ros2 run samwise_ros samwise_follow`; 1 when a parameter is out of range."""
    # rclpy's own handlers would end the context before the base could be told to stop, and Python's
    # would raise where the main thread happens to be, which may be that very stop.
    told_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_end.set())
    node = None
    try:
        start_ros(arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = FollowTarget()
        while rclpy.ok() and not told_to_end.is_set():
            rclpy.spin_once(node)  # its timer ends the wait
    except SamwiseError as error:
        refuse_start("follow_target", error)
    except ExternalShutdownException:
        pass
    finally:
        if node is not None and rclpy.ok():
            node.stop()
        rclpy.try_shutdown()
        ignore_signals()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
