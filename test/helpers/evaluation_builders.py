"""Predictors with prepared answers, for tests of protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from samwise_ros.evaluation.predictors import PredictedMask

MaskMaker = Callable[[str, int, np.ndarray], np.ndarray]


class PreparedPredictor:
    """Answers each expression and frame by a function of (sentence, frame number, picture).

    `calls` lists the expressions of each run. With `fail_after` runs, the next one raises.
    """

    def __init__(self, make_mask: MaskMaker, switched: Callable[[int], bool] = lambda frame: False,
                 fail_after: int | None = None) -> None:
        self._make_mask = make_mask
        self._switched = switched
        self._fail_after = fail_after
        self.calls: list[tuple[str, ...]] = []

    def run(self, frames: Iterable[np.ndarray],
            expressions: Sequence[str]) -> Iterator[tuple[PredictedMask, ...]]:
        if self._fail_after is not None and len(self.calls) >= self._fail_after:
            raise KeyboardInterrupt
        self.calls.append(tuple(expressions))
        for number, frame in enumerate(frames):
            answers = []
            for expression in expressions:
                mask = self._make_mask(expression, number, frame)
                answers.append(PredictedMask(mask, self._switched(number),
                                      lambda mask=mask: np.where(mask, 5.0, -5.0)))
            yield tuple(answers)


def red_pixels(expression: str, number: int, frame: np.ndarray) -> np.ndarray:
    """bool [H, W]: whatever is red in the picture."""
    return (frame[..., 0] > 170) & (frame[..., 2] < 90)


def nothing(expression: str, number: int, frame: np.ndarray) -> np.ndarray:
    """bool [H, W]: an empty answer."""
    return np.zeros(frame.shape[:2], bool)
