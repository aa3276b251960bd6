"""Renders a clip and gathers its frames, facts and expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from samwise_ros.sim.expressions import Expression, ExpressionWriter
from samwise_ros.sim.facts import ClipFacts, LateTarget
from samwise_ros.sim.geometry import Intrinsics, project
from samwise_ros.sim.plan import ScenePlan, SceneSettings, clip_rng, plan_scene
from samwise_ros.sim.scene import SimFrame, SimulatedCamera

EXPRESSION_STREAM = 1_000_003  # random stream of the wordings, apart from the scene's own
MAX_VARIANTS = 6


@dataclass(frozen=True)
class SimClip:
    """A rendered clip: its plan, frames, measured facts and expressions.

    `probe`: which objects play which part in a scene made to test something, else None.
    """

    plan: ScenePlan
    frames: Sequence[SimFrame]
    facts: ClipFacts
    expressions: Sequence[Expression]
    probe: LateTarget | None = None


def simulate_clip(split: str, seed: int, clip: int, settings: SceneSettings) -> SimClip:
    """Renders clip number `clip`; equal arguments give an equal clip.

    A clip in which some object is never clearly visible is planned anew (at most
    `MAX_VARIANTS` times, after which the last one is taken: its expressions only ever mean
    visible objects).

    Args:
        split: "train", "val" or "test".
        seed, clip: which clip.
        settings: image size, length and frame rate.
    """
    for variant in range(MAX_VARIANTS):
        plan = plan_scene(split, seed, clip, settings, variant)
        with SimulatedCamera(plan) as camera:
            frames = [camera.step() for _ in range(settings.frames)]
        facts = measure_facts(plan, frames)
        if all(facts.ever_visible(index) for index in range(len(plan.objects))):
            break
    rng = clip_rng(split, seed, clip, EXPRESSION_STREAM)
    expressions = ExpressionWriter(facts, split, rng).write(settings.moving)
    return SimClip(plan, frames, facts, expressions)


def rehearse(plan: ScenePlan, frames: int) -> ClipFacts:
    """Facts of the first `frames` frames of a scene, from a rehearsal at a quarter of the size.

    For a live scene: what can be asked of it is known before its first full frame.
    """
    settings = replace(
        plan.settings,
        width=max(plan.settings.width // 4, 32),
        height=max(plan.settings.height // 4, 32),
    )
    intrinsics = Intrinsics.from_field_of_view(
        settings.width, settings.height, plan.intrinsics.vertical_field_of_view
    )
    small = replace(plan, settings=settings, intrinsics=intrinsics)
    with SimulatedCamera(small) as camera:
        return measure_facts(small, [camera.step() for _ in range(frames)])


def live_expressions(plan: ScenePlan, frames: int, rng: np.random.Generator) -> list[Expression]:
    """Expressions that stay true for the first `frames` frames of a live scene."""
    facts = rehearse(plan, frames)
    return ExpressionWriter(facts, plan.split, rng).write(plan.settings.moving)


def measure_facts(plan: ScenePlan, frames: Sequence[SimFrame]) -> ClipFacts:
    """Facts of a clip, measured in its frames."""
    count = len(plan.objects)
    pixels = np.stack(
        [np.bincount(f.instance.ravel(), minlength=count + 1)[1 : count + 1] for f in frames]
    )  # [T, O]
    middles = np.stack([_middles(plan, frame) for frame in frames])  # [T, O, 3]
    seen = np.stack([project(m, f.camera, f.intrinsics) for m, f in zip(middles, frames)])
    tags = [motion.tags for motion in plan.motions]
    facts = ClipFacts(
        objects=plan.objects,
        tags=tags,
        possible_tags=[motion.possible_tags for motion in plan.motions],
        pixels=pixels,
        centres=seen[:, :, :2],
        depths=seen[:, :, 2],
        positions=middles,
        width=plan.settings.width,
        height=plan.settings.height,
        arm=plan.arm is not None,
    )
    return replace(facts, possible_tags=[_possible(facts, index) for index in range(count)])


def _middles(plan: ScenePlan, frame: SimFrame) -> np.ndarray:
    """Middles of the objects' boxes, [O, 3], world frame."""
    return np.stack(
        [
            pose.transform(np.array([[0.0, 0.0, item.box[2] / 2]]))[0]
            for pose, item in zip(frame.objects, plan.objects)
        ]
    )


def _possible(facts: ClipFacts, index: int) -> frozenset[str]:
    """Tags that someone watching the picture might grant an object besides its own.

    A moving camera makes still things come and go, and one thing may cover another by chance.
    """
    extra = set(facts.possible_tags[index])
    seen = facts.visible[:, index]
    if not seen[0]:
        extra |= {"enter", "drop"}
    if seen.any() and not seen[int(np.argmax(seen)) :].all():
        extra |= {"leave", "return", "hide"}
    pixels = facts.pixels[:, index]
    if "still" not in facts.tags[index] and pixels.min() < 0.6 * pixels.max():
        extra.add("hide")
    return frozenset(extra - facts.tags[index])
