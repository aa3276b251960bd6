"""Drives a lifecycle node from outside, for machines without the `ros2` command line.

    samwise_lifecycle /samwise up        configure and activate
    samwise_lifecycle /samwise state     print the state
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from samwise_ros.structures import SamwiseError

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}
DEFAULT_TIMEOUT = 60.0  # seconds for one transition; loading a large model takes its time
_SEQUENCES = {"up": ("configure", "activate"), "down": ("deactivate", "cleanup")}


class LifecycleError(SamwiseError):
    """A lifecycle node did not answer in time or refused a transition."""


class LifecycleClient:
    """Asks one lifecycle node for transitions. `node` must not be spinning elsewhere.

    Args:
        node: Whose clients are used.
        target: Name of the lifecycle node, e.g. "/samwise".
        executor: That `node` belongs to; the global one by default.
    """

    def __init__(self, node: Node, target: str, executor: Executor | None = None) -> None:
        self._node = node
        self._executor = executor
        self._target = target
        self._change = node.create_client(ChangeState, f"{target}/change_state")
        self._get = node.create_client(GetState, f"{target}/get_state")

    def change(self, transition: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Make one transition. Raises LifecycleError after `timeout` seconds or on refusal."""
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[transition]
        if not self._call(self._change, request, timeout).success:
            raise LifecycleError(f"{self._target} refused to {transition}: its log says why")

    def run(self, action: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Make one transition, or those of "up" and "down", each within `timeout` seconds."""
        for transition in _SEQUENCES.get(action, (action,)):
            self.change(transition, timeout)

    def state(self, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Label of the current state. Raises LifecycleError after `timeout` seconds."""
        return self._call(self._get, GetState.Request(), timeout).current_state.label

    def _call(self, client: Client, request: Any, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        if not client.wait_for_service(timeout_sec=timeout):
            raise LifecycleError(f"no lifecycle node {self._target} within {timeout:.0f} s: is it "
                                 "running, in the same ROS_DOMAIN_ID?")
        future = client.call_async(request)
        rclpy.spin_until_future_complete(
            self._node, future, self._executor, max(0.0, deadline - time.monotonic()))
        if not future.done():
            client.remove_pending_request(future)
            raise LifecycleError(f"{self._target} did not answer within {timeout:.0f} s")
        return future.result()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `samwise_lifecycle`; 1 when the node did not do as told."""
    parser = argparse.ArgumentParser(prog="samwise_lifecycle", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node", help="name of the lifecycle node, e.g. /samwise")
    parser.add_argument("action", choices=[*_SEQUENCES, *TRANSITIONS, "state"])
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT,
                        help="seconds per transition")
    options = parser.parse_args(remove_ros_args(arguments)[1:] if arguments is None
                                else list(arguments))
    rclpy.init()
    node = rclpy.create_node("samwise_lifecycle")
    client = LifecycleClient(node, options.node)
    try:
        if options.action != "state":
            client.run(options.action, options.timeout)
        print(client.state(options.timeout))
    except LifecycleError as error:
        print(error)
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
