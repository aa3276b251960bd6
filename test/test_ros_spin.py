"""The node's main loop goes on where rclpy's executor stumbles."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException

from samwise_ros.ros import node as node_module


class _Node:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_subscription_removed_while_the_executor_gathers_does_not_end_the_node(monkeypatch):
    outcomes = [InvalidHandle("destruction was requested"), InvalidHandle("again"),
                ExternalShutdownException()]

    class Executor:
        def __init__(self, num_threads: int) -> None:
            assert num_threads == 2

        def add_node(self, node: _Node) -> None: ...

        def spin(self) -> None:
            raise outcomes.pop(0)

        def shutdown(self) -> None: ...

    monkeypatch.setattr(node_module, "MultiThreadedExecutor", Executor)
    monkeypatch.setattr(node_module.rclpy, "ok", lambda: True)
    node = _Node()
    node_module.run(node)
    assert node.closed and not outcomes
