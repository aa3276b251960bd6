"""Where to grip what a cloud shows, from above. NumPy, no ROS.

Frame of reference: the arm's base (x forward, y left, z up from the table), metres, radians.
"""

from dataclasses import dataclass

import numpy as np

_FLOOR = 0.006  # [m]: points below belong to the table
_ENOUGH = 20  # points
_TAILS = (0.03, 0.97)  # quantiles that count as the ends of an object: masks have ragged borders
_TOP = 0.97
_ANGLES = np.deg2rad(np.arange(-90, 90, 5))
_SIDEWAYS = 0.15  # share by which a side may be wider and be taken still, if it is seen whole
_LOWEST = 0.014  # [m] of the tip above the table
_FINGERS = 0.033  # [m] that fit between the tip and the palm
_WIDEST = 0.078  # [m]


@dataclass(frozen=True)
class Grip:
    """A grasp from above.

    Attributes:
        x, y, z: Where the middle between the finger tips shall be.
        yaw: Of the hand, whose fingers close along y at 0; within a quarter turn.
        width: What goes between the fingers.
        top: Highest point of the object.
    """

    x: float
    y: float
    z: float
    yaw: float
    width: float
    top: float


def grip_of(points: np.ndarray) -> Grip | None:
    """The grasp across the narrower side of an object, from its visible surface, float [N, 3].

    The camera looks along -x: it is opposite the arm. None where there are too few points, or where
    no side fits between the fingers.
    """
    points = points[points[:, 2] > _FLOOR]
    if len(points) < _ENOUGH:
        return None
    top = float(np.quantile(points[:, 2], _TOP))
    seen = _completed(points[:, :2], top)
    closing = np.stack([-np.sin(_ANGLES), np.cos(_ANGLES)])  # [2, A] directions of the fingers
    low, high = np.quantile(seen @ closing, _TAILS, axis=0)
    widths = high - low
    best = int(np.argmin(widths * (1 + _SIDEWAYS * closing[0] ** 2)))
    if widths[best] > _WIDEST:
        return None
    across = np.array([closing[1, best], -closing[0, best]])
    along = np.quantile(seen @ across, _TAILS).mean()
    x, y = (low[best] + high[best]) / 2 * closing[:, best] + along * across
    return Grip(float(x), float(y), max(_LOWEST, top / 2, top - _FINGERS), float(_ANGLES[best]),
                float(widths[best]), top)


def _completed(seen: np.ndarray, top: float) -> np.ndarray:
    """Points [N, 2] drawn out along x, away from the camera, by what it cannot see of the far side.

    A thing is taken to be at least as deep as the smaller of its width and its height: of a ball
    the camera sees hardly more than half.
    """
    low, high = np.quantile(seen, _TAILS, axis=0)
    depth, width = high - low
    stretch = max(1.0, min(width, top) / max(depth, 1e-6))
    return np.column_stack([high[0] - (high[0] - seen[:, 0]) * stretch, seen[:, 1]])
