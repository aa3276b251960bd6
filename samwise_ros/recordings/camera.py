"""One camera of a recording, answered as the node answers it with `process_all`: every image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from samwise_ros.messages.compressed_codec import compressed_to_rgb
from samwise_ros.messages.depth_sync import DepthPair, DepthSync, nanoseconds
from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.messages.localization import LocalizationSettings
from samwise_ros.messages.placing import PlacedTargets, place_targets, primary_key
from samwise_ros.recordings.message_types import MessageTypes
from samwise_ros.streaming.reset_policy import ResetPolicy
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.streaming.video_io import Frame
from samwise_ros.structures import Command, CommandError, FrameError, FrameResult, SamwiseError

IMAGE_TYPES: dict[str, Callable[[Any], np.ndarray]] = {
    "sensor_msgs/msg/Image": image_to_rgb,
    "sensor_msgs/msg/CompressedImage": compressed_to_rgb}
_IMAGE, _INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
_WAITING = 10  # answers and depth images kept for one another, as in the node


@dataclass(frozen=True)
class CameraTopics:
    """Where a camera's messages are. `depth` and `info` are empty where there are none."""

    name: str
    image: str
    depth: str = ""
    info: str = ""


@dataclass(frozen=True)
class CameraSettings:
    """As the node's parameters of these names.

    `first`: number of the first image that is searched; `frames`: images to answer, None for all.
    """

    rectified: bool = False
    depth_slop: float = 0.015
    reset_after_gap: float = 10.0
    frames: int | None = None
    first: int = 0


@dataclass(frozen=True)
class AnsweredFrame:
    """The answer to one image.

    Attributes:
        camera: Name of the camera.
        frame: The image; `stamp` is the header's.
        header: Of the image.
        result: The session's answer.
        logged: When the image was recorded [ns].
        latency: Seconds that decoding and the answer took.
        reset: Why memory was reset before this frame; empty: it was not.
    """

    camera: str
    frame: Frame
    header: Any
    result: FrameResult
    logged: int
    latency: float
    reset: str


@dataclass(frozen=True)
class PlacedFrame:
    """An answered frame with the places of its targets; `logged`: when it was complete [ns]."""

    answered: AnsweredFrame
    placed: PlacedTargets
    logged: int


class RecordedCamera:
    """Takes the messages of one camera's topics and answers them.

    Args:
        topics: Its topics.
        types: Reads messages.
        session: That nothing was asked of yet. commands: Given to it.
        settings: How.

    Attributes:
        topics: As given.
        faults: What could not be used, by stamp or number of the message, and why.
        notices: Why targets with a mask have no pose, with the frames that it happened to.
        answered: Number of answered images.
    """

    def __init__(self, topics: CameraTopics, types: MessageTypes, session: StreamingSession,
                 commands: Sequence[Command], settings: CameraSettings) -> None:
        self.topics = topics
        self.faults: dict[str, str] = {}
        self.notices: dict[str, str] = {}
        self.answered = 0
        self._types, self._session, self._settings = types, session, settings
        self._commands = list(commands)  # that are still to be given
        self._resets = ResetPolicy(settings.reset_after_gap)
        self._sync: DepthSync[AnsweredFrame, Any, Any] = DepthSync(
            round(settings.depth_slop * 1e9), _WAITING)
        self._number = 0  # of the next image
        self._first: int | None = None  # stamp
        self._newest: int | None = None  # stamp of the last placed frame

    @property
    def done(self) -> bool:
        """Whether as many images were taken as were wanted."""
        return self._settings.frames is not None and self._number >= self._settings.frames

    def take(self, topic: str, kind: str, logged: int, data: bytes
             ) -> Iterator[AnsweredFrame | PlacedFrame]:
        """Take in a message of any topic; what it leads to. A message of no use is noted."""
        if self.done:
            return
        try:
            if topic == self.topics.image:
                yield from self._image(kind, logged, data)
            elif topic == self.topics.depth:
                depth = self._types.read(data, _expected(topic, kind, _IMAGE))
                pair = self._sync.add_depth(nanoseconds(depth.header.stamp), depth)
                yield from self._placed(pair, logged)
            elif topic == self.topics.info:
                info = self._types.read(data, _expected(topic, kind, _INFO))
                pair = self._sync.add_info(nanoseconds(info.header.stamp), info)
                yield from self._placed(pair, logged)
        except FrameError as error:
            self.faults[f"{topic} at {logged}"] = str(error)

    def _image(self, kind: str, logged: int, data: bytes
               ) -> Iterator[AnsweredFrame | PlacedFrame]:
        number, self._number = self._number, self._number + 1
        begun = perf_counter()
        message = self._types.read(data, kind)
        stamp = nanoseconds(message.header.stamp)
        rgb = IMAGE_TYPES[kind](message)
        self._first = stamp if self._first is None else self._first
        reset = self._reset_if_needed(stamp, rgb)
        while self._commands and number >= self._settings.first:
            self._session.submit(self._commands.pop(0))
        result = self._session.step(rgb, message.header)
        if result.refused:
            raise CommandError(f"image {number} of {self.topics.image}: "
                               + "; ".join(result.refused))
        self.answered += 1
        frame = Frame(f"{number:05d}", rgb, number, max(0, stamp - self._first) * 1e-9, stamp)
        answered = AnsweredFrame(self.topics.name, frame, message.header, result, logged,
                                 perf_counter() - begun, reset)
        yield answered
        if self.topics.depth:
            yield from self._placed(self._sync.add_answer(stamp, answered), logged)

    def _reset_if_needed(self, stamp: int, rgb: np.ndarray) -> str:
        """Forget what was seen where the node would. Why, or an empty text."""
        height, width, _ = rgb.shape
        reason = self._resets.judge((height, width), self._resets.received(stamp * 1e-9))
        if reason:
            self._session.reset()
            self._sync.reset()
            self._newest = None
        return reason

    def _placed(self, pair: DepthPair[AnsweredFrame, Any, Any] | None, logged: int
                ) -> Iterator[PlacedFrame]:
        if pair is None:
            return
        answered, stamp = pair.answer, pair.answer.frame.stamp
        if self._newest is not None and stamp is not None and stamp < self._newest:
            return  # as in the node: a pose that is older than the last one is not published
        self._newest = stamp
        try:
            placed = place_targets(
                [target for target in answered.result.targets if target.area], pair.depth,
                pair.info, self._settings.rectified, LocalizationSettings())
        except SamwiseError as error:
            self.faults[f"depth of frame {answered.frame.name}"] = str(error)
            return
        if placed.unplaced:
            self.notices[answered.frame.name] = placed.unplaced
        yield PlacedFrame(answered, placed, logged)


def primary_place(placed: PlacedFrame) -> Any:
    """The place of the primary target; None where it has none."""
    return placed.placed.of(primary_key(placed.answered.result.targets))


def _expected(topic: str, kind: str, wanted: str) -> str:
    if kind != wanted:
        raise FrameError(f"{topic}: expected {wanted}, got {kind}")
    return kind
