"""Where a target is in space: mask + aligned depth + intrinsics. NumPy and OpenCV, no ROS import.

Frame of reference: the camera's optical frame (x right, y down, z forward, REP 103). Depth follows
REP 118: uint16 holds millimetres with 0 for "unknown", float32 holds metres with NaN for "unknown"
and -inf / +inf for "too near / too far"; none of these is a measurement.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np

from samwise_ros.structures import ConfigError, SamwiseError

DEPTH_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_METRES = {np.dtype(np.uint16): 1e-3, np.dtype(np.float32): 1.0}  # per unit, REP 118
_SPREAD = 1.4826  # median absolute deviation -> standard deviation of a normal distribution
_SHOWN = 14  # distortion coefficients in a message; OpenCV's longest model has as many
_TRIM = 0.01  # share of points beyond either end of the size in depth


class LocalizationError(SamwiseError, ValueError):
    """A target can't be placed in space."""


class CameraInfoError(LocalizationError):
    """The camera's calibration can't be used."""


class DepthError(LocalizationError):
    """The depth image can't be used with this mask."""


class TooFewPixelsError(LocalizationError):
    """The target has too few pixels with a depth; an everyday event, not a fault."""


class CameraInfoLike(Protocol):
    """The fields of sensor_msgs/CameraInfo that are read here."""

    height: int
    width: int
    d: Any
    k: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True)
class Pinhole:
    """Pinhole intrinsics in pixels of the image as it is sent.

    Attributes:
        width, height: Image size.
        fx, fy: Focal lengths.
        cx, cy: Principal point; pixel (0, 0) is the middle of the top left pixel.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def points(self, rows: np.ndarray, columns: np.ndarray, depths: np.ndarray) -> np.ndarray:
        """Back-project pixels: rows, columns, depths [m] each [N] -> float32 [N, 3] metres."""
        x = (columns - self.cx) / self.fx * depths
        y = (rows - self.cy) / self.fy * depths
        return np.stack([x, y, depths], axis=1).astype(np.float32)


def pinhole_from_info(info: CameraInfoLike, rectified: bool = False) -> Pinhole:
    """CameraInfo -> intrinsics of the image that it describes, binning and window included.

    Args:
        info: The message.
        rectified: Whether the image is rectified (`image_rect`). It then follows P; a raw image
            follows K and D (sensor_msgs/CameraInfo.msg).

    Raises:
        CameraInfoError: The camera is not calibrated (zeros), or a raw image is distorted.
    """
    distortion = np.asarray(info.d, float)
    if not rectified and not np.all(np.abs(distortion) <= 1e-9):  # NaN counts as distorted
        shown = np.round(distortion[:_SHOWN], 4).tolist()
        raise CameraInfoError(
            f"the image is distorted (d = {shown}{'...' * (len(distortion) > _SHOWN)}), which a "
            "pinhole can't describe: feed rectified images (image_proc's image_rect) and say that "
            "they are")
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
                   (cx - window.x_offset) / across, (cy - window.y_offset) / down)


@dataclass(frozen=True)
class LocalizationSettings:
    """How a target's depth is taken.

    Attributes:
        erosion: Pixels taken off the mask's border, where depth mixes with what is behind. Thin
            targets lose less.
        min_pixels: Fewer pixels with a depth than this are no measurement.
        min_depth, max_depth: Range of the sensor [m].
        outlier: Depths farther from the median than this many standard deviations (estimated from
            the median absolute deviation) are dropped...
        tolerance: ...but never those within this many metres of it.
        max_points: A larger target is thinned out evenly to at most this many points.
    """

    erosion: int = 3
    min_pixels: int = 30
    min_depth: float = 0.05
    max_depth: float = 20.0
    outlier: float = 3.0
    tolerance: float = 0.02
    max_points: int = 10000

    def __post_init__(self) -> None:
        if self.erosion < 0 or not 3 <= self.min_pixels <= self.max_points:
            raise ConfigError("expected erosion >= 0 and 3 <= min_pixels <= max_points, got "
                              f"{self.erosion}, {self.min_pixels}, {self.max_points}")
        if not 0 <= self.min_depth < self.max_depth:
            raise ConfigError("expected 0 <= min_depth < max_depth, got "
                              f"{self.min_depth} and {self.max_depth}")
        if self.outlier <= 0 or self.tolerance < 0:
            raise ConfigError("expected outlier > 0 and tolerance >= 0, got "
                              f"{self.outlier} and {self.tolerance}")


@dataclass(frozen=True)
class Localization:
    """A target in space: metres, optical frame.

    Attributes:
        position: float64 [3] mean of the visible surface.
        covariance: float64 [3, 3] m^2, spread of the visible surface about `position`: a cautious
            bound of how far the target's middle may be from it.
        centre: float64 [3] middle of the box of the visible surface.
        size: float64 [3] sides of that box along x, y, z. What the camera doesn't see is not in it,
            and round targets come out up to an eighth too small, because their rim is eroded.
        num_valid: Points that the figures rest on.
        depth_quantiles: float64 [5], 5, 25, 50, 75 and 95 % of their depths.
        points: float32 [num_valid, 3].
        pixels: int64 [num_valid, 2] row and column of each point.
    """

    position: np.ndarray
    covariance: np.ndarray
    centre: np.ndarray
    size: np.ndarray
    num_valid: int
    depth_quantiles: np.ndarray
    points: np.ndarray
    pixels: np.ndarray

    def transformed(self, rotation: np.ndarray, translation: np.ndarray) -> "Localization":
        """The same target in another frame: x -> `rotation` [3, 3] x + `translation` [3] m.

        `centre` and `size` become those of the box of `points` along the new frame's axes.
        """
        points = self.points @ rotation.T + translation
        low, high = points.min(axis=0), points.max(axis=0)
        return replace(
            self, position=rotation @ self.position + translation,
            covariance=rotation @ self.covariance @ rotation.T, centre=(low + high) / 2,
            size=high - low, points=points.astype(np.float32))

    def colours(self, rgb: np.ndarray) -> np.ndarray:
        """Colour of each point, uint8 [num_valid, 3], from the image uint8 [H, W, 3]."""
        return rgb[self.pixels[:, 0], self.pixels[:, 1]]


def localize(mask: np.ndarray, depth: np.ndarray, camera: Pinhole,
             settings: LocalizationSettings = LocalizationSettings()) -> Localization:
    """Place a target in space.

    Args:
        mask: bool [H, W].
        depth: uint16 [H, W] millimetres or float32 [H, W] metres, aligned with the mask's image.
        camera: Intrinsics of that image.
        settings: How depth is taken.

    Raises:
        DepthError: `depth` has another size than the mask, or another type.
        CameraInfoError: `camera` describes an image of another size.
        TooFewPixelsError: Too few pixels of the mask have a depth.
    """
    _check_sizes(mask, depth, camera)
    rows, columns, depths, erosion = _measured(mask, depth, settings)
    kept = _inliers(depths, settings)
    rows, columns, depths = rows[kept], columns[kept], depths[kept]
    points = camera.points(rows, columns, depths)
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    low[2], high[2] = np.quantile(depths, (_TRIM, 1 - _TRIM))
    # What was eroded on both sides, and the half pixels at either end, belong to the target.
    border = (2 * erosion + 1) * float(np.median(depths)) / np.array([camera.fx, camera.fy])
    return Localization(
        position=points.mean(axis=0, dtype=float),
        covariance=np.cov(points.T.astype(float)),
        centre=(low + high) / 2,
        size=high - low + [*border, 0.0],
        num_valid=len(points),
        depth_quantiles=np.quantile(depths, DEPTH_QUANTILES),
        points=points,
        pixels=np.stack([rows, columns], axis=1))


def _check_sizes(mask: np.ndarray, depth: np.ndarray, camera: Pinhole) -> None:
    if depth.dtype not in _METRES:
        raise DepthError(f"depth: expected uint16 [mm] or float32 [m], got {depth.dtype}")
    height, width = mask.shape
    if depth.shape != mask.shape:
        raise DepthError(f"depth: expected {width}x{height} like the image, got "
                         f"{depth.shape[1]}x{depth.shape[0]}: use depth that is aligned with the "
                         "colour image (the driver's aligned_depth_to_color, or depth_image_proc)")
    if (camera.width, camera.height) != (width, height):
        raise CameraInfoError(f"camera_info: expected {width}x{height} like depth, got "
                              f"{camera.width}x{camera.height}: it belongs to another image")


def _measured(mask: np.ndarray, depth: np.ndarray, settings: LocalizationSettings
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Rows, columns and depths [m], each [N], of the mask's pixels with a depth; pixels eroded.

    N is at most `max_points`. Raises TooFewPixelsError. The border is kept where too little would
    be left without it.
    """
    inside = _window(mask, settings.erosion)
    mask, metres = mask[inside], depth[inside] * np.float32(_METRES[depth.dtype])
    # Comparisons with NaN are False, so NaN and both infinities drop out here.
    valid = mask & (metres >= settings.min_depth) & (metres <= settings.max_depth) & (metres > 0)
    for erosion in dict.fromkeys((settings.erosion, settings.erosion // 2, 0)):
        chosen = valid & _eroded(mask, erosion)
        if np.count_nonzero(chosen) >= settings.min_pixels:
            flat = _thinned(np.flatnonzero(chosen), settings.max_points)
            rows, columns = np.divmod(flat, chosen.shape[1])
            return rows + inside[0].start, columns + inside[1].start, metres.ravel()[flat], erosion
    raise TooFewPixelsError(f"expected at least {settings.min_pixels} pixels with a depth, got "
                            f"{np.count_nonzero(valid)} of the mask's {np.count_nonzero(mask)}")


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the mask's box and `margin` pixels around it, inside the picture."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (slice(max(0, y - margin), y + height + margin),
            slice(max(0, x - margin), x + width + margin))


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """bool [h, w] -> the same without pixels closer than `radius` to its border.

    The edge of the picture, where no depths mix, is no border (OpenCV's default).
    """
    if radius == 0:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.erode(mask.view(np.uint8), kernel).view(bool)


def _inliers(depths: np.ndarray, settings: LocalizationSettings) -> np.ndarray:
    """bool [N]: depths [N] near the median, on the scale of their own spread."""
    distance = np.abs(depths - np.median(depths))
    limit = max(settings.outlier * _SPREAD * float(np.median(distance)), settings.tolerance)
    return distance <= limit


def _thinned(indices: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the sorted indices [N], spread evenly; the same ones on every call.

    A plain stride would beat with the width of the target and favour some of its columns.
    """
    if len(indices) <= count:
        return indices
    jitter = np.random.default_rng(0).random(count)
    return indices[((np.arange(count) + jitter) * len(indices) / count).astype(int)]
