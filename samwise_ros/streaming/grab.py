"""From points or a box to a mask by the picture's colours alone (OpenCV's GrabCut).

For models whose prompt encoder nobody has trained, and which can follow a mask all the same.
"""

import cv2
import numpy as np

from samwise_ros.structures import Prompt

_SIDE = 320  # pixels of the longer side: GrabCut takes 50 ms there, and a second at 1280
_ROUNDS = 5
_SEED = 3  # radius around a point that surely belongs to what it is on
_REACH = 4  # a target reaches no farther from a point than the picture's shorter side over this


def grab(rgb: np.ndarray, prompt: Prompt) -> np.ndarray:
    """The mask, bool [H, W], of what points or a box show.

    Args:
        rgb: uint8 [H, W, 3], the picture. prompt: Without a mask.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    labels = _sketch(prompt, small.shape[:2], (size[0] / width, size[1] / height))
    first = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if first.any() and not first.all():  # else there is nothing to tell apart
        cv2.setRNGSeed(0)  # of this thread; the same picture gives the same mask
        cv2.grabCut(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), labels, (0, 0, 1, 1),
                    np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if prompt.box is None:
        found = _connected(found, labels == cv2.GC_FGD)
    found = found if found.any() else first
    return cv2.resize(found.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR) > 0


def _sketch(prompt: Prompt, size: tuple[int, int], scale: tuple[float, float]) -> np.ndarray:
    """What is known before the colours are: uint8 [H, W] of GrabCut's four labels."""
    labels = np.full(size, cv2.GC_BGD, np.uint8)
    beside = prompt.beside or (False,) * len(prompt.points)
    places = [(int((x + 0.5) * scale[0]), int((y + 0.5) * scale[1])) for x, y in prompt.points]
    inside = [place for place, out in zip(places, beside, strict=True) if not out]
    if prompt.box is None:
        for radius, label in ((min(size) // _REACH, cv2.GC_PR_BGD),
                              (min(size) // _REACH // 2, cv2.GC_PR_FGD)):
            for place in inside:
                cv2.circle(labels, place, radius, label, cv2.FILLED)
    else:
        x0, x1 = (round((x + 0.5) * scale[0]) for x in prompt.box[::2])
        y0, y1 = (round((y + 0.5) * scale[1]) for y in prompt.box[1::2])
        labels[max(0, y0):max(0, y1) + 1, max(0, x0):max(0, x1) + 1] = cv2.GC_PR_FGD
    for place, out in zip(places, beside, strict=True):
        cv2.circle(labels, place, _SEED, cv2.GC_BGD if out else cv2.GC_FGD, cv2.FILLED)
    return labels


def _connected(found: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The parts of a mask that hold a seed."""
    _, parts = cv2.connectedComponents(found.astype(np.uint8))
    return np.isin(parts, np.unique(parts[seeds & found]))
