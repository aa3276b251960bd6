"""The node's page: what its cameras see, for people, and commands from them (docs/live.md)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rclpy.node import Node

from samwise_ros.ros.health.diagnostics import NodeHealth
from samwise_ros.ros.inputs.command_input import CommandInput
from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.structures import MissingDependencyError

if TYPE_CHECKING:
    from samwise_ros.live.board import Level

_LEVELS: tuple["Level", ...] = ("ok", "idle", "error")  # as in Status.msg


def check_page(port: int, address: str) -> None:
    """Find out before a model is loaded whether there can be a page.

    Raises:
        ConfigError: The port is in use, or the address is none of this machine's.
        MissingDependencyError: What serves the page is not installed.
    """
    try:
        from samwise_ros.live.server import check_port
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"the page needs the Python package {error.name}: pip "
                                     "install 'samwise_ros[live]', or page:=0") from None
    check_port(port, address)


class NodePage:
    """Shows the cameras' answers from now on; its commands go the way of those on the topic.

    After `check_page`.

    Args:
        node: That says where the page is.
        streams: Of all cameras by name.
        commands: Takes the page's commands.
        port, address: See `PageServer`.

    Raises:
        ConfigError: The port is in use, or the address is none of this machine's.
    """

    def __init__(self, node: Node, streams: Mapping[str, CameraStream], commands: CommandInput,
                 port: int, address: str) -> None:
        from samwise_ros.live.board import Board
        from samwise_ros.live.server import PageServer

        self._board = board = Board(tuple(streams))
        self._server = PageServer(board, commands.carry_out, port, address)
        self._streams = streams
        for name, stream in streams.items():
            stream.viewer = lambda *answer, name=name: board.show(name, *answer)
        node.get_logger().info(f"the page: {self._server.url}")

    def tell(self, health: NodeHealth) -> None:
        """Show how the cameras are doing, as in ~/status."""
        for camera in health.cameras:
            if camera.name in self._board.cameras:
                quiet = not (health.active and camera.enabled)
                level = _LEVELS[max(health.level(camera), int(quiet))]
                self._board.say(camera.name, health.message(camera), level)

    def close(self) -> None:
        """End it; the port is free then."""
        for stream in self._streams.values():
            stream.viewer = None
        self._server.close()
