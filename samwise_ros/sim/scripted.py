"""Motions that follow a script: each function proposes one for an object on a stage, or None.

A proposal may turn or move the object's home and engage the arm; whoever asks restores both when
the proposal is not taken.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from samwise_ros.sim import arm as arms
from samwise_ros.sim.geometry import Pose
from samwise_ros.sim.motions import Circle, Lift, Motion, Span, Spin, Still, Travel
from samwise_ros.sim.stage import LONGEST, Stage

OVER_GROUND = frozenset({"slide", "roll", "drive"})
ORIGIN = np.zeros(3)


def slide(stage: Stage, index: int) -> Motion:
    """Slides in a straight line."""
    end = stage.heading(index) * stage.rng.uniform(0.22, 0.5)
    return _travel(stage, "slide", ORIGIN, end)


def drive(stage: Stage, index: int) -> Motion:
    """Drives forwards in a straight line."""
    heading = stage.heading(index)
    stage.face(index, heading)
    return _travel(stage, "drive", ORIGIN, heading * stage.rng.uniform(0.25, 0.55))


def circle(stage: Stage, index: int) -> Motion:
    """Goes round and round."""
    turns = stage.rng.uniform(0.7, 1.2) / min(stage.duration, LONGEST)
    rate = 2 * np.pi * turns * stage.rng.choice([-1, 1])
    return Circle(
        start=stage.start(0.1),
        radius=float(stage.rng.uniform(0.1, 0.17)),
        rate=float(rate),
        angle=float(stage.rng.uniform(0, 2 * np.pi)),
        face=stage.objects[index].class_name == "car",
    )


def spin(stage: Stage, index: int) -> Motion:
    """Turns on the spot."""
    rate = 2 * np.pi * stage.rng.uniform(0.6, 1.3) / min(stage.duration, LONGEST)
    return Spin(stage.start(0.1), float(rate * stage.rng.choice([-1, 1])))


def enter(stage: Stage, index: int) -> Travel | None:
    """Comes in from the side, now and then well after a look-alike has been on stage."""
    heading = stage.sideways()
    begin = stage.outside(index, heading)
    if begin is None:
        return None
    stage.face(index, -heading)
    start = stage.start(0.4, 0.05)
    span = Span(start, min(stage.duration - start, 1.5), stage.repeat)
    return _in_and_out(stage, replace(_travel(stage, "enter", begin, ORIGIN), span=span))


def leave(stage: Stage, index: int) -> Travel | None:
    """Goes out of the picture on one side and stays away."""
    heading = stage.sideways()
    end = stage.outside(index, heading)
    if end is None:
        return None
    stage.face(index, heading)
    return _in_and_out(stage, _travel(stage, "leave", ORIGIN, end))


def back(stage: Stage, index: int) -> Motion | None:
    """Goes out of the picture on one side and comes back."""
    motion = leave(stage, index)
    if motion is None:
        return None
    return replace(
        motion,
        kind="back",
        back=True,
        span=Span(stage.start(0.1), stage.duration * 0.85, stage.repeat),
        tags=frozenset({"moves", "return"}),
        possible_tags=OVER_GROUND | {"left", "right", "near", "far", "leave", "enter"},
    )


def hide(stage: Stage, index: int) -> Motion | None:
    """Passes behind, or comes to rest behind, an object about as tall or taller."""
    item = stage.objects[index]
    walls = [
        other
        for other, thing in enumerate(stage.objects)
        if other != index
        and thing.box[2] > 0.9 * item.box[2]
        and isinstance(stage.plan.motions[other], Still)
    ]
    if not walls:
        return None
    other = int(stage.rng.choice(walls))
    gap = stage.radius(index) + stage.radius(other) + 0.01
    spot = stage.home(other).position + stage.away * gap
    side = stage.sideways() * stage.rng.uniform(0.3, 0.45)
    stage.plan.homes[index] = Pose(spot, stage.home(index).rotation)
    stage.face(index, -side)
    return _travel(stage, "hide", side, -side * stage.rng.choice([0.0, 0.9]))


def lift(stage: Stage, index: int) -> Motion | None:
    """Is picked up by the arm."""
    home = stage.home(index)
    base = stage.arm_base(home.position[None])
    if base is None:
        return None
    motion = Lift(stage.span(0.6), float(stage.rng.uniform(0.16, 0.3)))
    stage.plan.arm = arms.ArmPlan(base, tuple(home.position), index, lift=motion)
    return motion


def idle_arm(stage: Stage) -> arms.ArmPlan | None:
    """An arm that only stands there."""
    rest = stage.away * 0.35 + stage.right * stage.rng.uniform(-0.2, 0.2) + [0, 0, 0.45]
    base = stage.arm_base(rest[None])
    return None if base is None else arms.ArmPlan(base, tuple(rest.tolist()))


def _travel(stage: Stage, kind: str, begin: np.ndarray, end: np.ndarray) -> Travel:
    return Travel(
        kind,
        stage.span(),
        tuple(begin.tolist()),
        tuple(end.tolist()),
        stage.tags(kind, end - begin),
        OVER_GROUND - {kind},
    )


def _in_and_out(stage: Stage, motion: Travel) -> Travel:
    """Repeated for ever, entering and leaving are one and the same: leaving and coming back."""
    if not stage.repeat:
        return motion
    possible = motion.possible_tags | {"enter", "leave"}
    return replace(motion, tags=frozenset({"moves", "return"}), possible_tags=possible)
