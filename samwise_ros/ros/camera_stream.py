"""One camera of the node: subscription, session, worker thread and publishers."""

import traceback

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNodeMixin
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image

from samwise_ros.ros.conversions import Detection2DArray, TargetArray, result_to_msgs
from samwise_ros.ros.engine import Session
from samwise_ros.ros.image_codec import image_to_rgb
from samwise_ros.ros.mailbox import Mailbox
from samwise_ros.ros.monitor import StreamMonitor
from samwise_ros.ros.worker import FrameWorker
from samwise_ros.structures import CommandError, SamwiseError

RESULT_QOS = QoSProfile(depth=5)  # reliable and volatile: every subscriber can connect
IMAGE_QOS = {  # depth 1: more would let the middleware queue old frames
    "sensor_data": QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT),
    "reliable": QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE),
}
_STOP_TIMEOUT = 10.0  # seconds for the frame in work
_LOG_PERIOD = 1.0  # seconds between two lines from one place


class CameraStream:
    """Answers the newest image of one topic, each answer with the image's own header.

    Args:
        node: The lifecycle node that everything is created on. Its publishers are silent while it
            is not active.
        session: What is remembered for this camera; stepped in the worker's thread only.
        image_qos: A key of `IMAGE_QOS`.
    """

    def __init__(self, node: LifecycleNodeMixin, session: Session, image_qos: str) -> None:
        self.session = session
        self.monitor = StreamMonitor()
        self.command = 0
        self._node = node
        self._image_qos = IMAGE_QOS[image_qos]
        self._mailbox: Mailbox[Image] = Mailbox()
        self._worker: FrameWorker[Image] | None = None
        self._subscription = None
        self._group = MutuallyExclusiveCallbackGroup()
        self._publishers = {"mask": self._create_publisher(Image, "~/mask")}
        if TargetArray is not None:
            self._publishers["targets"] = self._create_publisher(TargetArray, "~/targets")
        if Detection2DArray is not None:
            self._publishers["detections"] = self._create_publisher(
                Detection2DArray, "~/detections")

    @property
    def dropped(self) -> int:
        """Images that were replaced by a newer one before their turn, since `start`."""
        return self._mailbox.dropped

    def start(self) -> None:
        """Forget old frames, subscribe and answer."""
        self.session.reset()
        self.monitor = StreamMonitor()
        self._mailbox = Mailbox()
        self._worker = FrameWorker(self._mailbox, self.process, self._frame_failed)
        self._worker.start()
        self._subscription = self._node.create_subscription(
            Image, "image", self._on_image, self._image_qos, callback_group=self._group)

    def stop(self) -> None:
        """Unsubscribe and wait for the frame in work."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None and not self._worker.stop(_STOP_TIMEOUT):
            self._node.get_logger().warning(
                f"a frame is still in work after {_STOP_TIMEOUT:.0f} s; its answer is dropped")
        self._worker = None

    def destroy(self) -> None:
        """Stop and remove the publishers."""
        self.stop()
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}

    def submit(self, text: str) -> None:
        """Hand a command to the session; a refusal goes to the log and the status."""
        try:
            self.command = self.session.submit(text)
        except CommandError as error:
            self.monitor.command_failed(f"command refused: {error}")
            self._node.get_logger().error(f"command refused: {error}",
                                          throttle_duration_sec=_LOG_PERIOD)
            return
        self._node.get_logger().info(f"command {self.command}: {text[:200]!r}")

    def process(self, image: Image) -> None:
        """Answer one image: decode, step, publish. Runs in the worker's thread."""
        result = self.session.step(image_to_rgb(image), image.header)
        messages = result_to_msgs(result, image.header)
        for name, publisher in self._publishers.items():
            publisher.publish(getattr(messages, name))
        age = self._node.get_clock().now() - Time.from_msg(
            image.header.stamp, clock_type=self._node.get_clock().clock_type)
        self.monitor.frame_answered(age.nanoseconds * 1e-9)

    def _create_publisher(self, message_type: type, topic: str) -> object:
        return self._node.create_lifecycle_publisher(message_type, topic, RESULT_QOS)

    def _on_image(self, image: Image) -> None:
        self.monitor.image_received()
        self._mailbox.put(image)

    def _frame_failed(self, error: Exception) -> None:
        """Name the failure; the session is as it was before the frame."""
        if isinstance(error, SamwiseError):
            reason = f"frame not answered: {error}"
        else:
            reason = f"frame not answered: {type(error).__name__}: {error}"
            self._node.get_logger().debug(traceback.format_exc())
        self.monitor.frame_failed(reason)
        self._node.get_logger().error(reason, throttle_duration_sec=_LOG_PERIOD)
