"""Services and the action beside the command topic, for those who want an answer.

| name | type | does |
|---|---|---|
| `list_targets` | samwise_ros/srv/ListTargets | what is looked for, as on the last answered frame |
| `reset` | std_srvs/Trigger | forgets what was seen; what is looked for stays |
| `enable` | std_srvs/SetBool | answers images, or lets them pass |
| `track_target` | samwise_ros/action/TrackTarget | see `track_server` |

They lie below the node's name; of several cameras each has its own (`~/NAME/reset`), and `~/reset`
and `~/enable` are for all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.ros.outputs.conversions import Target, targets_to_msg
from samwise_ros.structures import FrameResult

try:
    from std_srvs.srv import SetBool, Trigger
except ImportError:
    SetBool = Trigger = None
try:
    from samwise_ros.srv import ListTargets
except ImportError:  # installed without messages
    ListTargets = None
try:
    from samwise_ros.ros.services.track_server import TrackServer
except ImportError:  # the same
    TrackServer = None  # type: ignore[assignment,misc]

Streams = Callable[[], Mapping[str, CameraStream]]

_TICK = 0.1  # seconds after which a cancel is honoured when no frames come
_NO_MODEL = "no model is loaded: configure the node first"


def missing_services() -> tuple[str, ...]:
    """What can't be served here, with the remedy; for the log."""
    missing = []
    if Trigger is None:
        missing.append("~/reset and ~/enable (install std_srvs)")
    if ListTargets is None or TrackServer is None:
        missing.append("~/list_targets and ~/track_target (build the package's messages: "
                       "`make setup`, or colcon)")
    return tuple(missing)


class CommandServer:
    """Serves all cameras of a node.

    Args:
        node: Everything is created on it.
        streams: The cameras' streams at present, by name; none while there is no model.
    """

    def __init__(self, node: Node, streams: Streams) -> None:
        self._node = node
        self._streams = streams
        self._group = MutuallyExclusiveCallbackGroup()  # a model that loads must not block it
        self._services: list[Any] = []
        self._cameras: dict[str, _Camera] = {}
        self._names: tuple[str, ...] = ()
        self._timer = node.create_timer(_TICK, self._tick, callback_group=self._group,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        for missing in missing_services():
            node.get_logger().warning(f"not served here: {missing}")

    def listen(self, names: tuple[str, ...]) -> None:
        """Serve these cameras and no other; one empty name stands for the only camera."""
        if names == self._names:
            return
        self._clear()
        self._names = names
        self._serve_switches("", names)
        for name in names:
            if name:
                self._serve_switches(name, (name,))
            self._cameras[name] = _Camera(self._node, name, self._streams, self._group)

    def attach(self) -> None:
        """Hear the streams that there are now; called when they have been made."""
        for name, stream in self._streams().items():
            self._cameras[name].attach(stream)

    def destroy(self) -> None:
        """Remove everything."""
        self._node.destroy_timer(self._timer)
        self._clear()

    def _clear(self) -> None:
        for service in self._services:
            self._node.destroy_service(service)
        for camera in self._cameras.values():
            camera.destroy()
        self._services, self._cameras = [], {}

    def _serve_switches(self, prefix: str, names: tuple[str, ...]) -> None:
        """`reset` and `enable` below `prefix` for the cameras of these names."""
        if Trigger is None:
            return
        for kind, name, change in (
                (Trigger, "reset", lambda stream, request: stream.reset()),
                (SetBool, "enable", lambda stream, request: _enable(stream, request.data))):
            self._services.append(self._node.create_service(
                kind, _below(prefix, name),
                lambda request, response, name=name, change=change: self._switch(
                    name, names, change, request, response), callback_group=self._group))

    def _switch(self, name: str, names: tuple[str, ...],
                change: Callable[[CameraStream, Any], None], request: Any, response: Any) -> Any:
        streams = self._streams()
        chosen = [streams[camera] for camera in names if camera in streams]
        for stream in chosen:
            change(stream, request)
        response.success = bool(chosen)
        commands = ", ".join(f"{stream.command}" for stream in chosen)
        response.message = f"{name} done; last command: {commands}" if chosen else _NO_MODEL
        self._node.get_logger().info(f"{name} {getattr(request, 'data', '')}: {response.message}")
        return response

    def _tick(self) -> None:
        for camera in tuple(self._cameras.values()):
            camera.tick()


@dataclass(frozen=True)
class _LastFrame:
    """What the last answered frame of a camera said."""

    result: FrameResult
    labels: Mapping[str, int]


class _Camera:
    """What belongs to one camera alone: list_targets and track_target."""

    def __init__(self, node: Node, name: str, streams: Streams,
                 group: MutuallyExclusiveCallbackGroup) -> None:
        self._node = node
        self._stream = lambda: streams().get(name)
        self._last: _LastFrame | None = None
        self._list = None if ListTargets is None else node.create_service(
            ListTargets, _below(name, "list_targets"), self._on_list, callback_group=group)
        self._track = None if TrackServer is None else TrackServer(
            node, _below(name, "track_target"), self._stream, group)

    def attach(self, stream: CameraStream) -> None:
        """Hear a new stream."""
        self._last = None
        stream.add_listener(lambda result: self._on_frame(stream, result))

    def destroy(self) -> None:
        if self._list is not None:
            self._node.destroy_service(self._list)
        if self._track is not None:
            self._track.destroy()

    def tick(self) -> None:
        if self._track is not None:
            self._track.tick()

    def _on_frame(self, stream: CameraStream, result: FrameResult) -> None:
        self._last = _LastFrame(result, stream.outputs.labels)
        if self._track is not None:
            self._track.frame(stream, result)

    def _on_list(self, request: Any, response: Any) -> Any:
        stream, last = self._stream(), self._last
        if stream is None:
            return response
        answered = {}
        if last is not None:
            message = targets_to_msg(last.result, last.labels, last.result.stamp)
            answered = {(target.id, target.command): target for target in message.targets}
        response.enabled, response.command = stream.enabled, stream.command
        response.targets = [
            answered.get((name, command)) or Target(id=name, expression=expression, command=command)
            for name, expression, command in stream.session.targets]
        return response


def _below(prefix: str, name: str) -> str:
    return f"~/{prefix}/{name}" if prefix else f"~/{name}"


def _enable(stream: CameraStream, enabled: bool) -> None:
    stream.enabled = enabled
