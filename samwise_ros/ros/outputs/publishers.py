"""Publishers of results, on lifecycle nodes and on plain ones."""

from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile

RESULT_QOS = QoSProfile(depth=5)  # reliable and volatile: every subscriber can connect
LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def create_publisher(node: Node, kind: type, topic: str, qos: QoSProfile = RESULT_QOS) -> Any:
    """A publisher that is silent while its node is a lifecycle node and not active."""
    create = getattr(node, "create_lifecycle_publisher", node.create_publisher)
    return create(kind, topic, qos)


def destroy_publisher(node: Node, publisher: Any) -> None:
    """Remove a publisher of `create_publisher`."""
    getattr(node, "destroy_lifecycle_publisher", node.destroy_publisher)(publisher)
