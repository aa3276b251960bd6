"""The scene of the demo and what is asked about it.

Both follow from a seed of the test split and from what is in its scenes, never from how well a
model does: the first scene, counted from clip 0, in which

1. at least three objects stand, one of them alone in its colour, another alone in its class;
2. every object is visible in each frame of a rehearsal;
3. a colour, a class, and a colour with a class can be asked for, of three different objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

from samwise_ros.sim.clip_renderer import EXPRESSION_STREAM, rehearse
from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.errors import SimulationError
from samwise_ros.sim.expressions import Expression, ExpressionWriter
from samwise_ros.sim.plan import ScenePlan, SceneSettings, clip_rng, plan_scene

SPLIT = "test"
ASKED_KINDS = ("colour", "class", "colour_class")
_FITTED_FRAMES = 32  # that motions are planned into; they repeat
_MOST_CLIPS = 300


@dataclass(frozen=True)
class DemoScene:
    """Number of a scene of the test split, and one expression with one target per kind asked."""

    seed: int
    clip: int
    expressions: tuple[Expression, ...]


def demo_plan(seed: int, clip: int, rate: float, width: int = 320, height: int = 240) -> ScenePlan:
    """A live scene of the test split, in real time at `rate` frames per second."""
    settings = SceneSettings(width, height, rate, _FITTED_FRAMES, repeat=True)
    return plan_scene(SPLIT, seed, clip, settings)


def choose_scene(seed: int, rate: float, frames: int) -> DemoScene:
    """The first scene of a seed that follows the rules above; takes some seconds.

    Args:
        seed: of the test split.
        rate: frames per second.
        frames: length of the rehearsal.

    Raises:
        SimulationError: no scene of this seed does.
        MissingDependencyError: PyBullet is not installed.
    """
    for clip in range(_MOST_CLIPS):
        plan = demo_plan(seed, clip, rate)
        if not _may_be_asked(plan.objects):
            continue
        facts = rehearse(plan, frames)
        if not facts.visible.all():
            continue
        rng = clip_rng(SPLIT, seed, clip, EXPRESSION_STREAM)
        chosen = choose_expressions(ExpressionWriter(facts, SPLIT, rng).write(moving=True))
        if chosen:
            return DemoScene(seed, clip, chosen)
    raise SimulationError(f"none of the first {_MOST_CLIPS} scenes of seed {seed} can be asked for "
                          f"{', '.join(ASKED_KINDS)}: take another seed")


def choose_expressions(written: list[Expression]) -> tuple[Expression, ...]:
    """The first expression of each kind, of different single targets; () if there are none."""
    choices = [[item for item in written if item.kind == kind and len(item.targets) == 1]
               for kind in ASKED_KINDS]
    for chosen in product(*choices):
        if len({item.targets for item in chosen}) == len(ASKED_KINDS):
            return chosen
    return ()


def _may_be_asked(objects: Sequence[ObjectContent]) -> bool:
    """Rule 1, which needs no rendering."""
    colours = [item.colour for item in objects]
    names = [item.class_name for item in objects]
    return len(objects) >= len(ASKED_KINDS) and any(
        colours.count(first.colour) == 1 and names.count(second.class_name) == 1
        for first, second in permutations(objects, 2))
