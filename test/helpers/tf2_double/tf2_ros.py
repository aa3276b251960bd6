"""In the place of tf2_ros where it is not installed: the same claims on node, thread and executor.

The real listener subscribes to /tf and /tf_static on the node that it is given, and with
`spin_thread` spins that node in a thread that is no daemon and refers to the listener. The buffer
knows nothing.
"""

from threading import Thread

from geometry_msgs.msg import TransformStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class Buffer:
    """Without any transform."""

    def clear(self) -> None:
        """Nothing is kept."""

    def lookup_transform(self, target: str, source: str, time: object, timeout: object) -> None:
        raise LookupError(f"{target!r} is not connected to {source!r}")


class TransformListener:
    """Subscribes, and spins if asked to."""

    def __init__(self, buffer: Buffer, node: Node, *, spin_thread: bool = False) -> None:
        self.node = node
        self.subscriptions = [node.create_subscription(TransformStamped, topic, print, 100)
                              for topic in ("/tf", "/tf_static")]
        if spin_thread:
            self.executor = SingleThreadedExecutor()
            Thread(target=self._run).start()

    def _run(self) -> None:
        self.executor.add_node(self.node)
        self.executor.spin()

    def unregister(self) -> None:
        for subscription in self.subscriptions:
            self.node.destroy_subscription(subscription)
