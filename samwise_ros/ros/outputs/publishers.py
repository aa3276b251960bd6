"""Publishers of results, on lifecycle nodes and on plain ones."""

import copy
import ctypes
import functools
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSPolicyKind, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import serialize_message

RESULT_QOS = QoSProfile(depth=5)  # reliable and volatile: every subscriber can connect
LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
                QoSPolicyKind.DURABILITY)


class ResultTopic:
    """A topic that is published on without holding the interpreter meanwhile.

    A reliable subscriber that does not keep up with large messages (a laptop that sleeps, a process
    in a debugger) can hold who publishes for a second, and rclpy's publishers would have every
    thread of the node wait then, the model's first of all. Called by ctypes, rcl waits in the
    calling thread alone.

    Args:
        publisher: Of rclpy; of a lifecycle node, it is silent while that is not active.
    """

    def __init__(self, publisher: Any) -> None:
        self.publisher = publisher

    def publish(self, message: Any) -> None:
        """Send a message. Raises RuntimeError when the middleware does not take it."""
        if not getattr(self.publisher, "is_activated", True):
            return
        data = serialize_message(message)
        array = _SerializedMessage(data, len(data), len(data))
        handle = self.publisher.handle
        with handle:  # not destroyed meanwhile
            status = _rcl().rcl_publish_serialized_message(handle.pointer, ctypes.byref(array),
                                                           None)
        if status:
            raise RuntimeError(f"rcl_publish_serialized_message returned {status}")

    def get_subscription_count(self) -> int:
        """Subscriptions that have been matched."""
        return self.publisher.get_subscription_count()


class _SerializedMessage(ctypes.Structure):
    """rcl_serialized_message_t (rcutils/types/uint8_array.h); publishing uses no allocator."""

    _fields_ = (("buffer", ctypes.c_char_p), ("buffer_length", ctypes.c_size_t),
                ("buffer_capacity", ctypes.c_size_t), ("allocator", ctypes.c_void_p * 5))


@functools.cache
def _rcl() -> ctypes.CDLL:
    """The library that rclpy has loaded."""
    library = ctypes.CDLL("librcl.so")
    library.rcl_publish_serialized_message.argtypes = (ctypes.c_void_p,) * 3
    return library


def create_publisher(node: Node, kind: type, topic: str, qos: QoSProfile = RESULT_QOS,
                     steady: bool = False) -> ResultTopic:
    """A topic that is silent while its node is a lifecycle node and not active.

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
    return ResultTopic(create(
        kind, topic, copy.copy(qos),  # overrides are written into it
        qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE)))


def destroy_publisher(node: Node, topic: ResultTopic) -> None:
    """Remove what `create_publisher` made."""
    getattr(node, "destroy_lifecycle_publisher", node.destroy_publisher)(topic.publisher)
