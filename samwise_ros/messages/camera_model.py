"""From pixels to directions: CameraInfo with its lens distortion. NumPy and OpenCV, no ROS.

A raw image follows K and D, whose models OpenCV undoes for single pixels; a rectified one follows P
and has no distortion. Frame of reference: the camera's optical frame (x right, y down, z forward,
REP 103).
"""

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from samwise_ros.structures import SamwiseError

_EQUIDISTANT = "equidistant"
_BROWN = (4, 5, 8, 12, 14)  # numbers of coefficients that OpenCV takes, in one order
_COEFFICIENTS = {"plumb_bob": _BROWN, "rational_polynomial": _BROWN, _EQUIDISTANT: (4,)}
_STOP = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-4)
_RESIDUAL = 0.1  # pixels by which an undone distortion, done again, may miss
_SHOWN = 14  # distortion coefficients in a message


class LocalizationError(SamwiseError, ValueError):
    """A target can't be placed in space."""


class CameraInfoError(LocalizationError):
    """The camera's calibration can't be used."""


class CameraInfoLike(Protocol):
    """The fields of sensor_msgs/CameraInfo that are read here."""

    height: int
    width: int
    distortion_model: str
    d: Any
    k: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True)
class Pinhole:
    """Intrinsics in pixels of the image as it is sent.

    Attributes:
        width, height: Image size.
        fx, fy: Focal lengths.
        cx, cy: Principal point; pixel (0, 0) is the middle of the top left pixel.
        model: Distortion model by its name in CameraInfo; empty: none.
        distortion: Its coefficients.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: str = ""
    distortion: tuple[float, ...] = ()

    @property
    def matrix(self) -> np.ndarray:
        """K, float64 [3, 3]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    def rays(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Directions of pixels: rows, columns each [N], N >= 1 -> float64 [N, 2], x and y at z = 1.

        NaN where the distortion has no inverse, as beyond the calibrated part of a wide picture.
        """
        pixels = np.stack([columns, rows], axis=1).astype(float)
        if not self.model:
            return (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        undone, again = (_undo_fisheye if self.model == _EQUIDISTANT else _undo_brown)(
            pixels[:, None], self.matrix, np.array(self.distortion))
        missed = ~(np.abs(again - pixels).max(axis=1) <= _RESIDUAL)  # NaN misses as well
        undone[missed] = np.nan
        return undone

    def project(self, place: tuple[float, float, float]) -> tuple[float, float]:
        """Column and row of a place [m]. Raises LocalizationError for one that is not in front."""
        if not (np.isfinite(place).all() and place[2] > 0):
            raise LocalizationError("the place ({:.2f}, {:.2f}, {:.2f}) is not in front of the "
                                    "camera".format(*place))
        at, still = np.array(place, float).reshape(1, 1, 3), np.zeros(3)
        if self.model == _EQUIDISTANT:
            found, _ = cv2.fisheye.projectPoints(at, still, still, self.matrix,
                                                 np.array(self.distortion))
        else:
            found, _ = cv2.projectPoints(at, still, still, self.matrix, np.array(self.distortion))
        return float(found[0, 0, 0]), float(found[0, 0, 1])

    def pixel_size(self, row: float, column: float) -> np.ndarray:
        """Width and height [2] at z = 1 of a pixel at a place in the image."""
        columns, rows = np.array([-1, 1, 0, 0]) + column, np.array([0, 0, -1, 1]) + row
        left, right, top, bottom = self.rays(rows, columns)
        size = np.array([right[0] - left[0], bottom[1] - top[1]]) / 2
        return np.where(np.isfinite(size), size, (1 / self.fx, 1 / self.fy))


def _undo_brown(pixels: np.ndarray, matrix: np.ndarray, coefficients: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 1, 2] -> directions [N, 2], and these as pixels [N, 2] again."""
    # OpenCV 4, whose other function stops after five rounds
    if hasattr(cv2, "undistortPointsIter"):
        undone = cv2.undistortPointsIter(pixels, matrix, coefficients, None, None, _STOP)
    else:
        undone = cv2.undistortPoints(pixels, matrix, coefficients, criteria=_STOP)
    undone = undone[:, 0]
    again, _ = cv2.projectPoints(np.pad(undone, ((0, 0), (0, 1)), constant_values=1.0), np.zeros(3),
                                 np.zeros(3), matrix, coefficients)
    return undone, again[:, 0]


def _undo_fisheye(pixels: np.ndarray, matrix: np.ndarray, coefficients: np.ndarray
                  ) -> tuple[np.ndarray, np.ndarray]:
    """As `_undo_brown` with OpenCV's fisheye model."""
    undone = cv2.fisheye.undistortPoints(pixels, matrix, coefficients)
    again = cv2.fisheye.distortPoints(undone, matrix, coefficients)
    return undone[:, 0], again[:, 0]


def pinhole_from_info(info: CameraInfoLike, rectified: bool = False) -> Pinhole:
    """CameraInfo -> intrinsics of the image that it describes, binning and window included.

    Args:
        info: The message.
        rectified: Whether the image is rectified (`image_rect`). It then follows P; a raw image
            follows K and D (sensor_msgs/CameraInfo.msg).

    Raises:
        CameraInfoError: The camera is not calibrated (zeros), or a raw image is distorted in a way
            that is not known.
    """
    model, distortion = ("", ()) if rectified else _distortion(info)
    name = "P" if rectified else "K"
    values = np.asarray(info.p if rectified else info.k, float)
    matrix = values.reshape(3, -1)
    fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not np.all(np.isfinite(values)) or fx <= 0 or fy <= 0:
        raise CameraInfoError(f"{name} of camera_info: expected positive focal lengths, got fx = "
                              f"{fx:g}, fy = {fy:g}: calibrate the camera")
    window = info.roi
    width, height = window.width or info.width, window.height or info.height
    across, down = max(1, info.binning_x), max(1, info.binning_y)
    return Pinhole(width // across, height // down, fx / across, fy / down,
                   (cx - window.x_offset) / across, (cy - window.y_offset) / down, model,
                   distortion)


def _distortion(info: CameraInfoLike) -> tuple[str, tuple[float, ...]]:
    """Model and coefficients of a raw image; nothing where the coefficients say that there is none.

    Without a name it is Brown's model, as for image_geometry. Zeros of equidistant are a
    distortion.
    """
    model = getattr(info, "distortion_model", "") or "plumb_bob"
    given = np.asarray(info.d, float)
    if model != _EQUIDISTANT and np.all(np.abs(given) <= 1e-9):
        return "", ()
    remedy = "feed rectified images (image_proc's image_rect) and set the parameter `rectified`"
    if model not in _COEFFICIENTS:
        raise CameraInfoError(f"distortion_model of camera_info: expected one of "
                              f"{', '.join(_COEFFICIENTS)}, got {model[:40]!r}; {remedy}")
    numbers = _COEFFICIENTS[model]
    if len(given) not in numbers or not np.all(np.isfinite(given)):
        shown = f"{np.round(given[:_SHOWN], 4).tolist()}{'...' * (len(given) > _SHOWN)}"
        raise CameraInfoError(
            f"d of camera_info: expected {' or '.join(map(str, numbers))} finite coefficients of "
            f"{model}, got {shown}: calibrate the camera, or {remedy}")
    return model, tuple(given.tolist())
