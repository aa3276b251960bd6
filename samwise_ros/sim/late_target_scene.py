"""Scenes that put a memory to the test: a look-alike is there first, what is named comes later.

A tracker that only half understands the sentence settles on the look-alike, remembers it, and stays
with it when the target enters. The scenes measure how soon it changes over, and they teach the
Conditional Memory Encoder, whose label "switch" needs passes that point at different objects.

* Object 0, the look-alike, has the target's class, in half of the scenes its colour too, and is in
  view on every frame. Object 1 is the target: out of view, then it enters from a side. In some
  scenes there is a third object of another class.
* Every sentence means the target. Motions are judged over the whole clip, relations from when the
  target is wholly in view. Until it enters the right answer is an empty mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from samwise_ros.sim import scripted
from samwise_ros.sim.assets import CLASS_NAMES
from samwise_ros.sim.camera_motion import sample_camera
from samwise_ros.sim.choreography import add_idle_arm
from samwise_ros.sim.clip_renderer import EXPRESSION_STREAM, SimClip, measure_facts
from samwise_ros.sim.content import (
    HELD_OUT_PAIRS,
    ObjectContent,
    allowed_pairs,
    sample_object,
    sample_scale,
    sample_surface,
)
from samwise_ros.sim.errors import SimulationError
from samwise_ros.sim.expressions import Expression, ExpressionWriter
from samwise_ros.sim.facts import ClipFacts, LateTarget
from samwise_ros.sim.layout import place_objects
from samwise_ros.sim.motions import Motion, Span
from samwise_ros.sim.plan import PROP_STREAM, ScenePlan, SceneSettings, clip_rng
from samwise_ros.sim.props import sample_props
from samwise_ros.sim.scene import SimulatedCamera
from samwise_ros.sim.stage import Choreography, Stage

LATE_TARGET_STREAM = 1_000_033  # random stream of these scenes, apart from all others
DISTRACTOR, TARGET = 0, 1
FEWEST_FRAMES = 12
ENTRY_SHARE = (0.2, 0.45)  # of the clip, in which the target appears
TWIN_SHARE, THIRD_SHARE, RESTLESS_SHARE = 0.5, 0.4, 0.4
QUOTA = {"motion": 3, "relation": 3, "colour_class": 1}
FEWEST_EXPRESSIONS = 3
MAX_VARIANTS = 200


def simulate_late_target(split: str, seed: int, clip: int, settings: SceneSettings) -> SimClip:
    """Renders clip number `clip` of this kind; equal arguments give an equal clip.

    Raises:
        SimulationError: no scene was found, which only absurd image sizes or lengths bring about.
    """
    for variant in range(MAX_VARIANTS):
        plan = _plan(split, seed, clip, settings, variant)
        if plan is None:
            continue
        with SimulatedCamera(plan) as camera:
            frames = [camera.step() for _ in range(settings.frames)]
        facts = measure_facts(plan, frames)
        part = _part(facts)
        if part is None:
            continue
        rng = clip_rng(split, seed, clip, LATE_TARGET_STREAM, EXPRESSION_STREAM)
        expressions = _expressions(facts, split, rng)
        if len(expressions) >= FEWEST_EXPRESSIONS:
            return SimClip(plan, frames, facts, expressions, part)
    raise SimulationError(f"no late target found for {split} seed {seed} clip {clip} at "
                          f"{settings.width}x{settings.height}: use an aspect ratio between 1:1 "
                          f"and 2:1 and {FEWEST_FRAMES} frames or more")


def _plan(split: str, seed: int, clip: int, settings: SceneSettings,
          variant: int) -> ScenePlan | None:
    """A scene, or None when the objects do not fit or the target has no way in."""
    rng = clip_rng(split, seed, clip, LATE_TARGET_STREAM, variant)
    objects = _objects(split, rng)
    surface = sample_surface(rng)
    if settings.place is not None:
        surface = replace(surface, place=settings.place)
    camera, intrinsics = sample_camera(rng, settings.width, settings.height, True)
    if settings.camera is not None:
        camera = replace(camera, kind=settings.camera)
    homes = place_objects(objects, camera.pose(0.0), intrinsics, rng)
    if homes is None:
        return None
    stage = Stage(objects, homes, camera, intrinsics, settings.duration, False, rng)
    show = _choreograph(stage, settings)
    if show is None:
        return None
    rng = clip_rng(split, seed, clip, LATE_TARGET_STREAM, variant, PROP_STREAM)
    props = sample_props(objects, show.homes, show.motions, settings.duration, rng)
    return ScenePlan(settings, split, objects, show.homes, surface, camera, intrinsics,
                     show.motions, show.arm, props)


def _objects(split: str, rng: np.random.Generator) -> list[ObjectContent]:
    """Look-alike, target and now and then a third object."""
    allowed = allowed_pairs(split)
    # As elsewhere, half of the test scenes are about a pair never seen in training.
    held = [pair for pair in allowed if pair in HELD_OUT_PAIRS]
    target = _choose(held if held and rng.random() < 0.5 else allowed, rng)
    others = [pair for pair in allowed if pair[1] == target[1] and pair != target]
    pairs = [target if rng.random() < TWIN_SHARE else _choose(others, rng), target]
    if rng.random() < THIRD_SHARE:
        names = [name for name in CLASS_NAMES if name != target[1]]
        third = names[int(rng.integers(len(names)))]
        pairs.append(_choose([pair for pair in allowed if pair[1] == third], rng))
    scale = sample_scale(len(pairs), rng)
    return [sample_object(pair, scale, rng) for pair in pairs]


def _choose(pairs: Sequence[tuple[str, str]], rng: np.random.Generator) -> tuple[str, str]:
    return pairs[int(rng.integers(len(pairs)))]


def _choreograph(stage: Stage, settings: SceneSettings) -> Choreography | None:
    motion = _entrance(stage, settings)
    if motion is None or not stage.allows(TARGET, motion):
        return None
    stage.plan.motions[TARGET] = motion
    for index in range(len(stage.objects)):
        if index != TARGET and stage.rng.random() < RESTLESS_SHARE:
            _stir(stage, index)
    add_idle_arm(stage)
    return stage.plan


def _entrance(stage: Stage, settings: SceneSettings) -> Motion | None:
    motion = scripted.enter(stage, TARGET)
    if motion is None:
        return None
    low, high = ENTRY_SHARE
    # It needs a frame or two from just out of view until something of it shows.
    start = stage.rng.uniform(low, high) * stage.duration - 1.5 / settings.fps
    length = min(stage.rng.uniform(0.6, 1.0), stage.duration * 0.5)
    return replace(motion, span=Span(float(max(start, 0.0)), float(length)))


def _stir(stage: Stage, index: int) -> None:
    """Lets an object that is there from the start move a little, if there is room."""
    kinds = {"ball": (scripted.circle,), "car": (scripted.drive, scripted.circle)}.get(
        stage.objects[index].class_name, (scripted.slide, scripted.circle, scripted.spin))
    homes = list(stage.plan.homes)
    motion = kinds[int(stage.rng.integers(len(kinds)))](stage, index)
    if stage.allows(index, motion):
        stage.plan.motions[index] = motion
    else:
        stage.plan.homes = homes


def _part(facts: ClipFacts) -> LateTarget | None:
    """The parts as they were seen; None when the look-alike hides or the target is not late."""
    frames = len(facts.pixels)
    present, look_alike = facts.visible[:, TARGET], facts.pixels[:, DISTRACTOR]
    if not present.any() or not facts.always_visible([DISTRACTOR]):
        return None
    entry = int(np.argmax(present))
    on_time = ENTRY_SHARE[0] * frames <= entry <= (ENTRY_SHARE[1] + 0.1) * frames
    unseen = facts.pixels[: max(entry - 1, 0), TARGET].sum() == 0  # an edge may show just before
    in_the_open = look_alike.min() > 0.5 * look_alike.max()
    if on_time and unseen and present[entry:].all() and in_the_open:
        return LateTarget(TARGET, DISTRACTOR, entry)
    return None


def _expressions(facts: ClipFacts, split: str, rng: np.random.Generator) -> list[Expression]:
    pixels = facts.pixels[:, TARGET]
    arrived = facts.since(int(np.argmax(pixels >= 0.8 * pixels[-1])))
    whole, later = (ExpressionWriter(part, split, rng) for part in (facts, arrived))
    result: list[Expression] = []
    for kind, count in QUOTA.items():
        result += (later if kind == "relation" else whole).about(TARGET, {kind: count})
    return result
