"""The picture for people: the camera image with masks, boxes, states and scores. No ROS import."""

import time
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from samwise_ros.streaming.drawing import colour_of, paint_mask
from samwise_ros.structures import FrameResult, TargetResult

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_HEIGHT = 0.035  # of the image's shorter side
_TEXT_LENGTH = 80  # characters of one line
_WHITE = (255, 255, 255)


class RateLimit:
    """Lets through at most `rate` events per second, evenly spread; 0: none.

    Args:
        rate: Events per second.
        clock: Seconds, never jumping back.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._due = float("-inf")

    def take(self) -> bool:
        """Whether an event may happen now; if so it counts as having happened."""
        now = self._clock()
        if self.rate <= 0 or now < self._due:
            return False
        # From when it was due, so that 10 of 30 Hz stay 10; from now after a pause, so that none
        # is made up for.
        following = self._due + 1 / self.rate
        self._due = following if following > now else now + 1 / self.rate
        return True


def draw_overlay(rgb: np.ndarray, result: FrameResult, numbers: Mapping[str, int]) -> np.ndarray:
    """Copy of an image with what is known about its targets.

    Args:
        rgb: uint8 [H, W, 3], not written to.
        result: Its answer.
        numbers: Label number of each target id; it gives the colour.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    picture = rgb.copy()
    for target in reversed(result.targets):  # the primary one on top
        if target.box is not None:
            box, colour = target.box, colour_of(numbers[target.target_id] - 1)
            paint_mask(picture, target.mask, colour, box)
            cv2.rectangle(picture, (box.x0, box.y0), (box.x1 - 1, box.y1 - 1), colour, 1)
    for line, target in enumerate(result.targets):
        _write(picture, line, _describe(target),
               colour_of(numbers[target.target_id] - 1))
    return picture


def _describe(target: TargetResult) -> str:
    text = f"{target.state.value} {target.score:.2f} {target.target_id}: {target.expression}"
    # OpenCV's built-in letters are ASCII.
    return text[:_TEXT_LENGTH].encode("ascii", "replace").decode()


def _write(picture: np.ndarray, line: int, text: str, colour: tuple[int, int, int]) -> None:
    """One line of text from the top left corner on, on a dark ground with the target's colour."""
    height = max(8, round(_TEXT_HEIGHT * min(picture.shape[:2])))
    scale = height / 22  # pixels of a capital letter at scale 1
    row = 2 * height * line
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, 1)
    ground = picture[row:row + 2 * height, :width + 3 * height]
    ground[:] = ground // 3
    cv2.rectangle(picture, (0, row), (height, row + 2 * height - 1), colour, -1)
    cv2.putText(picture, text, (height + height // 2, row + height + height // 2), _FONT, scale,
                _WHITE, 1, cv2.LINE_AA)
