"""Motions that physics makes: rolling, falling over, dropping, being pushed by the arm."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim import arm as arms
from samwise_ros.sim.motions import Motion, Span, Track, Travel
from samwise_ros.sim.physics import PUSHER_HALF, Impulse, Pusher, record, tipping_impulse
from samwise_ros.sim.stage import LONGEST, Stage


def roll(stage: Stage, index: int) -> Motion | None:
    """Rolls over the ground, slowing down a little."""
    heading = stage.heading(index)
    length = stage.rng.uniform(0.28, 0.5)
    if not _free_path(stage, index, heading * length):
        return None
    speed = length / min(stage.duration * 0.85, 1.8)
    spin = np.cross([0, 0, 1.0], heading) * speed / (stage.objects[index].size / 2)
    impulse = Impulse(tuple((heading * speed).tolist()), tuple(spin.tolist()))
    track = _recorded(stage, index, "roll", impulse, {"slide"})
    return track if _moved(track) @ heading > 0.18 else None


def fall(stage: Stage, index: int) -> Motion | None:
    """Tips over and comes to lie on its side."""
    towards = Rotation.from_euler("z", stage.rng.uniform(0, 2 * np.pi)).apply([1.0, 0, 0])
    impulse = tipping_impulse(stage.objects[index], stage.home(index), towards)
    track = _recorded(stage, index, "fall", impulse, {"moves", "drop"})
    upright = Rotation.from_quat(track.quaternions[-1]).apply([0, 0, 1.0])[2]
    return track if upright < 0.5 and np.linalg.norm(_moved(track)[:2]) < 0.5 else None


def drop(stage: Stage, index: int) -> Motion:
    """Drops from above the picture and bounces a little."""
    impulse = Impulse(height=float(stage.rng.uniform(0.7, 1.0)))
    start = stage.start(0.4, 0.1)
    return _recorded(stage, index, "drop", impulse, {"moves", "enter", "fall"}, start=start)


def push(stage: Stage, index: int) -> Motion | None:
    """Is pushed over the ground by the arm."""
    item, home = stage.objects[index], stage.home(index)
    heading = stage.heading(index)
    contact = home.position - heading * (stage.radius(index) + PUSHER_HALF + 0.01)
    start = contact + [0, 0, float(np.clip(0.45 * item.box[2], 0.04, 0.1))]
    length = stage.rng.uniform(0.25, 0.45)
    time = float(stage.rng.uniform(0.6, 0.8) * min(stage.duration, LONGEST))
    if not _free_path(stage, index, heading * length):
        return None
    pusher = Pusher(start, heading * length / time, time)
    base = stage.arm_base(np.stack([start, pusher.position(time)]))
    if base is None:
        return None
    track = _recorded(stage, index, "push", Impulse(), {"slide", "roll"}, pusher)
    moved = _moved(track)
    if moved @ heading < 0.15 or np.linalg.norm(moved) > 0.7:
        return None
    # The same clock as the track's, so that finger and object stay together when it repeats.
    span = Span(track.start, float(track.times[-1]), stage.repeat)
    stage.plan.arm = arms.ArmPlan(base, tuple(start), index, pusher=pusher, span=span)
    return track


def _recorded(
    stage: Stage,
    index: int,
    kind: str,
    impulse: Impulse,
    possible: set[str],
    pusher: Pusher | None = None,
    start: float | None = None,
) -> Track:
    """Lets physics play until the end of the scene; the others stand still meanwhile."""
    start = stage.start(0.15) if start is None else start
    others = [
        (item, home)
        for other, (item, home) in enumerate(zip(stage.objects, stage.plan.homes))
        if other != index
    ]
    length = min(stage.duration - start, LONGEST)
    result = record(stage.objects[index], stage.home(index), length, impulse, others, pusher)
    travels = kind in ("roll", "push")
    moved = result.positions[-1] - result.positions[0]
    return Track(
        kind,
        start,
        result.times,
        result.positions,
        result.quaternions,
        stage.tags(kind, moved) if travels else frozenset({kind}),
        frozenset(possible),
        stage.repeat and travels,
    )


def _free_path(stage: Stage, index: int, offset: np.ndarray) -> bool:
    """A cheap look along a straight line, before physics is asked."""
    span = Span(0.0, stage.duration)
    path = Travel("slide", span, (0.0, 0.0, 0.0), tuple(offset.tolist()), frozenset())
    return stage.allows(index, path)


def _moved(track: Track) -> np.ndarray:
    return track.positions[-1] - track.positions[0]
