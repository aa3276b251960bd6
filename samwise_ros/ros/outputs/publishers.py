"""Publishers of results, on lifecycle nodes and on plain ones."""

import copy
import os
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSPolicyKind, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

RESULT_QOS = QoSProfile(depth=5)  # reliable and volatile: every subscriber can connect
LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
                QoSPolicyKind.DURABILITY)


def create_publisher(node: Node, kind: type, topic: str, qos: QoSProfile = RESULT_QOS,
                     steady: bool = False) -> Any:
    """A publisher that is silent while its node is a lifecycle node and not active.

    Args:
        node: That gets it.
        kind: Of the messages.
        topic: Its name.
        qos: What the parameters `qos_overrides.TOPIC.publisher.*` do not say otherwise.
        steady: Whether it speaks in every state.
    """
    create = node.create_publisher
    if not steady:
        create = getattr(node, "create_lifecycle_publisher", create)
    return create(kind, topic, copy.copy(qos),  # overrides are written into it
                  qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE))


def destroy_publisher(node: Node, publisher: Any) -> None:
    """Remove a publisher of `create_publisher`."""
    getattr(node, "destroy_lifecycle_publisher", node.destroy_publisher)(publisher)


def publish_in_background() -> None:
    """Have Fast DDS send messages in a thread of its own; before rclpy.init.

    rclpy holds the interpreter while it publishes: what a subscriber that does not keep up with
    large messages costs, 0.2 s a message and more, would be paid by every thread of the node. Other
    middleware does not read this, and who has set it already is obeyed.
    """
    os.environ.setdefault("RMW_FASTRTPS_PUBLICATION_MODE", "ASYNCHRONOUS")
