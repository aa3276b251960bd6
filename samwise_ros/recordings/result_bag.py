"""A new recording of what the node would have published about another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcap.writer import Writer

from samwise_ros.messages.localization import Localization
from samwise_ros.messages.place_messages import cloud_to_msg, detections_3d_to_msg, pose_to_msg
from samwise_ros.messages.result_messages import (
    detections_to_msg,
    label_info_to_msg,
    label_key,
    labels_to_msg,
    mask_to_msg,
    primary_mask,
    targets_to_msg,
)
from samwise_ros.recordings.camera import AnsweredFrame, CameraTopics, PlacedFrame, primary_place
from samwise_ros.recordings.message_types import MessageTypes
from samwise_ros.streaming.label_map import LabelMap, paint_labels
from samwise_ros.structures import ConfigError

_NODE = "/samwise"
_RESULTS = {"mask": "sensor_msgs/msg/Image", "label_mask": "sensor_msgs/msg/Image",
            "label_info": "vision_msgs/msg/LabelInfo", "targets": "samwise_ros/msg/TargetArray",
            "detections": "vision_msgs/msg/Detection2DArray"}
_PLACES = {"target_pose": "geometry_msgs/msg/PoseStamped",
           "target_cloud": "sensor_msgs/msg/PointCloud2",
           "detections_3d": "vision_msgs/msg/Detection3DArray"}


class ResultBag:
    """Writes an MCAP file with the node's topics: `/samwise/mask`, or `/samwise/CAMERA/mask`.

    Headers are the images'. A message's time is that of the message it answers, so that both
    recordings play side by side. The same input gives the same bytes.

    Args:
        path: Of the new file.
        types: Makes and writes messages.
        cameras: That will be answered; of several each has its name in its topics.
        threshold: Score from which a target counts as there.

    Raises:
        ConfigError: The file exists or cannot be written.
    """

    def __init__(self, path: Path, types: MessageTypes, cameras: Sequence[CameraTopics],
                 threshold: float) -> None:
        self.path = path
        self._types, self._threshold = types, threshold
        self._empty = True
        self._labels = {camera.name: LabelMap() for camera in cameras}
        self._label_keys: dict[str, tuple] = {}
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written as a new file ({error.strerror})"
                              ) from error
        self._writer = Writer(self._file)
        self._writer.start("ros2", "samwise_ros")
        self._channels: dict[tuple[str, str], int] = {}
        schemas: dict[str, int] = {}
        for camera in cameras:
            below = f"{_NODE}/{camera.name}" if len(cameras) > 1 else _NODE
            for name, kind in (_RESULTS | (_PLACES if camera.depth else {})).items():
                if kind not in schemas:
                    schemas[kind] = self._writer.register_schema(
                        kind, "ros2msg", types.definition(kind)[0].encode())
                self._channels[camera.name, name] = self._writer.register_channel(
                    f"{below}/{name}", "cdr", schemas[kind],
                    {"offered_qos_profiles": "", "topic_type_hash": types.definition(kind)[1]})

    def add(self, event: AnsweredFrame | PlacedFrame) -> None:
        """Write all messages about a frame."""
        if isinstance(event, PlacedFrame):
            self._add_places(event)
        else:
            self._add_results(event)

    def close(self) -> None:
        """Finish the file; without a message nothing stays behind."""
        self._writer.finish()
        self._file.close()
        if self._empty:
            self.path.unlink()

    def _add_results(self, event: AnsweredFrame) -> None:
        make, result, header = self._types.make, event.result, event.header
        labels = self._labels[event.camera].update([t.target_id for t in result.targets])
        self._write(event, "mask", mask_to_msg(make, primary_mask(result), header))
        self._write(event, "label_mask",
                    labels_to_msg(make, paint_labels(result, labels), header))
        self._write(event, "targets", targets_to_msg(make, result, labels, header))
        key = label_key(result, labels, self._threshold)
        if key != self._label_keys.get(event.camera):
            self._label_keys[event.camera] = key
            self._write(event, "label_info",
                        label_info_to_msg(make, result, labels, self._threshold, header))
        self._write(event, "detections", detections_to_msg(make, result, header))

    def _add_places(self, event: PlacedFrame) -> None:
        make, answered = self._types.make, event.answered
        self._write(answered, "detections_3d",
                    detections_3d_to_msg(make, event.placed.found, answered.header), event.logged)
        place: Localization | None = primary_place(event)
        if place is not None:
            self._write(answered, "target_pose",
                        pose_to_msg(make, place.position, answered.header), event.logged)
            self._write(answered, "target_cloud",
                        cloud_to_msg(make, place, answered.frame.rgb, answered.header),
                        event.logged)

    def _write(self, event: AnsweredFrame, name: str, message: Any,
               logged: int | None = None) -> None:
        self._empty = False
        time = event.logged if logged is None else logged
        self._writer.add_message(self._channels[event.camera, name], time,
                                 self._types.write(message), time)
