"""Scenes to grasp in: toys that fit into a gripper, a tray, a camera that sees both, a robot arm.

It is the world of `plan_scene` at a quarter of its size: objects of 4 to 9 cm, as many and as alike
as there, before a camera that looks down at them from opposite the arm as steeply as there. World
frame: z up, metres, the origin in the middle of the working area on the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim.assets import ASSETS, COLOUR_NAMES
from samwise_ros.sim.camera_motion import CameraScript
from samwise_ros.sim.content import (
    ObjectContent,
    PairSampler,
    SurfaceContent,
    sample_object,
    sample_surface,
)
from samwise_ros.sim.errors import SimulationError
from samwise_ros.sim.geometry import Intrinsics, Pose
from samwise_ros.sim.layout import place_objects
from samwise_ros.sim.plan import clip_rng
from samwise_ros.sim.props import TRAY_SIDE, TRAY_SOURCE, Prop

SPLIT = "test"
BASE = (0.0, 0.60, 0.0)  # foot of the arm
BASE_YAW = -np.pi / 2  # it looks along -y, towards the camera
BASE_POSE = Pose(np.array(BASE), Rotation.from_euler("z", BASE_YAW))
TRAY = (0.0, 0.24)
TRAY_ROOM = (0.02, 0.24)  # middle of its larger compartment
TRAY_SCALE = 0.3
_STREAM = 14  # random stream of these scenes
_REGION = ((-0.15, 0.15), (-0.11, 0.08))  # x and y range [m] of the objects
_GAP = 0.03  # [m] between footprints: room for a finger
_SIZES = (0.060, 0.069)  # [m] common scale of a scene's objects
_WIDEST = 0.068  # [m] of what has to go between the fingers, which open by 0.08
# Low enough to look under the hand, which hides what it grasps from a camera that is higher.
_EYE, _LOOKS_AT = (0.0, -0.34, 0.21), (0.0, 0.095, 0.03)
_VIEW = np.deg2rad(44)  # vertical opening angle
_ATTEMPTS = 200


@dataclass(frozen=True)
class GraspScene:
    """Where everything stands at the start, and what shall be picked.

    Attributes:
        objects, homes: Contents and poses of footprints, world frame.
        surface, tray, camera, intrinsics: As in a ScenePlan.
        target: Index of the object that `sentence` names.
    """

    objects: Sequence[ObjectContent]
    homes: Sequence[Pose]
    surface: SurfaceContent
    tray: Prop
    camera: Pose
    intrinsics: Intrinsics
    target: int

    @property
    def sentence(self) -> str:
        """E.g. "the red mug"."""
        return sentence_of(self.objects[self.target])


def sentence_of(item: ObjectContent) -> str:
    """What an object is called: no two of a scene are called the same."""
    return f"the {item.colour} {item.class_name}"


def names() -> list[str]:
    """Every name that an object can have; its place, from 1, is the object's instance number."""
    return [f"{colour} {name}" for colour in COLOUR_NAMES for name in ASSETS]


def number_of(item: ObjectContent) -> int:
    """The instance number of an object: 1 + the place of its name in `names`."""
    return names().index(f"{item.colour} {item.class_name}") + 1


def grasp_scene(seed: int, number: int, width: int = 320, height: int = 240) -> GraspScene:
    """Scene `number` of a seed; equal arguments give an equal scene.

    Raises:
        SimulationError: No layout was found, which only absurd image sizes bring about.
    """
    camera = CameraScript("fixed", _EYE, _LOOKS_AT).pose(0.0)
    intrinsics = Intrinsics.from_field_of_view(width, height, float(_VIEW))
    for attempt in range(_ATTEMPTS):
        rng = clip_rng(SPLIT, seed, number, _STREAM, attempt)
        count = int(rng.integers(3, 5))
        scale = rng.uniform(*_SIZES)
        objects = [_fitting(pair, scale, rng) for pair in PairSampler(SPLIT, rng).draw(count)]
        homes = place_objects(objects, camera, intrinsics, rng, _REGION, _GAP)
        if homes is None:
            continue
        surface = replace(sample_surface(rng), place="table")
        return GraspScene(objects, homes, surface, _tray(rng), camera, intrinsics,
                          int(rng.integers(count)))
    raise SimulationError(f"no layout found for scene {number} of seed {seed} at {width}x{height}")


def in_tray(position: np.ndarray) -> bool:
    """Whether a point [3], world frame, is above the tray."""
    return bool((np.abs(position[:2] - TRAY) < TRAY_SCALE * TRAY_SIDE / 2).all())


def _fitting(pair: tuple[str, str], scale: float, rng: np.random.Generator) -> ObjectContent:
    """An object that goes between the fingers with its narrower side."""
    item = sample_object(pair, scale, rng)
    width = min(item.box[:2])
    return item if width <= _WIDEST else replace(item, size=item.size * _WIDEST / width)


def _tray(rng: np.random.Generator) -> Prop:
    grey = float(rng.uniform(0.3, 0.7))
    return Prop(TRAY_SOURCE, TRAY_SCALE, Pose(np.array([*TRAY, 0.002]), Rotation.identity()),
                (grey, grey, grey))
