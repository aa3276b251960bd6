"""Scenes made to test something: a target that enters late beside a look-alike, one that is hidden.

Both lay down their parts by object number in `scene["probe"]`, as the simulator does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from samwise_ros.compose.camera_path import camera_path
from samwise_ros.compose.catalogue import CutOut, Pool
from samwise_ros.compose.composed_facts import ComposedFacts
from samwise_ros.compose.composition import (
    Placement,
    ScenePlan,
    SceneSettings,
    draw_crop,
    draw_finish,
    draw_look,
    pick,
)
from samwise_ros.compose.paths import SCRIPTS, Path, Stage
from samwise_ros.compose.sentences import Sentence, SentenceWriter

FEWEST_FRAMES = 12
LOOK_ALIKE, TARGET = 0, 1  # of late_target; in `occlusion` the target is number 0
STEADY = ("fixed", "shake")
SOLID = ("coin", "planet", "moon", "earth", "apple", "orange", "basketball", "soccer ball", "pie",
         "button", "gravestone", "mailbox", "disc", "box")  # outlines that hide what is behind
Write = Callable[[ComposedFacts], SentenceWriter]


@dataclass(frozen=True)
class Probe:
    """How a kind of test scene is made.

    Args:
        plan: draws a scene.
        parts: object numbers and frames that the evaluation needs, or None if the scene as painted
            does not do what it should.
        sentences: what is asked, given a maker of writers.
    """

    plan: Callable[[str, Pool, SceneSettings, np.random.Generator], ScenePlan]
    parts: Callable[[ComposedFacts], dict[str, Any] | None]
    sentences: Callable[[ComposedFacts, dict[str, Any], Write], list[Sentence]]


# -- late target --------------------------------------------------------------------------------


def _plan_late(split: str, pool: Pool, settings: SceneSettings,
               rng: np.random.Generator) -> ScenePlan:
    target = pick(pool.targets, rng)
    others = [item for item in (*pool.targets, *pool.fillers) if item is not target]
    twins = [item for item in others if item.label.name == target.label.name]
    kin = [item for item in others if target.label.kind and item.label.kind == target.label.kind]
    draw = rng.random()
    if draw < 0.35:
        look_alike = target
    elif draw < 0.6 and twins:
        look_alike = pick(twins, rng)
    else:
        look_alike = pick(kin or twins or [target], rng)
    left = bool(rng.random() < 0.5)  # the target comes from here
    places = [(0.72 if left else 0.28, rng.uniform(0.3, 0.7)),
              (rng.uniform(0.22, 0.36), rng.uniform(0.3, 0.7))]
    if not left:
        places[1] = (1 - places[1][0], places[1][1])
    restless = "circle" if rng.random() < 0.25 else "spin" if rng.random() < 0.2 else "still"
    return _scene(split, pool, settings, [(look_alike, places[0], restless),
                                          (target, places[1], "enter")], None, rng)


def _late_parts(facts: ComposedFacts) -> dict[str, Any] | None:
    seen, frames = facts.visible[:, TARGET], len(facts.visible)
    if not seen.any() or not facts.visible[:, LOOK_ALIKE].all():
        return None
    entry = int(np.argmax(seen))
    on_time = 0.15 * frames <= entry <= 0.55 * frames and seen[entry:].all()
    unseen = facts.pixels[:max(entry - 1, 0), TARGET].sum() == 0
    return {"kind": "late_target", "target": TARGET, "distractor": LOOK_ALIKE,
            "entry": entry} if on_time and unseen else None


def _late_sentences(facts: ComposedFacts, parts: dict[str, Any], write: Write) -> list[Sentence]:
    facts = replace(facts, asked=(False, True))
    pixels = facts.pixels[:, TARGET]
    whole, arrived = write(facts), facts.since(int(np.argmax(pixels >= 0.8 * pixels.max())))
    result = whole.write({"name": 2, "synonym": 1, "colour_name": 2, "motion": 3})
    return result + write(arrived).write({"size": 1, "side": 2, "relation": 2})


# -- occlusion ------------------------------------------------------------------------------------


def _plan_occlusion(split: str, pool: Pool, settings: SceneSettings,
                    rng: np.random.Generator) -> ScenePlan:
    target = pick(pool.targets, rng)
    other = pick([*pool.targets, *pool.fillers], rng)
    left = bool(rng.random() < 0.5)
    place = (0.3 if left else 0.7, rng.uniform(0.35, 0.65))
    beside = (0.78 if left else 0.22, rng.uniform(0.3, 0.7))
    if rng.random() < 0.4:
        return _scene(split, pool, settings, [(target, place, "return"), (other, beside, "still")],
                      None, rng)
    solid = [item for item in (*pool.fillers, *pool.targets) if item.label.name in SOLID]
    drift = "still" if rng.random() < 0.6 else "spin"
    return _scene(split, pool, settings, [(target, place, drift), (other, beside, "still")],
                  pick(solid or pool.targets, rng), rng)


def _occlusion_parts(facts: ComposedFacts) -> dict[str, Any] | None:
    seen = facts.pixels[:, 0] > 0
    clear = facts.visible[:, 0]
    gone = np.flatnonzero(~seen)
    if len(gone) < 2 or not clear[:3].all() or not clear[-3:].all():
        return None
    once = np.ptp(gone) + 1 == len(gone)
    return {"kind": "occlusion", "target": 0, "gone": [int(gone[0]), int(gone[-1])]} \
        if once else None


def _occlusion_sentences(facts: ComposedFacts, parts: dict[str, Any],
                         write: Write) -> list[Sentence]:
    facts = replace(facts, asked=(True, False))
    return write(facts).write({"name": 2, "synonym": 1, "hypernym": 1, "colour_name": 2,
                               "motion": 1})


PROBES = {"late_target": Probe(_plan_late, _late_parts, _late_sentences),
          "occlusion": Probe(_plan_occlusion, _occlusion_parts, _occlusion_sentences)}


# -- both -------------------------------------------------------------------------------------


def _scene(split: str, pool: Pool, settings: SceneSettings,
           cast: list[tuple[CutOut, tuple[float, float], str]], occluder: CutOut | None,
           rng: np.random.Generator) -> ScenePlan:
    """The cast in its places; an occluder passes over the first of it."""
    size = np.array([settings.width, settings.height])
    extent = float(rng.uniform(0.28, 0.45) * min(size))
    made = []
    for cut_out, place, script in cast:
        own = extent * float(rng.uniform(0.85, 1.2))
        stage = Stage(settings.width, settings.height, settings.frames, own)
        made.append(Placement(cut_out, None, own,
                              SCRIPTS[script](stage, np.array(place) * size, rng),
                              draw_look(rng), cut_out.split == split))
    if occluder is not None:
        made.append(_passing(occluder, pick(pool.backgrounds, rng), made[0], settings, rng))
    kind, views = camera_path(settings.frames, settings.width, settings.height, rng)
    if kind not in STEADY:
        kind, views = "fixed", np.tile(np.eye(3)[:2], (settings.frames, 1, 1))
    photographs = [item for item in pool.backgrounds if item.photograph]
    return ScenePlan(split, settings, pick(photographs, rng), draw_crop(0.4, rng),
                     bool(rng.random() < 0.5), kind, views, tuple(made), draw_finish(rng))


def _passing(cut_out: CutOut, texture: Any, over: Placement, settings: SceneSettings,
             rng: np.random.Generator) -> Placement:
    """A large nameless thing that crosses the picture over the middle of another."""
    extent = 2.2 * over.extent
    middle = over.path.position[settings.frames // 2]
    sign = int(rng.choice([-1, 1]))
    time = np.linspace(-1, 1, settings.frames)
    # Slow while it covers, so that the gap lasts.
    way = sign * np.sign(time) * np.abs(time) ** 1.6 * (settings.width / 2 + extent)
    position = middle + way[:, None] * np.array([1.0, 0.0])
    still = np.ones(settings.frames)
    look = replace(draw_look(rng), tilt=np.eye(2), bend=(0.0, 0.0))
    return Placement(cut_out, texture, extent, Path("glide", position, still, still * 0), look,
                     False)
