"""Plans a composed clip: which cut-outs over which background, where, how large, how they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from samwise_ros.compose.camera_path import camera_path
from samwise_ros.compose.catalogue import Background, CutOut, Pool
from samwise_ros.compose.paths import SCRIPTS, Path, Stage

T = TypeVar("T")
COUNTS = ([1, 2, 3, 4, 5, 6], None, True, [0.08, 0.2, 0.27, 0.23, 0.14, 0.08])
NATIVE_COUNTS = ([0, 1, 2, 3], None, True, [0.3, 0.35, 0.25, 0.1])
MOVING_SCRIPTS = tuple(name for name in SCRIPTS if name != "still")


@dataclass(frozen=True)
class SceneSettings:
    """Size [px] and number of frames of a clip.

    `photographs`: share of scenes over a photograph that brings objects of its own.
    """

    width: int = 320
    height: int = 256
    frames: int = 12
    photographs: float = 0.3

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 64:
            raise ValueError(f"expected at least 64 x 64 pixels, got {self.width} x {self.height}")
        if self.frames < 1:
            raise ValueError(f"expected at least one frame, got {self.frames}")
        if not 0 <= self.photographs <= 1:
            raise ValueError(f"photographs: expected a share in 0..1, got {self.photographs}")


@dataclass(frozen=True)
class Look:
    """How a cut-out is made to fit.

    Args:
        flip: mirrored.
        tilt: [2, 2] float, shear and squeeze around the middle.
        bend: two perspective terms, at most about 0.2.
        gain: [3] float, factor on R, G, B.
        match: share by which its mean brightness goes to that of the background behind it.
        feather: blur of its edge [px].
        shadow: darkness of 0..1.
        shadow_kind: "drop" or "floor".
        shadow_shift: [2] float, offset of a drop shadow in parts of the extent.
    """

    flip: bool
    tilt: np.ndarray
    bend: tuple[float, float]
    gain: np.ndarray
    match: float
    feather: float
    shadow: float
    shadow_kind: str
    shadow_shift: np.ndarray


@dataclass(frozen=True)
class Placement:
    """One cut-out in a clip.

    Args:
        cut_out: what is pasted.
        texture: a background whose pixels fill the cut-out's outline: a decoy without a name;
            None for an object.
        extent: long side at scale 1 [px].
        path, look: how it moves and fits in.
        asked: sentences may mean it.
    """

    cut_out: CutOut
    texture: Background | None
    extent: float
    path: Path
    look: Look
    asked: bool


@dataclass(frozen=True)
class Finish:
    """What the imagined camera does to the whole picture.

    Args:
        blur, noise: sigma in pixels and in levels of 0..255.
        gain: [3] float, factor on R, G, B.
        gamma: exponent of brightness.
        quality: of the JPEG, 1 to 100.
    """

    blur: float
    noise: float
    gain: np.ndarray
    gamma: float
    quality: int


@dataclass(frozen=True)
class ScenePlan:
    """A planned clip; later placements are painted over earlier ones.

    `crop`: x, y, width, height of the background that the resting camera sees, in parts of it.
    """

    split: str
    settings: SceneSettings
    background: Background
    crop: tuple[float, float, float, float]
    mirrored: bool
    camera: str
    views: np.ndarray
    placements: tuple[Placement, ...]
    finish: Finish


def plan_scene(split: str, pool: Pool, settings: SceneSettings,
               rng: np.random.Generator) -> ScenePlan:
    """Draws a scene."""
    photographs = [item for item in pool.backgrounds if item.photograph]
    drawn = [item for item in pool.backgrounds if not item.photograph]
    if pool.photographs and rng.random() < settings.photographs:
        background = pick(pool.photographs, rng)
    else:
        background = pick(drawn if drawn and rng.random() < 0.15 else photographs, rng)
    camera, views = camera_path(settings.frames, settings.width, settings.height, rng)
    native = bool(background.natives)
    count = int(rng.choice(*(NATIVE_COUNTS if native else COUNTS)))
    decoys = int(rng.choice([0, 1, 2, 3], p=[0.55, 0.25, 0.13, 0.07]))
    placements = _placements(split, pool, settings, count, min(decoys, 1) if native else decoys,
                             rng)
    return ScenePlan(split, settings, background, draw_crop(0.75 if native else 0.4, rng),
                     bool(rng.random() < 0.5), camera, views, placements, draw_finish(rng))


def choose_cut_outs(pool: Pool, count: int, rng: np.random.Generator) -> list[CutOut]:
    """A target and others that share its name, kind or colour, or nothing with it."""
    chosen = [pick(pool.targets, rng)]
    while len(chosen) < count:
        like = chosen[0] if rng.random() < 0.6 else pick(chosen, rng)
        own = rng.random() < 0.5 or not pool.fillers
        source = pool.targets if own else pool.fillers
        draw = rng.random()
        if draw < 0.2:
            group = [item for item in source if item.label.name == like.label.name] or [like]
        elif draw < 0.45 and like.label.kind:
            group = [item for item in source if item.label.kind == like.label.kind]
        elif draw < 0.7 and like.label.colour:
            group = [item for item in source if item.label.colour == like.label.colour]
        else:
            group = list(source)
        chosen.append(pick(group or source, rng))
    return chosen


def _placements(split: str, pool: Pool, settings: SceneSettings, count: int, decoys: int,
                rng: np.random.Generator) -> tuple[Placement, ...]:
    cut_outs = choose_cut_outs(pool, count, rng) if count else []
    extents = _extents(count, settings, rng)
    moving = settings.frames > 1
    made: list[Placement] = []
    places: list[np.ndarray] = []
    for number in range(count + decoys):
        decoy = number >= count
        cut_out = pick((*pool.fillers, *pool.targets), rng) if decoy else cut_outs[number]
        texture = pick(pool.backgrounds, rng) if decoy else None
        extent = extents[number] if not decoy else rng.uniform(0.1, 0.4) * settings.height
        place = _place(extent, made, places, settings, rng)
        script = _script(rng) if moving and rng.random() < (0.3 if decoy else 0.6) else "still"
        if script == "hide" and not places:
            script = "glide"
        if script == "hide":
            place = places[int(rng.integers(len(places)))]
        stage = Stage(settings.width, settings.height, settings.frames, extent)
        path = SCRIPTS[script](stage, place, rng)
        made.append(Placement(cut_out, texture, extent, path, draw_look(rng),
                              not decoy and cut_out.split == split))
        places.append(place)
    return tuple(_painted(made, rng))


def _painted(made: Sequence[Placement], rng: np.random.Generator) -> list[Placement]:
    """Order of painting: large ones mostly behind, hiding ones behind all others."""
    keys = [(item.path.script != "hide", -item.extent * rng.uniform(0.6, 1.6)) for item in made]
    return [made[index] for index in sorted(range(len(made)), key=keys.__getitem__)]


def _extents(count: int, settings: SceneSettings, rng: np.random.Generator) -> list[float]:
    short = min(settings.width, settings.height)
    upper = {1: 1.0, 2: 0.8, 3: 0.65}.get(count, 0.55)
    extents = list(np.exp(rng.uniform(np.log(0.15), np.log(upper), count)) * short)
    if count and rng.random() < 0.15:
        extents[0] = rng.uniform(0.8, 1.6) * short  # fills the picture, cut by its border
    return extents


def _place(extent: float, made: Sequence[Placement], places: Sequence[np.ndarray],
           settings: SceneSettings, rng: np.random.Generator) -> np.ndarray:
    """Of a dozen drawn places the first that is clear of the others, else the clearest."""
    best, best_room = np.zeros(2), -np.inf
    for _ in range(12):
        place = rng.uniform([0.08, 0.1], [0.92, 0.9]) * [settings.width, settings.height]
        room = min((float(np.hypot(*(place - other))) / (0.42 * (extent + item.extent))
                    for item, other in zip(made, places)), default=np.inf)
        if room > best_room:
            best, best_room = place, room
        if room > 1:
            break
    return best


def _script(rng: np.random.Generator) -> str:
    return str(rng.choice(MOVING_SCRIPTS))


def draw_look(rng: np.random.Generator) -> Look:
    """Tilt, exposure, edge and shadow of one cut-out."""
    turn = np.deg2rad(rng.normal(0, 12) if rng.random() < 0.85 else rng.uniform(-180, 180))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    squeeze = np.diag(np.exp(rng.normal(0, 0.08, 2)))
    shear = np.array([[1, rng.normal(0, 0.07)], [0, 1]])
    kind = str(rng.choice(["drop", "floor"]))
    return Look(
        flip=bool(rng.random() < 0.5), tilt=rotation @ shear @ squeeze,
        bend=(float(rng.normal(0, 0.06)), float(rng.normal(0, 0.06))),
        gain=np.exp(rng.normal(0, 0.13) + rng.normal(0, 0.03, 3)),
        match=float(rng.uniform(0, 0.35)), feather=float(rng.uniform(0.3, 1.1)),
        shadow=float(rng.uniform(0.15, 0.6)) if rng.random() < 0.55 else 0.0, shadow_kind=kind,
        shadow_shift=rng.normal(0, 0.05, 2) + [0, 0.04])


def draw_crop(least: float, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Which part of a background is seen, at least `least` of its width and height."""
    size = float(rng.uniform(least, 1.0))
    return float(rng.uniform(0, 1 - size)), float(rng.uniform(0, 1 - size)), size, size


def draw_finish(rng: np.random.Generator) -> Finish:
    """Exposure, blur, noise and JPEG quality of a clip."""
    return Finish(
        blur=float(rng.uniform(0.3, 1.2)) if rng.random() < 0.45 else 0.0,
        noise=float(rng.exponential(3.0)) if rng.random() < 0.7 else 0.0,
        gain=np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.035, 3)),
        gamma=float(np.exp(rng.normal(0, 0.15))), quality=int(rng.integers(55, 96)))


def pick(items: Sequence[T], rng: np.random.Generator) -> T:
    """One of the items, all equally likely."""
    return items[int(rng.integers(len(items)))]
