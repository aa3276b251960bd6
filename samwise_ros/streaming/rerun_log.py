"""Answers as a file for Rerun's viewer: pictures, masks, places, curves, commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rerun as rr

from samwise_ros.streaming.drawing import colour_of
from samwise_ros.streaming.video_io import Frame
from samwise_ros.structures import Box, ConfigError, TargetState

_QUALITY = 85  # of the pictures' JPEG
_STATES = {state: number for number, state in enumerate(TargetState)}  # as in Target.msg


@dataclass(frozen=True)
class ShownTarget:
    """A target on one frame; `score` in [0, 1], `mask` bool [H, W]."""

    target_id: str
    expression: str
    state: TargetState
    score: float
    mask: np.ndarray
    box: Box | None


@dataclass(frozen=True)
class ShownPlace:
    """A target in space: middle and sides [3] of its box in metres, in the optical frame."""

    target_id: str
    centre: np.ndarray
    size: np.ndarray


class RerunLog:
    """Writes an .rrd file.

    Timelines: `stamp`, the images' own (of a video, which has none, the time since its first
    frame), and `frame`. Below each camera's name: `picture/image`, `picture/masks`,
    `picture/boxes`, `picture/depth`, `places` in the optical frame, `latency_ms`, and for each
    target `score`, `area` and `state` (its number, and as text when it changes). `commands` are
    text, on the first frame that answers them.

    Args:
        path: Of the new file.

    Raises:
        ConfigError: The file exists or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.open("xb").close()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written as a new file ({error.strerror})"
                              ) from error
        self.path = path
        self._empty = True
        self._log = rr.RecordingStream("samwise_ros")
        self._log.save(path)
        self._states: dict[tuple[str, str], TargetState] = {}
        self._sentences: dict[str, dict[str, str]] = {}  # by camera and target

    def answer(self, camera: str, frame: Frame, targets: Sequence[ShownTarget],
               latency: float | None = None) -> None:
        """A frame with its targets; `latency` in seconds."""
        self._empty = False
        self._set_time(frame)
        self._commands(camera, {target.target_id: target.expression for target in targets})
        picture = f"{camera}/picture"
        self._log.log(f"{picture}/image", rr.Image(frame.rgb).compress(jpeg_quality=_QUALITY))
        labels = np.zeros(frame.rgb.shape[:2], np.uint16)
        for number, target in reversed(list(enumerate(targets, 1))):  # the first one on top
            labels[target.mask] = number
        self._log.log(picture, rr.AnnotationContext([
            (number, target.expression, colour_of(number - 1))
            for number, target in enumerate(targets, 1)]))
        self._log.log(f"{picture}/masks", rr.SegmentationImage(labels, opacity=0.5))
        boxes = [(number, target.box, f"{target.target_id} {target.score:.2f}")
                 for number, target in enumerate(targets, 1) if target.box is not None]
        self._log.log(f"{picture}/boxes", rr.Boxes2D(
            mins=[(box.x0, box.y0) for _, box, _ in boxes],
            sizes=[(box.x1 - box.x0, box.y1 - box.y0) for _, box, _ in boxes],
            labels=[text for *_, text in boxes], class_ids=[number for number, *_ in boxes]))
        if latency is not None:
            self._log.log(f"{camera}/latency_ms", rr.Scalars(latency * 1e3))
        for target in targets:
            self._curves(camera, target)

    def places(self, camera: str, frame: Frame, places: Sequence[ShownPlace],
               depth: np.ndarray, camera_matrix: np.ndarray) -> None:
        """Where targets are, with the depth image that says so.

        Args:
            camera: Its name.
            frame: That the depth belongs to.
            places: Of the targets that have one.
            depth: uint16 [H, W] millimetres or float32 [H, W] metres.
            camera_matrix: [3, 3] focal lengths and principal point [px].
        """
        self._set_time(frame)
        height, width = depth.shape
        self._log.log(camera, rr.ViewCoordinates.RDF)
        self._log.log(f"{camera}/picture", rr.Pinhole(
            image_from_camera=camera_matrix, width=width, height=height))
        meter = 1000.0 if depth.dtype == np.uint16 else 1.0
        self._log.log(f"{camera}/picture/depth", rr.DepthImage(depth, meter=meter))
        self._log.log(f"{camera}/places", rr.Boxes3D(
            centers=[place.centre for place in places], sizes=[place.size for place in places],
            labels=[place.target_id for place in places]))

    def close(self) -> None:
        """Finish the file; without an answer nothing stays behind."""
        self._log.flush()
        self._log.disconnect()
        if self._empty:
            self.path.unlink(missing_ok=True)

    def _commands(self, camera: str, sentences: dict[str, str]) -> None:
        """What was asked for since the last frame, in the words of `parse_command`."""
        before = self._sentences.get(camera, {})
        self._sentences[camera] = sentences
        for name in before.keys() - sentences:
            self._log.log("commands", rr.TextLog(f"{camera}: remove:{name}"))
        for name, sentence in sentences.items():
            if before.get(name) != sentence:
                self._log.log("commands", rr.TextLog(f"{camera}: add:{name}: {sentence}"))

    def _curves(self, camera: str, target: ShownTarget) -> None:
        below = f"{camera}/targets/{rr.escape_entity_path_part(target.target_id)}"
        self._log.log(f"{below}/score", rr.Scalars(target.score))
        self._log.log(f"{below}/area", rr.Scalars(int(target.mask.sum())))
        self._log.log(f"{below}/state", rr.Scalars(_STATES[target.state]))
        key = camera, target.target_id
        if self._states.get(key) is not target.state:
            self._states[key] = target.state
            self._log.log(f"{below}/state/text", rr.TextLog(target.state.value))

    def _set_time(self, frame: Frame) -> None:
        self._log.set_time("frame", sequence=frame.index)
        if frame.stamp is None:
            self._log.set_time("stamp", duration=frame.time)
        else:
            self._log.set_time("stamp", timestamp=np.datetime64(frame.stamp, "ns"))
