"""The plan of a scene: everything that is drawn by chance, before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from samwise_ros.sim.arm import ArmPlan
from samwise_ros.sim.camera_motion import CAMERA_KINDS, CameraScript, sample_camera
from samwise_ros.sim.choreography import add_idle_arm, choreograph
from samwise_ros.sim.content import (
    PLACES,
    SPLITS,
    ObjectContent,
    SurfaceContent,
    sample_objects,
    sample_surface,
)
from samwise_ros.sim.errors import SimulationError
from samwise_ros.sim.geometry import Intrinsics, Pose
from samwise_ros.sim.layout import place_objects
from samwise_ros.sim.motions import Motion
from samwise_ros.sim.props import Prop, sample_props
from samwise_ros.sim.stage import Choreography, Stage

MAX_ATTEMPTS = 200
PROP_STREAM = 7  # random stream of the props, apart from everything else


@dataclass(frozen=True)
class SceneSettings:
    """What the caller decides about a scene.

    Args:
        width, height: image size [px].
        fps: frames per second of simulated time.
        frames: length that motions are fitted into; 1 plans a still without motion.
        repeat: motions swing to and fro for ever (live scenes of any length).
        place: "table" or "floor"; None leaves it to chance.
        camera: a kind of camera ("fixed", "panning", "handheld"); None leaves it to chance.
    """

    width: int = 320
    height: int = 240
    fps: float = 8.0
    frames: int = 16
    repeat: bool = False
    place: str | None = None
    camera: str | None = None

    def __post_init__(self) -> None:
        if self.place not in (None, *PLACES):
            raise ValueError(f"expected a place of {PLACES} or None, got {self.place!r}")
        if self.camera not in (None, *CAMERA_KINDS):
            raise ValueError(f"expected a camera of {CAMERA_KINDS} or None, got {self.camera!r}")
        if min(self.width, self.height) < 32:
            raise ValueError(f"expected an image of at least 32x32, got {self.width}x{self.height}")
        if self.frames < 1 or self.fps <= 0:
            raise ValueError(
                f"expected frames >= 1 and fps > 0, got {self.frames} frames at {self.fps} fps"
            )

    @property
    def moving(self) -> bool:
        """Whether anything moves: too short a clip shows no motion."""
        return self.frames >= 4

    @property
    def duration(self) -> float:
        """Planned length [s]."""
        return self.frames / self.fps


@dataclass(frozen=True)
class ScenePlan:
    """A complete scene; the same plan always gives the same frames."""

    settings: SceneSettings
    split: str
    objects: Sequence[ObjectContent]
    homes: Sequence[Pose]
    surface: SurfaceContent
    camera: CameraScript
    intrinsics: Intrinsics
    motions: Sequence[Motion]
    arm: ArmPlan | None = None
    props: Sequence[Prop] = ()


def clip_rng(split: str, seed: int, clip: int, *stream: int) -> np.random.Generator:
    """The random numbers of one clip and purpose; no two clips or splits share them.

    Raises:
        ValueError: unknown split, or a negative number.
    """
    if split not in SPLITS:
        raise ValueError(f"expected a split of {SPLITS}, got {split!r}")
    if min(seed, clip) < 0:
        raise ValueError(f"expected seed and clip >= 0, got {seed} and {clip}")
    return np.random.default_rng([SPLITS.index(split), seed, clip, *stream])


def plan_scene(
    split: str, seed: int, clip: int, settings: SceneSettings, variant: int = 0
) -> ScenePlan:
    """Draws a scene whose objects fit into the picture.

    Args:
        split: "train", "val" or "test".
        seed, clip: which scene; equal arguments give an equal plan.
        settings: size and length.
        variant: another try for the same clip, used when a rendered clip shows too little.

    Raises:
        SimulationError: no layout was found, which only absurd image sizes bring about.
    """
    for attempt in range(MAX_ATTEMPTS):
        rng = clip_rng(split, seed, clip, variant, attempt)
        # Something that moves needs room.
        shares = [0.2, 0.42, 0.28, 0.1] if settings.moving else [0.12, 0.36, 0.34, 0.18]
        count = int(rng.choice([2, 3, 4, 5], p=shares))
        objects = sample_objects(split, count, rng)
        surface = sample_surface(rng)
        if settings.place is not None:
            surface = replace(surface, place=settings.place)
        camera, intrinsics = sample_camera(rng, settings.width, settings.height, settings.moving)
        if settings.camera is not None:
            camera = replace(camera, kind=settings.camera)
        homes = place_objects(objects, camera.pose(0.0), intrinsics, rng)
        if homes is None:
            continue
        show = _choreograph(settings, objects, homes, camera, intrinsics, rng)
        if show is None:
            continue
        rng = clip_rng(split, seed, clip, variant, attempt, PROP_STREAM)
        props = sample_props(objects, show.homes, show.motions, settings.duration, rng)
        return ScenePlan(
            settings,
            split,
            objects,
            show.homes,
            surface,
            camera,
            intrinsics,
            show.motions,
            show.arm,
            props,
        )
    raise SimulationError(
        f"no layout found for {split} seed {seed} clip {clip} at "
        f"{settings.width}x{settings.height}: use an aspect ratio between 1:1 and 2:1"
    )


def _choreograph(
    settings: SceneSettings,
    objects: Sequence[ObjectContent],
    homes: list[Pose],
    camera: CameraScript,
    intrinsics: Intrinsics,
    rng: np.random.Generator,
) -> Choreography | None:
    stage = Stage(objects, homes, camera, intrinsics, settings.duration, settings.repeat, rng)
    if settings.moving:
        return choreograph(stage)
    add_idle_arm(stage)
    return stage.plan
