"""Small numbers for targets, and the picture of all targets drawn with them. NumPy only."""

from collections.abc import Mapping, Sequence

import numpy as np

from samwise_ros.structures import FrameResult

_BYTE = 255  # largest number of a mono8 picture


class LabelMap:
    """Gives each target id a number from 1 that it keeps; 0 is the background.

    A target that is removed and comes back gets its old number again. Numbers of removed targets
    go to others only when all up to 255 have been used, the one unused for longest first, so that
    masks stay mono8 unless more than 255 targets are followed at once.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._retired: dict[str, int] = {}  # in the order of removal
        self._highest = 0

    def update(self, ids: Sequence[str]) -> dict[str, int]:
        """Number of each of the ids that are followed now; those left out are removed."""
        present = set(ids)
        for gone in [name for name in self._numbers if name not in present]:
            self._retired[gone] = self._numbers.pop(gone)
        for name in ids:
            if name not in self._numbers:
                self._numbers[name] = self._new_number(name)
        return dict(self._numbers)

    def _new_number(self, name: str) -> int:
        if name in self._retired:
            return self._retired.pop(name)
        if self._highest >= _BYTE and self._retired:
            return self._retired.pop(next(iter(self._retired)))
        self._highest += 1
        return self._highest


def paint_labels(result: FrameResult, numbers: Mapping[str, int]) -> np.ndarray:
    """One picture of all masks.

    Where masks overlap, the primary (first) target wins, then the higher object score, then the
    target that was added earlier.

    Args:
        result: The answer.
        numbers: Number of each target id, at most 65535.

    Returns:
        [H, W], 0 where no target is; uint8, or uint16 when a number is above 255.
    """
    highest = max(numbers.values(), default=0)
    labels = np.zeros(result.size, np.uint8 if highest <= _BYTE else np.uint16)
    others = sorted(result.targets[1:], key=lambda target: target.object_score, reverse=True)
    for target in reversed((*result.targets[:1], *others)):  # what is painted last wins
        if target.box is not None:
            box = target.box
            inside = (slice(box.y0, box.y1), slice(box.x0, box.x1))
            labels[inside][target.mask[inside]] = numbers[target.target_id]
    return labels
