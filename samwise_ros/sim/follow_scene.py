"""A scene to follow something in: two balls that move and a cube, before a robot on the floor."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim.assets import ASSETS, COLOURS
from samwise_ros.sim.camera_motion import CameraScript
from samwise_ros.sim.content import ObjectContent, SurfaceContent
from samwise_ros.sim.geometry import Intrinsics, Pose
from samwise_ros.sim.motions import Circle, Motion, Span, Still, Travel
from samwise_ros.sim.plan import ScenePlan, SceneSettings

EYE = (0.0, -1.2, 0.40)  # [m] camera at the start
LOOKS_AT = (0.0, 1.6, 0.15)
PITCH = float(np.arctan2(EYE[2] - LOOKS_AT[2], LOOKS_AT[1] - EYE[1]))  # down [rad]
_VIEW = np.deg2rad(64)  # vertical opening angle
_ENDLESS = 600.0  # [s] planned length; motions repeat


def follow_scene(width: int = 320, height: int = 240, fps: float = 10.0) -> ScenePlan:
    """A red ball on a small circle, a blue one that rolls to and fro farther away, a yellow cube.

    Both balls stay in the view of a robot that follows either of them.

    Args:
        width, height: image size [px].
        fps: frames per second of simulated time.
    """
    settings = SceneSettings(width, height, fps, round(_ENDLESS * fps), repeat=True,
                             place="floor", camera="fixed")
    objects = [_object("ball", "red", 0.4), _object("ball", "blue", 0.4),
               _object("cube", "yellow", 0.28)]
    homes = [_at(0.2, 0.8), _at(0.4, 2.4), _at(-1.1, 2.3)]
    motions: list[Motion] = [
        Circle(start=2.0, radius=0.3, rate=0.3, angle=0.0, face=False),
        Travel("roll", Span(0.0, 6.0, repeat=True), (0.0, 0.0, 0.0), (0.5, -0.2, 0.0),
               frozenset({"moves", "roll"})),
        Still(),
    ]
    camera = CameraScript("fixed", EYE, LOOKS_AT)
    intrinsics = Intrinsics.from_field_of_view(width, height, float(_VIEW))
    return ScenePlan(settings, "test", objects, homes, _surface(), camera, intrinsics, motions)


def object_names(plan: ScenePlan) -> list[str]:
    """What each object is called, e.g. "red ball", in the order of instance numbers."""
    return [f"{item.colour} {item.class_name}" for item in plan.objects]


def radius(plan: ScenePlan, index: int) -> float:
    """Half of an object's largest side [m]."""
    return plan.objects[index].size / 2


def _object(name: str, colour: str, size: float) -> ObjectContent:
    if name not in ASSETS:
        raise ValueError(f"expected a class of {tuple(ASSETS)}, got {name!r}")
    return ObjectContent(name, colour, COLOURS[colour], size)


def _at(x: float, y: float) -> Pose:
    return Pose(np.array([x, y, 0.0]), Rotation.identity())


def _surface() -> SurfaceContent:
    return SurfaceContent(
        place="floor", surface_rgb=(0.62, 0.58, 0.52), floor_rgb=(0.55, 0.53, 0.5),
        wall_rgb=(0.72, 0.73, 0.7), texture_seed=5, light=(0.4, -0.8, 1.8), ambient=0.6,
        diffuse=0.4, specular=0.03, shadow=False)
