"""What the simulated demo makes of its frames: figures against the truth, and pictures. No ROS."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.evaluation.metrics import Scores, mask_scores
from samwise_ros.evaluation.stream_statistics import first_correct
from samwise_ros.streaming.drawing import ContactSheet, draw_caption, paint_masks
from samwise_ros.streaming.pictures import write_png
from samwise_ros.streaming.video_file import VideoWriter

_COLUMNS = 4  # frames per command on the contact sheet
_ZOOM = 2
_TRUTH_COLOUR = (255, 255, 255)


@dataclass(frozen=True)
class Question:
    """One command of the demo: sentence, kind, and the number of the object that it means."""

    expression: str
    kind: str
    instance: int


@dataclass(frozen=True)
class JudgedFrame:
    """One answered frame.

    Attributes:
        latency: Seconds from the image's stamp to the mask's arrival.
        rgb: uint8 [H, W, 3].
        mask, truth: bool [H, W].
        scores: J and F of `mask` against `truth`.
    """

    latency: float
    rgb: np.ndarray
    mask: np.ndarray
    truth: np.ndarray
    scores: Scores


def judge(latency: float, rgb: np.ndarray, mask: np.ndarray, instances: np.ndarray,
          question: Question) -> JudgedFrame:
    """Compare a mask, bool [H, W], with the object's pixels in `instances`, uint8 [H, W]."""
    truth = instances == question.instance
    return JudgedFrame(latency, rgb, mask, truth, mask_scores(mask, truth))


def question_report(question: Question, frames: Sequence[JudgedFrame]) -> dict:
    """Figures of one command, over all the frames that answer it, the first one included."""
    j, f = np.mean([frame.scores for frame in frames], axis=0)
    found = first_correct([bool(frame.truth.any()) for frame in frames],
                          [frame.scores.j for frame in frames])
    return {"expression": question.expression, "kind": question.kind, "frames": len(frames),
            "jf": round(float(j + f) / 2, 4), "j": round(float(j), 4), "f": round(float(f), 4),
            "frames_until_correct": found}


def write_overlay(path: Path, questions: Sequence[Question],
                  frames: Sequence[Sequence[JudgedFrame]], rate: float) -> None:
    """A video of all commands: mask, outline of the truth, sentence."""
    with closing(VideoWriter(path, rate)) as video:
        for question, answers in zip(questions, frames, strict=True):
            for frame in answers:
                video.write(_captioned(draw(frame), question.expression))


def write_sheet(path: Path, questions: Sequence[Question],
                frames: Sequence[Sequence[JudgedFrame]]) -> None:
    """One row per command, its frames from first to last."""
    rows = []
    for question, answers in zip(questions, frames, strict=True):
        sheet = ContactSheet(_COLUMNS, 1, cell_width=480)
        chosen = np.linspace(0, len(answers) - 1, _COLUMNS).round().astype(int)
        for number, index in enumerate(chosen):
            caption = question.expression if number == 0 else f"frame {index}"
            sheet.add(_captioned(draw(answers[index]), caption))
        rows.append(sheet.image())
    write_png(path, np.concatenate(rows))


def draw(frame: JudgedFrame) -> np.ndarray:
    """The frame enlarged, its mask in colour and a white line around the true object."""
    size = (frame.rgb.shape[1] * _ZOOM, frame.rgb.shape[0] * _ZOOM)
    painted = cv2.resize(paint_masks(frame.rgb, [frame.mask]), size)
    truth = cv2.resize(frame.truth.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(truth, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(painted, outlines, -1, _TRUTH_COLOUR, 2)
    return painted


def _captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    draw_caption(picture, caption, (8, 26), 0.7, 2)
    return picture
