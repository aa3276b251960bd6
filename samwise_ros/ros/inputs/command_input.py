"""Text commands from topics: `command` for all cameras, `NAME/command` for one."""

import threading
from collections.abc import Mapping

from rclpy.node import Node
from rclpy.qos import QoSHistoryPolicy, QoSProfile
from rclpy.subscription import Subscription
from std_msgs.msg import String

from samwise_ros.ros.health.monitor import with_time
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.streaming.commands import parse_command
from samwise_ros.streaming.prompts import described
from samwise_ros.structures import Command, CommandError, CommandKind

# Of a queue that is full the oldest would go, and nobody would know; so who gives commands waits.
_QOS = QoSProfile(history=QoSHistoryPolicy.KEEP_ALL)
_MOST_EARLY = 100  # commands that came before there was a session
_LOGGED = 200  # characters of a command
_Outcome = tuple[list[str], list[str]]  # what became of a command: accepted as, refused because


class EarlyCommands:
    """Commands that wait for a session, without those that later ones make void."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Command]] = []

    def put(self, camera: str, command: Command) -> None:
        """Keep a command for one camera, or for all when the name is empty.

        Raises CommandError when too many wait already; nothing changes then.
        """
        waiting = [(other, earlier) for other, earlier in self._waiting
                   if camera not in ("", other) or not _voids(command, earlier)]
        if len(waiting) >= _MOST_EARLY and not _clears(command):
            raise CommandError(f"{_MOST_EARLY} commands wait for the node to be configured already")
        self._waiting = [*waiting, (camera, command)]

    def take(self) -> list[tuple[str, Command]]:
        """(camera, command) in the order in which they came; none is left."""
        taken, self._waiting = self._waiting, []
        return taken


class CommandInput:
    """Hands commands to the cameras' streams; keeps those that come before there are any.

    Args:
        node: That subscribes, and has the parameter `release_words`.

    Attributes:
        refusal: Why a command was not taken, and when, while there are no streams; empty once a
            later one was.
    """

    def __init__(self, node: Node) -> None:
        self.refusal = ""
        self._node = node
        self._log = LimitedLog(node)
        self._lock = threading.Lock()  # keeps commands in order while streams come and go
        self._early = EarlyCommands()
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
            for stream in streams.values():
                stream.refusal = self.refusal
            self.refusal = ""
            if first:
                self._take("", first)
            for camera, command in self._early.take():
                self._hand_over(camera, command)

    def detach(self) -> None:
        """Keep commands again."""
        with self._lock:
            self._streams = {}

    def carry_out(self, camera: str, text: str | Command) -> str:
        """Take a command, a text or a record, as if it came on a camera's topic; what became of it.

        Raises CommandError when a camera refuses it; others may have taken it.
        """
        with self._lock:
            accepted, refused = self._take(camera, text)
        if refused:
            raise CommandError("; ".join(refused))
        return "accepted as " + ", ".join(accepted) if accepted else "kept until there is a model"

    def _on_command(self, camera: str, text: str) -> None:
        with self._lock:
            self._take(camera, text)

    def refuse(self, camera: str, reason: str) -> None:
        """Name why what came for a camera became no command."""
        with self._lock:
            self._refuse(camera, f"command refused: {reason}")

    def _take(self, camera: str, text: str | Command) -> _Outcome:
        """Hand a command over or keep it. A refusal is named and changes nothing."""
        try:
            command = text if isinstance(text, Command) else parse_command(
                text, self._node.get_parameter("release_words").value)
            if not self._streams:
                self._early.put(camera, command)
                self.refusal = ""
        except CommandError as error:
            self._refuse(camera, f"command refused: {error}")
            return [], [str(error)]
        return self._hand_over(camera, command)

    def _hand_over(self, camera: str, command: Command) -> _Outcome:
        accepted, refused = [], []
        for name, stream in self._meant(camera).items():
            of = f" of {name}" if name else ""
            try:
                number = stream.submit(command)
            except Exception as error:  # noqa: BLE001  rclpy would end the node with it
                kind = "" if isinstance(error, CommandError) else f"{type(error).__name__}: "
                self._refuse(name, f"command{of} refused: {kind}{error}")
                refused.append(f"{name}: {kind}{error}" if name else f"{kind}{error}")
            else:
                self._node.get_logger().info(f"command {number}{of}: {_described(command)}")
                accepted.append(f"command {number}{of}")
        return accepted, refused

    def _refuse(self, camera: str, reason: str) -> None:
        self._log.error(reason, camera)
        if not self._streams:
            self.refusal = with_time(reason)
        for stream in self._meant(camera).values():
            stream.refused(reason)

    def _meant(self, camera: str) -> dict[str, CameraStream]:
        """The streams that a camera's name stands for: all when it is empty."""
        return {name: stream for name, stream in self._streams.items() if camera in ("", name)}


def _clears(command: Command) -> bool:
    return command.kind is CommandKind.CLEAR or command.replace_all


def _voids(command: Command, earlier: Command) -> bool:
    """Whether a command leaves nothing of an earlier one for the same camera."""
    if _clears(command) or _clears(earlier):
        return _clears(command)
    return command.target_id == earlier.target_id and (
        command.kind is CommandKind.ADD or earlier.kind is CommandKind.REMOVE)


def _described(command: Command) -> str:
    """As one would write it, for the log."""
    if command.kind is CommandKind.CLEAR:
        return "clear"
    prefix = "" if command.replace_all else f"{command.kind.value}:{command.target_id}"
    text = ": ".join(filter(None, (prefix, command.expression)))
    return repr(text[:_LOGGED]) + (f" {described(command.prompt)}" if command.prompt else "")
