"""Which topics of a recording are cameras, and which belong to one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samwise_ros.recordings.camera import IMAGE_TYPES, CameraTopics
from samwise_ros.recordings.files import Recording, Topic
from samwise_ros.recordings.message_types import MessageTypes
from samwise_ros.structures import ConfigError, FrameError

INFO_TYPE = "sensor_msgs/msg/CameraInfo"


@dataclass(frozen=True)
class ShownTopic:
    """A topic for people; `content`: what its first message says."""

    topic: Topic
    content: str


def shown_topics(recording: Recording, types: MessageTypes) -> list[ShownTopic]:
    """Topics with images (depth images, too) and with camera_info."""
    return [ShownTopic(topic, _content(recording, types, topic))
            for topic in recording.topics.values()
            if topic.type in IMAGE_TYPES or topic.type == INFO_TYPE]


def _content(recording: Recording, types: MessageTypes, topic: Topic) -> str:
    record = next(recording.records([topic.name]), None)
    if record is None:
        return "no message"
    try:
        message = types.read(record[3], topic.type)
    except FrameError as error:
        return str(error)
    size = f"{message.width}x{message.height}" if hasattr(message, "width") else ""
    return " ".join(filter(None, (size, getattr(message, "encoding", ""),
                                  getattr(message, "format", ""))))


def choose_cameras(topics: Mapping[str, Topic], images: Sequence[str], depths: Sequence[str] = (),
                   infos: Sequence[str] = ()) -> list[CameraTopics]:
    """Topics of the cameras that are asked for.

    Args:
        topics: Of the recording, by name.
        images: One for each camera.
        depths, infos: None at all, or one for each camera, in the order of `images`; empty for a
            camera that has none.

    Raises:
        ConfigError: A topic is not there or of another type, or the numbers do not fit.
    """
    for name, given in (("--depth-topic", depths), ("--info-topic", infos)):
        if given and len(given) != len(images):
            raise ConfigError(f"{name}: expected one for each of {len(images)} --topic in their "
                              f"order ('' for none), got {len(given)}")
    if bool(any(depths)) != bool(any(infos)):
        raise ConfigError("--depth-topic and --info-topic need each other: a place in space needs "
                          "depth and the camera's calibration")
    if len(set(images)) != len(images):
        raise ConfigError("--topic: the same topic is given twice")
    cameras = [CameraTopics(_name_of(image), image, depth, info) for image, depth, info in zip(
        images, depths or [""] * len(images), infos or [""] * len(images), strict=True)]
    for camera in cameras:
        _check(topics, camera.image, tuple(IMAGE_TYPES))
        if camera.depth:
            _check(topics, camera.depth, ("sensor_msgs/msg/Image",))
        if camera.info:
            _check(topics, camera.info, (INFO_TYPE,))
    return cameras


def _check(topics: Mapping[str, Topic], name: str, kinds: tuple[str, ...]) -> None:
    if name in topics and topics[name].type in kinds:
        return
    found = ", ".join(topic.name for topic in topics.values() if topic.type in kinds) or "none"
    got = f"it is {topics[name].type}" if name in topics else "it is not there"
    raise ConfigError(f"{name}: expected a topic of type {' or '.join(kinds)}, {got}; the "
                      f"recording has {found}")


def _name_of(topic: str) -> str:
    """A name of letters, digits and _ that begins with a letter, for folders and topics."""
    name = re.sub(r"\W+", "_", topic, flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"camera_{name}"
