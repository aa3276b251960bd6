"""What lies behind the scene: floor below the table and walls, found by casting rays.

PyBullet's software renderer pays for every pixel of every surface, hidden or not. The room is
therefore not part of its scene; pixels that hit nothing are filled in here, with their depth.
"""

from __future__ import annotations

import numpy as np

from samwise_ros.sim.content import SurfaceContent
from samwise_ros.sim.geometry import Intrinsics, Pose

TABLE_HEIGHT = 0.75  # [m] of the table top above the floor
WALL_DISTANCE = 3.0  # [m] from the origin to the walls
SKIRTING = 0.12  # [m], the darker strip at the bottom of the walls


def paint_background(
    rgb: np.ndarray,
    depth: np.ndarray,
    empty: np.ndarray,
    camera: Pose,
    intrinsics: Intrinsics,
    surface: SurfaceContent,
) -> None:
    """Fills the `empty` pixels of a picture, in place.

    Args:
        rgb: uint8 [H, W, 3], changed.
        depth: float32 [H, W], metres along the optical axis, changed.
        empty: bool [H, W], pixels in which no body was hit.
        camera: optical frame in the world.
        intrinsics: pinhole model of the picture.
        surface: colours of the room.
    """
    rows, columns = np.nonzero(empty)
    if not len(rows):
        return
    local = np.stack(
        [
            (columns - intrinsics.cx) / intrinsics.fx,
            (rows - intrinsics.cy) / intrinsics.fy,
            np.ones(len(rows)),
        ],
        axis=1,
    )
    rays = local @ camera.axes.T  # length along the optical axis: 1
    floor = -TABLE_HEIGHT if surface.place == "table" else 0.0
    distance, plane = _first_hit(camera.position, rays, floor)
    height = camera.position[2] + distance * rays[:, 2] - floor
    rgb[rows, columns] = _colours(plane, height, surface)
    depth[rows, columns] = distance


def _first_hit(origin: np.ndarray, rays: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance [N] along each ray to the room, and the plane: 0 floor, 1 sides, 2 front, back."""
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.where(rays[:, 2] < 0, (floor - origin[2]) / rays[:, 2], np.inf)
        side = (np.sign(rays[:, 0]) * WALL_DISTANCE - origin[0]) / rays[:, 0]
        front = (np.sign(rays[:, 1]) * WALL_DISTANCE - origin[1]) / rays[:, 1]
    # A camera driven out of the room sees the walls at a nominal distance, never behind itself.
    hits = np.stack([down, np.where(side > 0, side, 9.0), np.where(front > 0, front, 9.0)])
    hits = np.nan_to_num(hits, nan=9.0, posinf=9.0)
    plane = np.argmin(hits, axis=0)
    return hits[plane, np.arange(hits.shape[1])], plane


def _colours(plane: np.ndarray, height: np.ndarray, surface: SurfaceContent) -> np.ndarray:
    palette = np.array([surface.floor_rgb, np.multiply(surface.wall_rgb, 0.85), surface.wall_rgb])
    if surface.place == "floor":
        palette[0] = surface.surface_rgb
    colours = palette[plane]
    wall = plane > 0
    colours[wall & (height < SKIRTING)] *= 0.6
    colours[wall] *= (0.9 + 0.05 * np.clip(height[wall], 0, 3))[:, None]
    return np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)
