"""A folder of results that is valid after every frame: overlay video, masks, records, sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from samwise_ros.streaming.drawing import ContactSheet, legend, paint_masks
from samwise_ros.streaming.image_ops import tight_box
from samwise_ros.streaming.pictures import write_png
from samwise_ros.streaming.video_file import VideoWriter
from samwise_ros.streaming.video_io import Frame
from samwise_ros.structures import FrameError, TargetState, probability
from samwise_ros.user_files import claim_outputs

_RECORDS, _OVERLAY, _SHEET = _FILES = ("results.jsonl", "overlay.mp4", "contact_sheet.png")


class NamedSource(Protocol):
    """What results are about.

    Attributes:
        name: Of the folder of masks.
        path: What is read.
        rate: Frames per second on average.
    """

    name: str
    path: Path
    rate: float


@dataclass(frozen=True)
class SentenceAnswer:
    """The answer for one expression on one frame, from either mode.

    Attributes:
        expression: The sentence.
        state: See `streaming.target_tracker`.
        object_score: Logit that the target is visible.
        mask: bool [H, W] in camera pixels.
        switched: CME replaced what the memory keeps of this frame.
    """

    expression: str
    state: TargetState
    object_score: float
    mask: np.ndarray
    switched: bool

    def record(self, target: int) -> dict[str, Any]:
        """Plain values for JSON; the box is [x0, y0, x1, y1], end exclusive, or null."""
        box = tight_box(self.mask)
        return {
            "target": target, "expression": self.expression, "state": self.state.value,
            "score": probability(self.object_score),
            "object_score": self.object_score,
            "box": None if box is None else [box.x0, box.y0, box.x1, box.y1],
            "area": int(self.mask.sum()), "switched": self.switched,
        }


class ResultFolder:
    """Writes `overlay.mp4`, `results.jsonl`, `contact_sheet.png` and the masks of one video.

    Masks follow the benchmarks: `Annotations/<video>/<expression number>/<frame>.png`, 8-bit grey,
    0 or 255, at camera size. Nothing that is there already is replaced. After `close` (use
    `contextlib.closing`) the frames written so far are readable, whatever ended the run.

    Raises:
        ConfigError: The folder holds such results already, or is what `source` reads.
    """

    def __init__(self, folder: str | Path, source: NamedSource) -> None:
        self.folder = Path(folder)
        self.masks = self.folder / "Annotations" / source.name
        self.frames = 0
        claim_outputs(self.folder, [*_FILES, f"Annotations/{source.name}"], [source.path])
        self._records = (self.folder / _RECORDS).open("x", encoding="utf-8")
        self._video = VideoWriter(self.folder / _OVERLAY, source.rate)
        self._sheet = ContactSheet()
        self._sentences: tuple[str, ...] = ()

    def add(self, frame: Frame, answers: Sequence[SentenceAnswer]) -> None:
        """Write one frame and its answers, one per expression in their order. Raises FrameError."""
        try:
            for target, answer in enumerate(answers):
                self._write_mask(self.masks / str(target) / f"{frame.name}.png", answer.mask)
            for target, answer in enumerate(answers):
                record = {"frame": frame.index, "name": frame.name, "time": round(frame.time, 6),
                          **({} if frame.stamp is None else {"stamp": frame.stamp}),
                          **answer.record(target)}
                self._records.write(json.dumps(record) + "\n")
            self._records.flush()
        except OSError as error:
            raise FrameError(f"{self.folder}: cannot write the results of {frame.name} ({error})"
                             ) from error
        self._sentences = tuple(answer.expression for answer in answers)
        overlay = paint_masks(frame.rgb, [answer.mask for answer in answers])
        self._video.write(overlay, frame.time)
        self._sheet.add(overlay, frame.name)
        self.frames += 1

    def close(self) -> None:
        """Finish the video and write the contact sheet; without a frame nothing stays behind."""
        self._records.close()
        self._video.close()
        if not self.frames:
            (self.folder / _RECORDS).unlink()
            return
        sheet = self._sheet.image()
        rows = np.concatenate([sheet, legend(sheet.shape[1], self._sentences)])
        write_png(self.folder / _SHEET, rows)

    def _write_mask(self, path: Path, mask: np.ndarray) -> None:
        if path.exists():  # names that differ in case only, on a file system without case
            raise FrameError(f"{path}: two frames have this name here. Write to another file "
                             "system, or rename one of them.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, mask.astype(np.uint8) * 255)
