"""Text commands from topics: `command` for all cameras, `NAME/command` for one."""

import threading
from collections import deque
from collections.abc import Mapping

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from std_msgs.msg import String

from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.structures import CommandError

_QOS = QoSProfile(depth=100)
_KEPT = 100  # commands that came before there was a session
_LOG_PERIOD = 1.0  # seconds between two lines from one place


class CommandInput:
    """Hands commands to the cameras' streams; keeps those that come before there are any.

    Args:
        node: That subscribes.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()  # keeps commands in order while streams come and go
        self._early: deque[tuple[str, str]] = deque(maxlen=_KEPT)  # (camera, text)
        self._streams: Mapping[str, CameraStream] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self.listen(())

    def listen(self, cameras: tuple[str, ...]) -> None:
        """Subscribe to `command` and to that of each of these cameras, and to no other."""
        wanted = {"", *cameras}
        for name in self._subscriptions.keys() - wanted:
            self._node.destroy_subscription(self._subscriptions.pop(name))
        for name in wanted - self._subscriptions.keys():
            self._subscriptions[name] = self._node.create_subscription(
                String, f"{name}/command" if name else "command",
                lambda message, name=name: self._on_command(name, message.data), _QOS)

    def attach(self, streams: Mapping[str, CameraStream], first: str) -> None:
        """Carry out `first`, unless it is empty, and what was kept; from now on hand over at once.

        Args:
            streams: By camera name.
            first: A command for all of them.
        """
        with self._lock:
            self._streams = streams
            if first:
                self._hand_over("", first)
            while self._early:
                self._hand_over(*self._early.popleft())

    def detach(self) -> None:
        """Keep commands again."""
        with self._lock:
            self._streams = {}

    def _on_command(self, camera: str, text: str) -> None:
        with self._lock:
            if self._streams:
                self._hand_over(camera, text)
            else:
                self._early.append((camera, text))

    def _hand_over(self, camera: str, text: str) -> None:
        """To one camera, or to all when the name is empty; a refusal is named and changes nothing."""
        for name, stream in self._streams.items():
            if camera not in ("", name):
                continue
            of = f" of {name}" if name else ""
            try:
                number = stream.submit(text)
            except Exception as error:  # noqa: BLE001  rclpy would end the node with it
                kind = "" if isinstance(error, CommandError) else f"{type(error).__name__}: "
                reason = f"command{of} refused: {kind}{error}"
                stream.monitor.command_failed(reason)
                self._node.get_logger().error(reason, throttle_duration_sec=_LOG_PERIOD)
            else:
                self._node.get_logger().info(f"command {number}{of}: {text[:200]!r}")
