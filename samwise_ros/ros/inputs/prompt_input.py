"""What shows targets, from topics: `prompt/point`, `prompt/box` and `prompt/mask` of each camera.

A point is a place in space, as RViz publishes it, or a pixel: in the camera's frame (or in none)
and with z = 0. Space needs camera_info, and for other frames tf, which are listened to from the
first such point on.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import rclpy.callback_groups
from geometry_msgs.msg import PointStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from samwise_ros.messages.camera_model import pinhole_from_info
from samwise_ros.messages.prompt_messages import (
    detection_command,
    mask_command,
    pixel_command,
    stamp_of,
)
from samwise_ros.ros.inputs.command_input import CommandInput
from samwise_ros.ros.inputs.tf_lookup import TransformLookup
from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.streaming.commands import shown_command
from samwise_ros.structures import (
    Command,
    CommandError,
    MissingDependencyError,
    Prompt,
    SamwiseError,
)

try:
    from vision_msgs.msg import Detection2D
except ImportError:  # not on PyPI
    Detection2D = None

_QOS = QoSProfile(depth=10)
_INFO_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_PATIENCE = 2.0  # seconds that a point in space waits for camera_info and tf
_RETRY = 0.1  # seconds

Streams = Callable[[], Mapping[str, CameraStream]]


class PromptInput:
    """Turns what shows a target into commands.

    Args:
        node: That subscribes, and has the parameters `release_words` and `rectified`.
        commands: Takes them.
        streams: The cameras' streams at present, by name.
    """

    def __init__(self, node: Node, commands: CommandInput, streams: Streams) -> None:
        self._node, self._commands, self._streams = node, commands, streams
        self._cameras: dict[str, _Camera] = {}

    def listen(self, cameras: tuple[str, ...]) -> None:
        """Subscribe for these cameras (one empty name: the only one) and for no other."""
        for name in self._cameras.keys() - set(cameras):
            self._cameras.pop(name).close()
        for name in set(cameras) - self._cameras.keys():
            self._cameras[name] = _Camera(self._node, name, self._commands, self._streams)

    def close(self) -> None:
        """Unsubscribe."""
        self.listen(())


class _Camera:
    """The topics of one camera."""

    def __init__(self, node: Node, name: str, commands: CommandInput, streams: Streams) -> None:
        self._node, self._name, self._commands, self._streams = node, name, commands, streams
        self._prefix = f"{name}/" if name else ""
        self._group = rclpy.callback_groups.MutuallyExclusiveCallbackGroup()
        self._lock = threading.Lock()  # closed from another thread
        self._info: CameraInfo | None = None
        self._lookup: TransformLookup | None = None
        self._waiting: tuple[PointStamped, float] | None = None  # and until when
        self._timer: Any = None
        self._listening = False  # to camera_info
        kinds = ((PointStamped, "point", self._on_point), (Detection2D, "box", self._on_box),
                 (Image, "mask", self._on_mask))
        self._subscriptions = [
            node.create_subscription(kind, f"{self._prefix}prompt/{topic}", receive, _QOS,
                                     callback_group=self._group)
            for kind, topic, receive in kinds if kind is not None]

    def close(self) -> None:
        with self._lock:
            while self._subscriptions:
                self._node.destroy_subscription(self._subscriptions.pop())
            self._stop_waiting()
            if self._lookup is not None:
                self._lookup.close()

    def _on_box(self, message: Any) -> None:
        words = self._node.get_parameter("release_words").value
        self._take(lambda: detection_command(message, words))

    def _on_mask(self, message: Image) -> None:
        self._take(lambda: mask_command(message))

    def _on_point(self, message: PointStamped) -> None:
        stream = self._streams().get(self._name)
        frames = {"", stream.frame_id if stream else "",
                  self._info.header.frame_id if self._info else ""}
        if message.point.z == 0.0 and message.header.frame_id in frames:
            self._take(lambda: pixel_command(message))
            return
        with self._lock:
            self._waiting = message, time.monotonic() + _PATIENCE
            if not self._listening:
                self._listening = True
                self._subscriptions.append(self._node.create_subscription(
                    CameraInfo, f"{self._prefix}camera_info", self._on_info, _INFO_QOS,
                    callback_group=self._group))
            if self._timer is None:
                self._timer = self._node.create_timer(
                    _RETRY, self._try, callback_group=self._group,
                    clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _try(self) -> None:
        """Bring the waiting point into the image, as soon as it is known how."""
        with self._lock:
            if self._waiting is None:
                return
            message, deadline = self._waiting
            try:
                command = self._projected(message)
            except SamwiseError as error:
                if time.monotonic() < deadline and not isinstance(error, MissingDependencyError):
                    return
                self._stop_waiting()
                self._commands.refuse(self._name, str(error))
                return
            self._stop_waiting()
        self._take(lambda: command)

    def _projected(self, message: PointStamped) -> Command:
        """The command of a point in space. Raises SamwiseError while it cannot be told."""
        info, frame = self._info, message.header.frame_id
        if info is None:
            topic = self._node.resolve_topic_name(f"{self._prefix}camera_info")
            raise CommandError(f"prompt: a point in space needs camera_info, and none came on "
                               f"{topic}: check the name and the remapping")
        rectified = bool(self._node.get_parameter("rectified").value)
        place = message.point.x, message.point.y, message.point.z
        if frame not in ("", info.header.frame_id):
            place = self._transformed(message.header, info.header.frame_id, place)
        column, row = pinhole_from_info(info, rectified).project(place)
        return shown_command("", "", Prompt(points=((column, row),),
                                            stamp=stamp_of(message.header)))

    def _transformed(self, header: Header, camera: str, place: tuple[float, float, float]
                     ) -> tuple[float, float, float]:
        if self._lookup is None or self._lookup.target_frame != camera:
            if self._lookup is not None:
                self._lookup.close()
            try:
                self._lookup = TransformLookup(
                    self._node, camera, camera="_".join(filter(None, (self._name, "prompt"))))
            except MissingDependencyError:
                raise MissingDependencyError(
                    f"prompt: a point in frame {header.frame_id!r} needs tf2_ros, which is not "
                    f"installed; publish it in the camera's frame {camera!r}") from None
        found = self._lookup.at(header)
        x, y, z = found.rotation @ place + found.translation
        return float(x), float(y), float(z)

    def _stop_waiting(self) -> None:
        self._waiting = None
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _take(self, command: Callable[[], Command]) -> None:
        """Hand a command over; what is none, or is refused, is named by who takes commands."""
        try:
            wish = command()
        except SamwiseError as error:
            self._commands.refuse(self._name, str(error))
            return
        try:
            self._commands.carry_out(self._name, wish)
        except CommandError:  # named already
            pass
