"""The outputs that need depth: ~/target_pose, ~/target_cloud, ~/detections_3d, ~/predicted_pose.

    track(result)                         the states, for each answered frame
    frame_answered(result, header, rgb)   afterwards, once its mask is out
    depth, camera_info                    subscribed to here, joined by stamp

Poses carry the image's stamp and are silent unless measured on that very image: silence is how a
consumer such as Nav2's FollowObject learns of a loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from samwise_ros.ros.depth_sync import DepthPair, DepthSync
from samwise_ros.ros.image_codec import image_to_depth
from samwise_ros.ros.localization import (
    Localization,
    LocalizationSettings,
    TooFewPixelsError,
    localize,
    pinhole_from_info,
)
from samwise_ros.ros.localization_messages import (
    Detection3DArray,
    cloud_to_msg,
    detections_3d_to_msg,
    pose_to_msg,
)
from samwise_ros.ros.target_tracker import (
    MotionPredictor,
    TargetTrackers,
    TrackSettings,
    TrackState,
)
from samwise_ros.ros.transforms import TransformLookup
from samwise_ros.structures import FrameResult, SamwiseError, TargetResult

_INPUT_QOS = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_POSE_QOS = QoSProfile(depth=1)  # reliable: Nav2 asks for that, and only the newest pose counts
_RESULT_QOS = QoSProfile(depth=5)
_WAITING = 10  # answers and depth images kept for one another
_LOG_PERIOD = 1.0  # seconds between two lines from one place
_IDLE_LOG_PERIOD = 10.0
_PRESENT = (TrackState.TRACKING, TrackState.REACQUIRED)


@dataclass(frozen=True)
class TargetOutputSettings:
    """How targets are placed in space.

    Attributes:
        rectified: Whether images are rectified, see `pinhole_from_info`.
        slop: Seconds by which the stamps of image and depth may differ; 0: not at all.
        target_frame: Frame of the outputs; empty: the camera's.
        predict: Whether ~/predicted_pose is published.
        localization, track: See there.
    """

    rectified: bool = False
    slop: float = 0.0
    target_frame: str = ""
    predict: bool = False
    localization: LocalizationSettings = field(default_factory=LocalizationSettings)
    track: TrackSettings = field(default_factory=TrackSettings)


@dataclass(frozen=True)
class _Answer:
    """An answered frame that waits for its depth: what is there to be placed."""

    header: Header
    targets: tuple[TargetResult, ...]
    primary: tuple[str, int] | None
    rgb: np.ndarray | None


class TargetPublisher:
    """Places the targets of one camera in space and publishes them.

    Args:
        node: Everything is created on it; lifecycle publishers where it is a lifecycle node.
        settings: How.

    Attributes:
        states: State of each target after the last frame, by id.
        error: Why the last frame with depth could not be placed; empty when it could.

    Raises:
        MissingDependencyError: A `target_frame` without tf2_ros.
    """

    def __init__(self, node: Node, settings: TargetOutputSettings = TargetOutputSettings()) -> None:
        self.states: dict[str, TrackState] = {}
        self.error = ""
        self._node = node
        self._settings = settings
        self._trackers = TargetTrackers(settings.track)
        self._sync: DepthSync[_Answer, Image, CameraInfo] = DepthSync(
            round(settings.slop * 1e9), _WAITING)
        self._predictor = MotionPredictor() if settings.predict else None
        self._lookup = (TransformLookup(node, settings.target_frame) if settings.target_frame
                        else None)
        self._has_depth = self._has_info = False
        self._primary: tuple[str, int] | None = None  # id and command
        self._subscriptions: list[Any] = []
        self._group = MutuallyExclusiveCallbackGroup()
        self._pose = self._create(PoseStamped, "target_pose", _POSE_QOS)
        self._cloud = self._create(PointCloud2, "target_cloud", _RESULT_QOS)
        self._detections = (None if Detection3DArray is None else
                            self._create(Detection3DArray, "detections_3d", _RESULT_QOS))
        self._predicted = (None if self._predictor is None else
                           self._create(PoseStamped, "predicted_pose", _POSE_QOS))

    def start(self) -> None:
        """Forget what was and subscribe to depth and camera_info."""
        self.reset()
        for kind, topic, store in ((Image, "depth", self._on_depth),
                                   (CameraInfo, "camera_info", self._on_info)):
            self._subscriptions.append(self._node.create_subscription(
                kind, topic, store, _INPUT_QOS, callback_group=self._group))

    def stop(self) -> None:
        """Unsubscribe."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def destroy(self) -> None:
        """Unsubscribe and remove the publishers."""
        self.stop()
        if self._lookup is not None:
            self._lookup.close()
        destroy = getattr(self._node, "destroy_lifecycle_publisher", self._node.destroy_publisher)
        for publisher in (self._pose, self._cloud, self._detections, self._predicted):
            if publisher is not None:
                destroy(publisher)

    def reset(self) -> None:
        """Forget states and what waits, as after a jump of the clock or another size of image."""
        self._trackers.reset()
        self._sync.reset()
        self._has_depth = self._has_info = False
        if self._predictor is not None:
            self._predictor.reset()

    def set_thresholds(self, settings: TrackSettings) -> None:
        """Use other thresholds from the next frame on."""
        self._trackers.set(settings)

    def track(self, result: FrameResult) -> dict[str, TrackState]:
        """Take in the answer to a frame; the state of each of its targets by id."""
        self.states = self._trackers.update(result)
        return self.states

    def frame_answered(self, result: FrameResult, header: Header, rgb: np.ndarray) -> None:
        """Publish poses for a tracked frame, now or once its depth is there.

        Args:
            result: The session's answer, the one that `track` has seen last.
            header: Of the image.
            rgb: uint8 [H, W, 3], the image; kept (not copied) while the frame waits.
        """
        primary = next(((first.target_id, first.command) for first in result.targets), None)
        if primary != self._primary and self._predictor is not None:
            self._predictor.reset()
        self._primary = primary
        # Without a depth camera nothing waits, and nothing is kept.
        if self._has_depth and self._wanted():
            found = tuple(target for target in result.targets
                          if target.area and self.states[target.target_id] in _PRESENT)
            kept = rgb if self._cloud.get_subscription_count() else None
            self._publish(self._sync.add_answer(_nanoseconds(header), _Answer(
                header, found, primary, kept)))
            self._warn_without_info()

    def _warn_without_info(self) -> None:
        if not self._has_info:
            self._node.get_logger().warning(
                "depth comes, but no camera_info on "
                f"{self._node.resolve_topic_name('camera_info')}: check the name and the remapping",
                throttle_duration_sec=_IDLE_LOG_PERIOD)

    def _wanted(self) -> bool:
        """Whether anyone listens to any of the outputs."""
        return any(publisher is not None and publisher.get_subscription_count()
                   for publisher in (self._pose, self._cloud, self._detections, self._predicted))

    def _create(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        create = getattr(self._node, "create_lifecycle_publisher", self._node.create_publisher)
        return create(kind, f"~/{topic}", qos)

    def _on_depth(self, depth: Image) -> None:
        self._has_depth = True
        self._publish(self._sync.add_depth(_nanoseconds(depth.header), depth))

    def _on_info(self, info: CameraInfo) -> None:
        self._has_info = True
        self._publish(self._sync.add_info(_nanoseconds(info.header), info))

    def _publish(self, pair: DepthPair[_Answer, Image, CameraInfo] | None) -> None:
        """Publish everything about a frame; a failure is named and leaves the frame out."""
        if pair is None:
            return
        try:
            header, found = self._place(pair)
        except SamwiseError as error:
            self.error = f"targets not placed: {error}"
            self._node.get_logger().error(self.error, throttle_duration_sec=_LOG_PERIOD)
            return
        self.error = ""
        if self._detections is not None:
            self._detections.publish(detections_3d_to_msg(found, header))
        place = next((place for target, place in found
                      if (target.target_id, target.command) == pair.answer.primary), None)
        if place is not None:
            self._pose.publish(pose_to_msg(place.position, header))
            if pair.answer.rgb is not None:
                self._cloud.publish(cloud_to_msg(place, pair.answer.rgb, header))
        self._predict(header, place)

    def _place(self, pair: DepthPair[_Answer, Image, CameraInfo]
               ) -> tuple[Header, Sequence[tuple[TargetResult, Localization]]]:
        """The targets with enough depth, in the wanted frame. Raises SamwiseError."""
        header = pair.answer.header
        camera = pinhole_from_info(pair.info, self._settings.rectified)
        depth = image_to_depth(pair.depth)
        found = []
        for target in pair.answer.targets:
            try:
                found.append((target, localize(target.mask, depth, camera,
                                               self._settings.localization)))
            except TooFewPixelsError as error:
                self._node.get_logger().debug(f"{target.target_id}: {error}")
        if self._lookup is None or not found:
            return header, found
        transform = self._lookup.at(header)
        moved = [(target, place.transformed(transform.rotation, transform.translation))
                 for target, place in found]
        return Header(stamp=header.stamp, frame_id=self._lookup.target_frame), moved

    def _predict(self, header: Header, place: Localization | None) -> None:
        """Publish where the primary target should be now, stamped now."""
        if self._predictor is None:
            return
        if place is not None:
            self._predictor.add(_nanoseconds(header) * 1e-9, place.position)
        now = self._node.get_clock().now()
        prediction = self._predictor.predict(now.nanoseconds * 1e-9)
        if prediction is not None:
            frame = self._settings.target_frame or header.frame_id
            self._predicted.publish(pose_to_msg(
                prediction.position, Header(stamp=now.to_msg(), frame_id=frame)))


def _nanoseconds(header: Header) -> int:
    return Time.from_msg(header.stamp).nanoseconds
