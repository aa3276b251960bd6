"""Decides who moves how in a scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samwise_ros.sim import dynamic, scripted
from samwise_ros.sim.motions import Motion
from samwise_ros.sim.stage import Choreography, Stage

TRIES = 10
FALLING_CLASSES = ("robot", "teddy", "duck", "mug")
IDLE_ARM_SHARE = 0.12

KINDS: dict[str, Callable[[Stage, int], Motion | None]] = {
    "roll": dynamic.roll,
    "fall": dynamic.fall,
    "drop": dynamic.drop,
    "push": dynamic.push,
    "slide": scripted.slide,
    "drive": scripted.drive,
    "circle": scripted.circle,
    "spin": scripted.spin,
    "lift": scripted.lift,
    "enter": scripted.enter,
    "leave": scripted.leave,
    "back": scripted.back,
    "hide": scripted.hide,
}

KIND_WEIGHTS: dict[str, dict[str, float]] = {
    "ball": {"roll": 6, "circle": 1, "lift": 0.7, "push": 1, "drop": 0.6, "enter": 1, "leave": 0.7,
             "back": 0.7, "hide": 1},
    "car": {"drive": 6, "circle": 1.5, "spin": 0.6, "enter": 1.2, "leave": 0.7, "back": 0.7,
            "hide": 1, "lift": 0.5},
    "other": {"slide": 3.5, "push": 2.5, "fall": 2.5, "lift": 1.4, "circle": 1, "spin": 0.7,
              "drop": 0.6, "enter": 1, "leave": 0.7, "back": 0.7, "hide": 1},
}  # fmt: skip


def choreograph(stage: Stage) -> Choreography | None:
    """Finds motions for one to three objects of a stage, or None if not even one was found.

    At least one object stays still wherever there is more than one.
    """
    count = len(stage.objects)
    wanted = int(stage.rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))
    wanted = min(wanted, max(count - 1, 1))
    moved = 0
    for index in _order(stage):
        if moved == wanted:
            break
        moved += _try_moving(stage, index)
    add_idle_arm(stage)
    return stage.plan if moved else None


def add_idle_arm(stage: Stage) -> None:
    """Puts an arm that does nothing into some of the scenes without one."""
    if stage.plan.arm is None and stage.rng.random() < IDLE_ARM_SHARE:
        stage.plan.arm = scripted.idle_arm(stage)


def _order(stage: Stage) -> list[int]:
    """Objects that share their class with another first: then only the motion tells."""
    names = [item.class_name for item in stage.objects]
    score = [stage.rng.random() - (0.5 if names.count(name) > 1 else 0.0) for name in names]
    return [int(index) for index in np.argsort(score)]


def _weights(stage: Stage, index: int) -> dict[str, float]:
    name = stage.objects[index].class_name
    weights = dict(KIND_WEIGHTS.get(name, KIND_WEIGHTS["other"]))
    if name not in FALLING_CLASSES:
        weights.pop("fall", None)
    for motion in stage.plan.motions:  # the same motion twice is rarely told apart
        if motion.kind in weights:
            weights[motion.kind] *= 0.5
    if stage.plan.arm is not None:  # there is one arm
        weights |= {"push": 0.0, "lift": 0.0}
    return {kind: weight for kind, weight in weights.items() if weight > 0}


def _try_moving(stage: Stage, index: int) -> bool:
    weights = _weights(stage, index)
    kinds, share = list(weights), np.array(list(weights.values()))
    homes, arm = list(stage.plan.homes), stage.plan.arm
    # One kind is tried several times before the next: otherwise those that fit anywhere
    # (spinning, being lifted) would crowd out those that need room (rolling, driving).
    for kind in stage.rng.choice(kinds, len(kinds), replace=False, p=share / share.sum()):
        for _ in range(TRIES):
            motion = KINDS[str(kind)](stage, index)
            if motion is not None and stage.allows(index, motion):
                stage.plan.motions[index] = motion
                return True
            stage.plan.homes, stage.plan.arm = list(homes), arm
    return False
