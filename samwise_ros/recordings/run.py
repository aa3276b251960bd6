"""Cameras of a recording through sessions that share one model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from samwise_ros.recordings.camera import (
    AnsweredFrame,
    CameraSettings,
    CameraTopics,
    PlacedFrame,
    RecordedCamera,
)
from samwise_ros.recordings.files import Recording
from samwise_ros.recordings.message_types import MessageTypes
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import Command, FrameError


class RecordingRun:
    """Answers every image of some cameras of a recording, in the order of recording.

    Args:
        recording: That is read.
        types: Reads its messages.
        sessions: Makes a session for each camera.
        cameras: Topics of each.
        commands: Given to each camera before its first image that is searched. Bad ones raise
            CommandError here.
        settings: Of the cameras.

    Attributes:
        cameras: As they went.
    """

    def __init__(self, recording: Recording, types: MessageTypes,
                 sessions: Callable[[], StreamingSession], cameras: Sequence[CameraTopics],
                 commands: Sequence[Command], settings: CameraSettings) -> None:
        self.cameras = []
        self._recording = recording
        for topics in cameras:
            session, rehearsal = sessions(), sessions()
            for command in commands:
                rehearsal.submit(command)
            self.cameras.append(RecordedCamera(
                topics, types, session, commands, settings))

    @property
    def faults(self) -> dict[str, str]:
        """What could not be used, in files and in messages."""
        found = dict(self._recording.faults)
        for camera in self.cameras:
            found |= camera.faults
        return found

    def events(self) -> Iterator[AnsweredFrame | PlacedFrame]:
        """Answers and places, as they become known. Raises FrameError when there is no answer."""
        wanted = {topic for camera in self.cameras for topic in (
            camera.topics.image, camera.topics.depth, camera.topics.info) if topic}
        for topic, kind, logged, data in self._recording.records(wanted):
            for camera in self.cameras:
                yield from camera.take(topic, kind, logged, data)
            if all(camera.done for camera in self.cameras):
                break
        if not any(camera.answered for camera in self.cameras):
            reason = next(iter(self.faults.values()), "there is no message")
            raise FrameError(f"{self._recording.path}: no image of it can be answered ({reason})")
