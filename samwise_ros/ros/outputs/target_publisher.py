"""The outputs that need depth: ~/target_pose, ~/target_cloud, ~/detections_3d, ~/predicted_pose.

depth and camera_info are subscribed to here and joined with the answers by stamp. Poses carry the
image's stamp and are silent unless measured on that very image: silence is how a consumer such as
Nav2's FollowObject learns of a loss.
"""

import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from samwise_ros.messages.depth_sync import DepthPair, DepthSync, nanoseconds
from samwise_ros.messages.localization import Localization
from samwise_ros.messages.placing import place_targets, primary_key
from samwise_ros.ros.inputs.tf_lookup import TransformLookup
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.outputs.conversions import (
    Detection3DArray,
    cloud_to_msg,
    detections_3d_to_msg,
    pose_to_msg,
)
from samwise_ros.ros.outputs.motion_predictor import MotionPredictor
from samwise_ros.ros.outputs.output_settings import MEASURED, OutputSettings
from samwise_ros.ros.outputs.publishers import RESULT_QOS, create_publisher, destroy_publisher
from samwise_ros.ros.outputs.sender import Sender
from samwise_ros.structures import FrameResult, SamwiseError, TargetResult

_INPUT_QOS = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_POSE_QOS = QoSProfile(depth=1)  # reliable: Nav2 asks for that, and only the newest pose counts
_WAITING = 10  # answers and depth images kept for one another


@dataclass(frozen=True)
class _WaitingFrame:
    """An answered frame that waits for its depth: what is there to be placed."""

    header: Header
    targets: tuple[TargetResult, ...]
    primary: tuple[str, int] | None
    rgb: np.ndarray | None


@dataclass
class _Order:
    """What holds from one reset to the next: stamp [ns] of the newest frame that was placed."""

    newest: int | None = None


class TargetPublisher:
    """Places the targets of one camera in space and publishes them.

    Args:
        node: Everything is created on it; lifecycle publishers where it is a lifecycle node.
        settings: How.
        sender: Where frames are placed and published.
        prefix: Of the outputs; "~/front" also makes the inputs front/depth and front/camera_info.

    Attributes:
        error: Why the last frame with depth could not be placed; empty when it could.

    Raises:
        MissingDependencyError: A `target_frame` without tf2_ros.
    """

    def __init__(self, node: Node, settings: OutputSettings, sender: Sender, prefix: str = "~"
                 ) -> None:
        self.error = ""
        self._node = node
        self._log, self._notices = LimitedLog(node), LimitedLog(node, seconds=10.0)
        self._sender = sender
        self._settings = settings
        self._prefix = prefix
        self._sync: DepthSync[_WaitingFrame, Image, CameraInfo] = DepthSync(
            None if settings.depth_slop == MEASURED else round(settings.depth_slop * 1e9), _WAITING)
        self._order = _Order()
        self._predictor = MotionPredictor() if settings.predict else None
        self._predictor_lock = threading.Lock()  # the sender adds, the worker resets
        self._lookup = (TransformLookup(node, settings.target_frame, camera=prefix.lstrip("~/"))
                        if settings.target_frame else None)
        self._has_depth = self._has_info = False
        self._unmatched = 0  # of the sync, when the last pair came
        self._unpaired = self._unplaced = ""  # why there is no pose
        self._primary: tuple[str, int] | None = None  # id and command
        self._subscriptions: list[Any] = []
        self._group = MutuallyExclusiveCallbackGroup()
        self._pose = self._create(PoseStamped, "target_pose", _POSE_QOS)
        self._cloud = self._create(PointCloud2, "target_cloud", RESULT_QOS)
        self._detections = (None if Detection3DArray is None else
                            self._create(Detection3DArray, "detections_3d", RESULT_QOS))
        self._predicted = (None if self._predictor is None else
                           self._create(PoseStamped, "predicted_pose", _POSE_QOS))

    @property
    def notice(self) -> str:
        """Why masks and depth give no pose though nothing failed; empty when there is one."""
        return self._unpaired or self._unplaced

    def start(self) -> None:
        """Forget what was and subscribe to depth and camera_info."""
        self.reset()
        for kind, topic, store in ((Image, "depth", self._on_depth),
                                   (CameraInfo, "camera_info", self._on_info)):
            self._subscriptions.append(self._node.create_subscription(
                kind, self._input(topic), store, _INPUT_QOS, callback_group=self._group))

    def stop(self) -> None:
        """Unsubscribe."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def destroy(self) -> None:
        """Unsubscribe and remove the publishers."""
        self.stop()
        if self._lookup is not None:
            self._lookup.close()
        for publisher in (self._pose, self._cloud, self._detections, self._predicted):
            if publisher is not None:
                destroy_publisher(self._node, publisher)

    def reset(self) -> None:
        """Forget what waits, as after a jump of the clock or another size of image."""
        self._order = _Order()
        self._sync.reset()
        self._has_depth = self._has_info = False
        self._unmatched = self._sync.unmatched
        self.error = self._unpaired = self._unplaced = ""
        self._forget_motion()
        if self._lookup is not None:
            self._lookup.reset()

    def frame_answered(self, result: FrameResult, header: Header, rgb: np.ndarray) -> None:
        """Publish poses for a frame, now or once its depth is there.

        Args:
            result: The session's answer.
            header: Of the image.
            rgb: uint8 [H, W, 3], the image; kept (not copied) while the frame waits.
        """
        primary = primary_key(result.targets)
        if primary != self._primary:
            self._forget_motion()
        self._primary = primary
        # Without a depth camera nothing waits, and nothing is kept.
        if self._has_depth and self._wanted():
            found = tuple(target for target in result.targets if target.area)
            kept = rgb if self._cloud.get_subscription_count() else None
            self._publish(self._sync.add_answer(nanoseconds(header.stamp), _WaitingFrame(
                header, found, primary, kept)))
            separation = self._separation()
            self._unpaired = separation and f"depth comes, but {separation}"
            if separation:
                self._notices.warning(
                    self._unpaired, "depth" if self._has_info else "camera_info")
        else:
            self._unpaired = self._unplaced = ""

    def _separation(self) -> str:
        """What keeps masks and depth apart; empty when nothing does."""
        if not self._has_info:
            topic = self._node.resolve_topic_name(self._input("camera_info"))
            return f"no camera_info on {topic}: check the name and the remapping"
        if self._sync.unmatched <= self._unmatched + _WAITING:
            return ""
        offset = self._sync.offset
        nearest = "" if offset is None else f" (the nearest is {offset * 1e-6:+.1f} ms away)"
        return (f"none within {self._sync.slop * 1e-9:.2g} s of an image{nearest}: set depth_slop "
                "above the cameras' offset, and check that both have stamps of one clock")

    def _forget_motion(self) -> None:
        if self._predictor is not None:
            with self._predictor_lock:
                self._predictor.reset()

    def _input(self, topic: str) -> str:
        return f"{self._prefix.lstrip('~')}/{topic}".lstrip("/")

    def _wanted(self) -> bool:
        """Whether anyone listens to any of the outputs."""
        return any(publisher is not None and publisher.get_subscription_count()
                   for publisher in (self._pose, self._cloud, self._detections, self._predicted))

    def _create(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        return create_publisher(self._node, kind, f"{self._prefix}/{topic}", qos)

    def _on_depth(self, depth: Image) -> None:
        self._has_depth = True
        self._publish(self._sync.add_depth(nanoseconds(depth.header.stamp), depth))

    def _on_info(self, info: CameraInfo) -> None:
        self._has_info = True
        self._publish(self._sync.add_info(nanoseconds(info.header.stamp), info))

    def _publish(self, pair: DepthPair[_WaitingFrame, Image, CameraInfo] | None) -> None:
        """Have everything about a frame published, unless a newer one overtakes it."""
        if pair is not None:
            self._unmatched = self._sync.unmatched
            order = self._order
            self._sender.put("places", lambda: self._send(pair, order), newest_only=True)

    def _send(self, pair: DepthPair[_WaitingFrame, Image, CameraInfo], order: _Order) -> None:
        """Publish everything about a frame; a failure is named and leaves the frame out."""
        stamp = nanoseconds(pair.answer.header.stamp)
        # Depth may come late: a pose that is older than the last one would take its place.
        if order is not self._order or (order.newest is not None and stamp < order.newest):
            return
        order.newest = stamp
        try:
            header, found, place = self._place(pair)
        except Exception as error:  # noqa: BLE001  named with what it is about
            named = "" if isinstance(error, SamwiseError) else f"{type(error).__name__}: "
            self.error = f"targets not placed: {named}{error}"
            self._log.error(self.error)
            if named:
                self._node.get_logger().debug(traceback.format_exc())
            return
        self.error = ""
        if self._detections is not None:
            self._detections.publish(detections_3d_to_msg(found, header))
        if place is not None:
            self._pose.publish(pose_to_msg(place.position, header))
            if pair.answer.rgb is not None:
                self._cloud.publish(cloud_to_msg(place, pair.answer.rgb, header))
        if pair.answer.primary == self._primary:
            self._predict(header, place)

    def _place(self, pair: DepthPair[_WaitingFrame, Image, CameraInfo]
               ) -> tuple[Header, Sequence[tuple[TargetResult, Localization]], Localization | None]:
        """The targets with enough depth, and the primary one of them, in the wanted frame.

        Raises SamwiseError.
        """
        header, settings = pair.answer.header, self._settings
        placed = place_targets(pair.answer.targets, pair.depth, pair.info, settings.rectified,
                               settings.localization)
        self._unplaced = placed.unplaced and f"no pose of {placed.unplaced}"
        if self._unplaced:
            self._notices.warning(self._unplaced, "poses")
        if self._lookup is not None and placed.found:
            transform = self._lookup.at(header)
            placed = replace(placed, found=tuple(
                (target, place.transformed(transform.rotation, transform.translation))
                for target, place in placed.found))
            header = Header(stamp=header.stamp, frame_id=self._lookup.target_frame)
        return header, placed.found, placed.of(pair.answer.primary)

    def _predict(self, header: Header, place: Localization | None) -> None:
        """Publish where the primary target should be now, stamped now."""
        if self._predictor is None or self._predicted is None:
            return
        now = self._node.get_clock().now()
        with self._predictor_lock:
            if place is not None:
                self._predictor.add(nanoseconds(header.stamp) * 1e-9, place.position)
            prediction = self._predictor.predict(now.nanoseconds * 1e-9)
        if prediction is not None:
            frame = self._settings.target_frame or header.frame_id
            self._predicted.publish(pose_to_msg(
                prediction.position, Header(stamp=now.to_msg(), frame_id=frame)))
