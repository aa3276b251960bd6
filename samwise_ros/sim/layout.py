"""Finds places for the objects so that every one is in the picture and can be made out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.geometry import Intrinsics, Pose, box_corners, project

REGION = ((-0.52, 0.52), (-0.36, 0.46))  # x and y range [m] of the working area
GAP = 0.02  # [m]
MAX_OVERLAP = 0.22  # of the smaller one's image box
MAX_OUTSIDE = 0.06  # share of the image box that may be cut off


def image_box(item: ObjectContent, pose: Pose, camera: Pose, intrinsics: Intrinsics) -> np.ndarray:
    """Box around the projected object: left, top, right, bottom [px], float64 [4]."""
    pixels = project(pose.transform(box_corners(item.box)), camera, intrinsics)[:, :2]
    return np.concatenate([pixels.min(0), pixels.max(0)])


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection of two image boxes as a share of the smaller one."""
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[2:], second[2:])
    common = np.prod(np.maximum(high - low, 0))
    smaller = min(np.prod(first[2:] - first[:2]), np.prod(second[2:] - second[:2]))
    return float(common / max(smaller, 1e-9))


def inside_share(box: np.ndarray, intrinsics: Intrinsics) -> float:
    """Share of an image box that lies inside the picture."""
    picture = np.array([0, 0, intrinsics.width, intrinsics.height], float)
    low = np.maximum(box[:2], picture[:2])
    high = np.minimum(box[2:], picture[2:])
    return float(np.prod(np.maximum(high - low, 0)) / max(np.prod(box[2:] - box[:2]), 1e-9))


def radius(item: ObjectContent) -> float:
    """Radius [m] of the circle around the footprint."""
    return float(np.linalg.norm(item.box[:2]) / 2)


def place_objects(
    objects: Sequence[ObjectContent],
    camera: Pose,
    intrinsics: Intrinsics,
    rng: np.random.Generator,
    region: tuple[tuple[float, float], tuple[float, float]] = REGION,
    gap: float = GAP,
) -> list[Pose] | None:
    """Poses of all objects, standing on the surface, or None if they do not fit.

    Objects do not touch, are (nearly) fully in view and overlap little in the picture.

    Args:
        objects, camera, intrinsics: what is to be seen, and from where.
        rng: source of randomness.
        region: x and y range [m] of their middles.
        gap: least distance [m] between the circles around their footprints.
    """
    radii = [radius(item) for item in objects]
    poses: list[Pose] = []
    boxes: list[np.ndarray] = []
    for item in objects:
        for _ in range(80):
            spot = np.array([rng.uniform(*region[0]), rng.uniform(*region[1]), 0.0])
            pose = Pose(spot, Rotation.from_euler("z", rng.uniform(0, 2 * np.pi)))
            gaps = [
                np.linalg.norm(spot - other.position) - radii[len(poses)] - radii[index]
                for index, other in enumerate(poses)
            ]
            if min(gaps, default=1.0) < gap:
                continue
            box = image_box(item, pose, camera, intrinsics)
            if inside_share(box, intrinsics) < 1 - MAX_OUTSIDE:
                continue
            if any(overlap(box, other) > MAX_OVERLAP for other in boxes):
                continue
            poses.append(pose)
            boxes.append(box)
            break
        else:
            return None
    return poses
