"""A base that follows: target_pose (PoseStamped) in, cmd_vel (Twist) out.

    ros2 run samwise_ros samwise_follow --ros-args -r target_pose:=/samwise/target_pose

It moves only while poses keep coming: when the target is lost the segmentation node falls silent,
and the base stands still. It keeps no map and avoids no obstacles; where there are any, use Nav2
(launch/nav2_follow.launch.py).
"""

import signal
import threading
from collections.abc import Sequence
from dataclasses import fields, replace

import rclpy
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
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
from samwise_ros.ros.node.shutdown import ignore_signals
from samwise_ros.structures import ConfigError

_POSE_QOS = QoSProfile(depth=1)  # reliable, as Nav2's FollowObject asks for it
_LAST_WORDS = 1.0  # seconds for which a standstill is repeated before others may drive
_FAREWELL = 1.0  # seconds that the base gets to confirm the standstill
_FIXED = {  # default, range, description
    "camera_pitch": (0.0, (-1.5, 1.5), "By how much the camera looks down [rad]."),
    "base_frame": ("base_link", None, (
        "frame_id of poses that are in the base's own frame (x forward, y left); every other frame "
        "is taken to be an optical one (x right, z forward).")),
    "rate": (20.0, (1.0, 200.0), "Velocities per second."),
    "stamped": (False, None, (
        "Publish TwistStamped, as Nav2 does from Kilted on, instead of Twist.")),
}


class FollowTarget(Node):
    """Publishes `cmd_vel` from the newest `target_pose`."""

    def __init__(self) -> None:
        super().__init__("follow_target")
        self._controller = FollowController(self._declare())
        self._target: Sighting | None = None
        self._stopped_at: float | None = None
        self._kind = TwistStamped if self.get_parameter("stamped").value else Twist
        self._publisher = self.create_publisher(self._kind, "cmd_vel", 1)
        self.create_subscription(PoseStamped, "target_pose", self._on_pose, _POSE_QOS)
        # Steady: with use_sim_time a clock that stands still must not leave the base driving.
        self.create_timer(1.0 / self.get_parameter("rate").value, self._drive,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.add_on_set_parameters_callback(self._judge)

    def stop(self) -> None:
        """Publish a standstill, for the end, and wait until the base has it."""
        self._publish(STANDSTILL)
        self._publisher.wait_for_all_acked(Duration(seconds=_FAREWELL))

    def _declare(self) -> FollowSettings:
        """Declare all parameters. Raises ConfigError when a start-up value breaks a rule."""
        for name, (default, limits, description) in _FIXED.items():
            self.declare_parameter(name, default, _descriptor(description, limits, read_only=True))
        return FollowSettings(**{item.name: self.declare_parameter(
            item.name, item.default,
            _descriptor(item.metadata["description"], item.metadata["limits"])).value
            for item in fields(FollowSettings)})

    def _judge(self, changed: list[Parameter]) -> SetParametersResult:
        known = {item.name for item in fields(FollowSettings)}
        changes = {item.name: item.value for item in changed if item.name in known}
        try:
            self._controller.settings = replace(self._controller.settings, **changes)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _on_pose(self, message: PoseStamped) -> None:
        stamp = Time.from_msg(message.header.stamp).nanoseconds * 1e-9
        point = message.pose.position
        if message.header.frame_id == self.get_parameter("base_frame").value:
            self._target = Sighting(stamp, point.x, point.y)
        else:
            self._target = sighting_from_optical(stamp, (point.x, point.y, point.z),
                                                 self.get_parameter("camera_pitch").value)

    def _drive(self) -> None:
        now = self.get_clock().now().nanoseconds * 1e-9
        velocity = self._controller.update(now, self._target)
        if not self._controller.reason:
            self._stopped_at = None
        elif self._stopped_at is None:
            self._stopped_at = now
            self.get_logger().info(f"standing still: {self._controller.reason}")
        # Silent afterwards, so that a joystick or a planner may take over.
        if self._stopped_at is None or 0 <= now - self._stopped_at < _LAST_WORDS:
            self._publish(velocity)

    def _publish(self, velocity: Velocity) -> None:
        message = self._kind()
        twist = message
        if self._kind is TwistStamped:
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = "base_link"
            twist = message.twist
        twist.linear.x, twist.angular.z = velocity.linear, velocity.angular
        self._publisher.publish(message)


def _descriptor(description: str, limits: tuple[float, float] | None, read_only: bool = False
                ) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=description, read_only=read_only)
    if limits is not None:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=limits[0], to_value=limits[1])]
    return descriptor


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `ros2 run samwise_ros samwise_follow`; 1 when a parameter is out of range."""
    # rclpy's own handlers would end the context before the base could be told to stop, and Python's
    # would raise where the main thread happens to be, which may be that very stop.
    told_to_end = threading.Event()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_end.set())
    node = None
    try:
        node = FollowTarget()
        while rclpy.ok() and not told_to_end.is_set():
            rclpy.spin_once(node)  # its timer ends the wait
    except (ConfigError, ParameterException) as error:
        rclpy.logging.get_logger("follow_target").error(str(error))
        return 1
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
