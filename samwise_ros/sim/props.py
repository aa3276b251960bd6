"""Things that belong to the surroundings: a tray now and then. Nothing is ever asked about them.

Props are drawn last and from their own random numbers: they go where nothing stands or moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim.assets import Vector
from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.geometry import Pose
from samwise_ros.sim.layout import radius
from samwise_ros.sim.motions import Motion

TRAY_SOURCE = "tray/tray.urdf"
TRAY_SIDE = 0.6  # [m] of the tray in the file
TRAY_SHARE = 0.15
CHECKS = 9


@dataclass(frozen=True)
class Prop:
    """A model of `pybullet_data` at `pose` (world frame), scaled and in one colour (sRGB 0..1)."""

    source: str
    scale: float
    pose: Pose
    rgb: Vector


def sample_props(
    objects: Sequence[ObjectContent],
    homes: Sequence[Pose],
    motions: Sequence[Motion],
    duration: float,
    rng: np.random.Generator,
) -> tuple[Prop, ...]:
    """A tray in some scenes, clear of every object at all times; mostly nothing.

    Args:
        objects, homes, motions: who stands and moves where.
        duration: seconds during which to keep clear.
        rng: source of randomness.
    """
    if rng.random() > TRAY_SHARE:
        return ()
    scale = float(rng.uniform(0.4, 0.65))
    reach = scale * TRAY_SIDE * 0.7
    taken = [
        (motion.pose(float(time), home).position[:2], radius(item))
        for item, home, motion in zip(objects, homes, motions)
        for time in np.linspace(0.0, duration, CHECKS)
    ]
    grey, warm = rng.uniform(0.3, 0.7), rng.uniform(0.0, 0.1)
    for _ in range(30):
        spot = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.35, 0.7), 0.002])
        if all(np.linalg.norm(spot[:2] - place) > reach + size for place, size in taken):
            turn = Rotation.from_euler("z", rng.uniform(0, np.pi))
            rgb = (float(grey + warm), float(grey + 0.4 * warm), float(grey - 0.7 * warm))
            return (Prop(TRAY_SOURCE, scale, Pose(spot, turn), rgb),)
    return ()
