"""Renders a clip and gathers its frames, facts and expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samwise_ros.sim.expressions import Expression, ExpressionWriter
from samwise_ros.sim.facts import ClipFacts
from samwise_ros.sim.geometry import project
from samwise_ros.sim.plan import ScenePlan, SceneSettings, clip_rng, plan_scene
from samwise_ros.sim.scene import SimFrame, SimulatedCamera

EXPRESSION_STREAM = 1_000_003  # random stream of the wordings, apart from the scene's own
MAX_VARIANTS = 6


@dataclass(frozen=True)
class SimClip:
    """A rendered clip: its plan, frames, measured facts and expressions."""

    plan: ScenePlan
    frames: Sequence[SimFrame]
    facts: ClipFacts
    expressions: Sequence[Expression]


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


def measure_facts(plan: ScenePlan, frames: Sequence[SimFrame]) -> ClipFacts:
    """Facts of a clip, measured in its frames."""
    count = len(plan.objects)
    pixels = np.stack(
        [np.bincount(f.instance.ravel(), minlength=count + 1)[1 : count + 1] for f in frames]
    )
    middles = [
        np.stack(
            [
                pose.transform(np.array([[0.0, 0.0, item.box[2] / 2]]))[0]
                for pose, item in zip(frame.objects, plan.objects)
            ]
        )
        for frame in frames
    ]
    seen = [project(m, f.camera, f.intrinsics) for m, f in zip(middles, frames)]
    seen = np.stack(seen)
    return ClipFacts(
        objects=plan.objects,
        tags=[motion.tags for motion in plan.motions],
        possible_tags=[motion.tags for motion in plan.motions],
        pixels=pixels,
        centres=seen[:, :, :2],
        depths=seen[:, :, 2],
        positions=np.stack(middles),
        width=plan.settings.width,
        height=plan.settings.height,
    )
