"""Where a target is in space: mask + aligned depth + intrinsics. NumPy and OpenCV, no ROS import.

Frame of reference: the camera's optical frame (x right, y down, z forward, REP 103). Depth follows
REP 118: uint16 holds millimetres with 0 for "unknown", float32 holds metres with NaN for "unknown"
and -inf / +inf for "too near / too far"; none of these is a measurement.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from samwise_ros.messages.camera_model import (
    CameraInfoError,
    LocalizationError,
    Pinhole,
    pinhole_from_info,  # noqa: F401  offered with the rest
)
from samwise_ros.structures import ConfigError

DEPTH_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_METRES = {np.dtype(np.uint16): 1e-3, np.dtype(np.float32): 1.0}  # per unit, REP 118
_SPREAD = 1.4826  # median absolute deviation -> standard deviation of a normal distribution
_TRIM = 0.01  # share of points beyond either end of the size in depth


class DepthError(LocalizationError):
    """The depth image can't be used with this mask."""


class TooFewPixelsError(LocalizationError):
    """The target has too few pixels with a depth; an everyday event, not a fault."""


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
    rays = camera.rays(rows, columns)
    seen = np.isfinite(rays).all(axis=1)
    if np.count_nonzero(seen) < settings.min_pixels:
        raise TooFewPixelsError(f"{len(seen) - np.count_nonzero(seen)} of {len(seen)} pixels with "
                                "a depth are where the distortion of camera_info has no inverse")
    kept = seen & _inliers(depths, settings)
    rows, columns, depths, rays = rows[kept], columns[kept], depths[kept], rays[kept]
    points = np.column_stack([rays * depths[:, None], depths]).astype(np.float32)
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    low[2], high[2] = np.quantile(depths, (_TRIM, 1 - _TRIM))
    # What was eroded on both sides, and the half pixels at either end, belong to the target.
    border = ((2 * erosion + 1) * float(np.median(depths))
              * camera.pixel_size(float(np.median(rows)), float(np.median(columns))))
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
    unit = 1e3 if depth.dtype == np.uint16 else 1.0
    raise TooFewPixelsError(
        f"expected at least {settings.min_pixels} pixels with a depth, got "
        f"{np.count_nonzero(valid)} of "
        f"the mask's {np.count_nonzero(mask)}{_census(metres[mask], unit, settings)}")


def _census(metres: np.ndarray, unit: float, settings: LocalizationSettings) -> str:
    """What is wrong with the depths [N] of a mask; `unit` of the message per metre."""
    if not len(metres):
        return ""
    near, far = settings.min_depth, settings.max_depth
    values = metres[np.isfinite(metres) & (metres > 0)]
    counts = (np.count_nonzero(np.isnan(metres) | ((metres <= 0) & np.isfinite(metres))),
              np.count_nonzero((metres < near) & ((metres > 0) | np.isneginf(metres))),
              np.count_nonzero(metres > far))
    text = (f": {counts[0]} without a value (0, NaN), {counts[1]} nearer than {near:g} m, "
            f"{counts[2]} farther than {far:g} m")
    if not len(values):
        return f"{text}; not one value: is the sensor covered, or the target too near?"
    median = float(np.median(values))
    text += f"; median of the values {median:g} m"
    if unit == 1 and median > far and near <= median / 1e3 <= far:
        return f"{text}: millimetres in a 32FC1 image? It holds metres (REP 118)"
    if unit > 1 and median < near <= median * unit <= far:
        return f"{text}: metres in a 16UC1 image? It holds millimetres (REP 118)"
    return text


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
