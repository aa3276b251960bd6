"""What can be scored without understanding the sentence, computed exactly from the ground truth.

A model is only shown to have grounded a kind of expression when it beats both: a perfect mask of
a random visible object, and a perfect mask chosen by the named colour alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.reader import ExpressionRecord, VideoRecord
from samwise_ros.data.scene_objects import scene_objects
from samwise_ros.evaluation.metrics import Scores, mask_scores

COLOUR_WORDS = frozenset({
    "red", "orange", "yellow", "green", "blue", "purple", "violet", "pink", "brown", "black",
    "white", "grey", "gray", "cyan", "turquoise", "magenta"})


def named_colours(text: str) -> frozenset[str]:
    """Colour words of a sentence."""
    return COLOUR_WORDS & set(re.findall(r"[a-z]+", text.lower()))


class SceneBaselines:
    """Both baselines for the expressions of one simulated video.

    The guess is made anew on each frame among the objects visible on it; with equal chances the
    expected score is the mean over the candidates. Without candidates the guess is an empty mask.

    Args:
        source: The data set.
        video: A video with scene facts.
    """

    def __init__(self, source: MevisSource, video: VideoRecord) -> None:
        every = range(len(video.frames))
        objects = scene_objects(video)
        self._number = {entry.anno_id: row for row, entry in enumerate(objects)}
        self._colours = [entry.colour for entry in objects]
        self._tracks = np.stack([source.track(video, entry.anno_id, every).astype(bool)
                                 for entry in objects])  # [O, T, H, W]
        self._visible = np.asarray(self._tracks.any(axis=(2, 3)))  # [O, T]
        self._cache: dict[tuple[frozenset[int], int], np.ndarray] = {}

    def truth(self, expression: ExpressionRecord, frame: int) -> np.ndarray:
        """bool [H, W]: union of the expression's objects."""
        return self._union(self._meant(expression), frame)

    def object_mask(self, index: int, frame: int) -> np.ndarray:
        """bool [H, W] of the object with number `index` in the scene."""
        return self._tracks[index, frame]

    def random_object(self, expression: ExpressionRecord) -> Scores:
        """Expected mean scores of a perfect mask of a random visible object."""
        return self._expected(expression, range(len(self._colours)))

    def colour_guess(self, expression: ExpressionRecord) -> Scores:
        """Expected mean scores of choosing by the named colours; a random object without any."""
        named = named_colours(expression.text)
        if not named:
            return self.random_object(expression)
        return self._expected(expression, [row for row, colour in enumerate(self._colours)
                                           if colour in named])

    def _expected(self, expression: ExpressionRecord, candidates: Sequence[int]) -> Scores:
        meant = self._meant(expression)
        frames = []
        for frame in range(self._tracks.shape[1]):
            visible = [row for row in candidates if self._visible[row, frame]]
            frames.append(self._mean_guess(meant, frame, visible))
        j, f = np.mean(frames, axis=0)
        return Scores(float(j), float(f))

    def _mean_guess(self, meant: frozenset[int], frame: int, guesses: list[int]) -> Scores:
        if not guesses:  # an empty answer is right exactly when nothing is there to be seen
            right = float(not self._visible[sorted(meant), frame].any())
            return Scores(right, right)
        j, f = self._table(meant, frame)[guesses].mean(axis=0)
        return Scores(float(j), float(f))

    def _table(self, meant: frozenset[int], frame: int) -> np.ndarray:
        """float [O, 2]: J and F of each object's mask as the answer."""
        key = (meant, frame)
        if key not in self._cache:
            truth = self._union(meant, frame)
            self._cache[key] = np.array([mask_scores(track[frame], truth)
                                         for track in self._tracks])
        return self._cache[key]

    def _union(self, meant: frozenset[int], frame: int) -> np.ndarray:
        return np.asarray(self._tracks[sorted(meant), frame].any(axis=0))

    def _meant(self, expression: ExpressionRecord) -> frozenset[int]:
        return frozenset(self._number[anno_id] for anno_id in expression.anno_ids)
