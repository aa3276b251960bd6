"""The node's main loop goes on where rclpy's executor stumbles."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from ros_processes import new_domain
from std_msgs.msg import String

from samwise_ros.ros import node as node_module
from samwise_ros.ros import shutdown


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


@pytest.mark.parametrize("end", [lambda context: context.handle.shutdown(),  # as by a signal
                                 lambda context: rclpy.shutdown(context=context)])
def test_a_callback_that_publishes_after_the_end_is_no_error(monkeypatch, end):
    context = Context()
    rclpy.init(context=context, domain_id=new_domain())
    node = Node("late", context=context)
    publisher = node.create_publisher(String, "topic", 1)
    end(context)
    monkeypatch.setattr(shutdown.rclpy, "ok", lambda: False)
    reached = False
    with shutdown.until_shutdown():
        publisher.publish(String())
        reached = True
    assert not reached, "rclpy lets it pass: until_shutdown has become needless"
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_an_error_of_the_middleware_before_the_end_is_not_hidden(monkeypatch):
    monkeypatch.setattr(shutdown.rclpy, "ok", lambda: True)
    with pytest.raises(shutdown.RCLError), shutdown.until_shutdown():
        raise shutdown.RCLError("no memory")
