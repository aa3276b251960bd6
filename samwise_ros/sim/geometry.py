"""Poses and the pinhole camera.

Frames of reference: the *world* frame has z up, its origin in the middle of the working area on
the surface the objects stand on. The *optical* frame of a camera follows the ROS convention
(REP 103): x to the right, y down, z forward along the optical axis. Lengths are metres, angles
radians, quaternions are (x, y, z, w).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Pose:
    """Position [m], float64 [3], and orientation of a frame in the world frame."""

    position: np.ndarray
    rotation: Rotation

    @cached_property
    def axes(self) -> np.ndarray:
        """Rotation matrix [3, 3]; its columns are this frame's axes in the world."""
        return self.rotation.as_matrix()

    @property
    def matrix(self) -> np.ndarray:
        """4 x 4 homogeneous transform from this frame to the world, float64."""
        result = np.eye(4)
        result[:3, :3] = self.axes
        result[:3, 3] = self.position
        return result

    @property
    def quaternion(self) -> np.ndarray:
        """Orientation as (x, y, z, w), float64 [4]."""
        return self.rotation.as_quat()

    @property
    def inverse(self) -> Pose:
        """Of the world in this frame."""
        back = self.rotation.inv()
        return Pose(back.apply(-self.position), back)

    def transform(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] of this frame, expressed in the world frame, [N, 3]."""
        return points @ self.axes.T + self.position


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole intrinsics in pixels; pixel (0, 0) is the middle of the top left pixel."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_field_of_view(cls, width: int, height: int, vertical: float) -> Intrinsics:
        """Square pixels; `vertical` field of view [rad].

        PyBullet's software renderer samples pixels on their edges and counts rows from below, so
        that its optical axis meets the picture half a pixel right of and above the middle.
        """
        focal = height / 2 / np.tan(vertical / 2)
        return cls(width, height, focal, focal, width / 2, height / 2 - 1)

    @property
    def matrix(self) -> np.ndarray:
        """3 x 3 camera matrix K, float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    @property
    def vertical_field_of_view(self) -> float:
        """Vertical opening angle [rad]."""
        return float(2 * np.arctan(self.height / 2 / self.fy))


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> Pose:
    """Camera pose at `eye` whose optical axis goes through `target` (world frame, [m]).

    Args:
        eye: camera position, [3].
        target: point that appears in the image centre, [3]; must not lie above or below `eye`.
        roll: rotation about the optical axis [rad].

    Returns:
        Pose of the optical frame in the world.
    """
    forward = np.asarray(target, float) - np.asarray(eye, float)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    rotation = Rotation.from_matrix(np.stack([right, down, forward], axis=1))
    return Pose(np.asarray(eye, float), rotation * Rotation.from_euler("z", roll))


def project(points: np.ndarray, camera: Pose, intrinsics: Intrinsics) -> np.ndarray:
    """Projects world points into the image.

    Args:
        points: [N, 3] in the world frame [m].
        camera: pose of the optical frame in the world.
        intrinsics: pinhole model.

    Returns:
        [N, 3]: pixel column, pixel row, depth [m] along the optical axis. The pixel of a point
        behind the camera (depth <= 0) has no meaning.
    """
    local = (np.atleast_2d(points) - camera.position) @ camera.axes
    depth = local[:, 2]
    safe = np.where(depth > 1e-6, depth, 1e-6)
    column = intrinsics.fx * local[:, 0] / safe + intrinsics.cx
    row = intrinsics.fy * local[:, 1] / safe + intrinsics.cy
    return np.stack([column, row, depth], axis=1)


def box_corners(sides: np.ndarray) -> np.ndarray:
    """Corners [8, 3] of a box with `sides` [3] that stands on the origin (z from 0 up)."""
    return _BOX_SIGNS * np.asarray(sides)


_BOX_SIGNS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
