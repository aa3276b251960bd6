"""Decides who moves how in a scene, and checks that it can be seen and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim import arm as arms
from samwise_ros.sim.assets import ASSETS
from samwise_ros.sim.camera import CameraScript
from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.geometry import Intrinsics, Pose
from samwise_ros.sim.layout import image_box, inside_share, radius
from samwise_ros.sim.motions import Circle, Lift, Motion, Span, Spin, Still, Track, Travel
from samwise_ros.sim.motions import direction_tag as direction_of
from samwise_ros.sim.physics import PUSHER_HALF, Impulse, Pusher, record, tipping_impulse

TRIES = 10
CHECKS = 9  # points in time at which collisions and visibility are checked
FALLING_CLASSES = ("robot", "teddy", "duck", "mug")

KIND_WEIGHTS: dict[str, dict[str, float]] = {
    "ball": dict(roll=6, circle=1, lift=0.7, push=1, drop=0.6, enter=1, leave=0.7, back=0.7, hide=1),
    "car": dict(drive=6, circle=1.5, spin=0.6, enter=1.2, leave=0.7, back=0.7, hide=1, lift=0.5),
    "other": dict(
        slide=3.5, push=2.5, fall=2.5, lift=1.4, circle=1, spin=0.7, drop=0.6, enter=1, leave=0.7,
        back=0.7, hide=1,
    ),
}  # fmt: skip


@dataclass
class Choreography:
    """Homes (possibly moved), motions per object and the arm, if there is one."""

    homes: list[Pose]
    motions: list[Motion]
    arm: arms.ArmPlan | None = None


class Choreographer:
    """Finds motions for one scene.

    Args:
        objects, homes: what stands where.
        camera, intrinsics: how it is seen.
        duration: seconds in which every motion must have shown itself.
        repeat: motions swing to and fro for ever; directions are then no longer true.
        rng: source of randomness.
    """

    def __init__(
        self,
        objects: Sequence[ObjectContent],
        homes: Sequence[Pose],
        camera: CameraScript,
        intrinsics: Intrinsics,
        duration: float,
        repeat: bool,
        rng: np.random.Generator,
    ) -> None:
        self._objects = objects
        self._intrinsics = intrinsics
        self._duration = duration
        self._repeat = repeat
        self._rng = rng
        self._radii = [radius(item) for item in objects]
        self._times = np.linspace(0.0, duration, CHECKS)
        self._cameras = [camera.pose(float(time)) for time in self._times]
        self._plan = Choreography(list(homes), [Still() for _ in objects])
        axes = self._cameras[0].axes
        self._right = axes[:, 0] / np.linalg.norm(axes[:, 0])
        away = axes[:, 2] * [1, 1, 0]
        self._away = away / np.linalg.norm(away)

    def plan(self) -> Choreography | None:
        """Motions for one to three objects, or None if not even one was found."""
        count = len(self._objects)
        wanted = int(self._rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))
        wanted = min(wanted, max(count - 1, 1))
        moved = 0
        for index in self._order():
            if moved == wanted:
                break
            moved += self._try_moving(index)
        if self._plan.arm is None and self._rng.random() < 0.12:
            self._plan.arm = self._idle_arm()
        return self._plan if moved else None

    def _order(self) -> list[int]:
        """Objects that share their class with another first: then only the motion tells."""
        names = [item.class_name for item in self._objects]
        score = [self._rng.random() - (0.5 if names.count(name) > 1 else 0.0) for name in names]
        return [int(index) for index in np.argsort(score)]

    def _try_moving(self, index: int) -> bool:
        name = self._objects[index].class_name
        weights = dict(KIND_WEIGHTS.get(name, KIND_WEIGHTS["other"]))
        if name not in FALLING_CLASSES:
            weights.pop("fall", None)
        for motion in self._plan.motions:  # the same motion twice is rarely told apart
            weights[motion.kind] = weights.get(motion.kind, 0.0) * 0.5
        if self._plan.arm is not None:
            weights |= {"push": 0.0, "lift": 0.0}
        kinds = [kind for kind in weights if weights[kind] > 0]
        share = np.array([weights[kind] for kind in kinds])
        before = replace(self._plan, homes=list(self._plan.homes))
        # One kind is tried several times before the next: otherwise those that fit anywhere
        # (spinning, being lifted) would crowd out those that need room (rolling, driving).
        for kind in self._rng.choice(kinds, len(kinds), replace=False, p=share / share.sum()):
            for _ in range(TRIES):
                motion = getattr(self, f"_{kind}")(index)
                if motion is not None and self._fine(index, motion):
                    self._plan.motions[index] = motion
                    return True
                self._plan.homes, self._plan.arm = list(before.homes), before.arm
        return False

    # -- checks -------------------------------------------------------------------------------

    def _fine(self, index: int, motion: Motion) -> bool:
        """No collision with another object, and in the picture as far as the kind allows."""
        item, home = self._objects[index], self._plan.homes[index]
        poses = [motion.pose(float(time), home) for time in self._times]
        if not all(self._clear(index, pose, time) for pose, time in zip(poses, self._times)):
            return False
        shares = [
            inside_share(image_box(item, pose, camera, self._intrinsics), self._intrinsics)
            for pose, camera in zip(poses, self._cameras)
        ]
        if motion.kind in ("enter", "drop"):
            return shares[0] < 0.02 and shares[-1] > 0.75
        if motion.kind == "leave":
            return shares[0] > 0.75 and shares[-1] < 0.02
        if motion.kind == "back":
            return shares[0] > 0.75 and min(shares) < 0.15 and shares[-1] > 0.6
        return min(shares) > (0.45 if motion.kind == "lift" else 0.75)

    def _clear(self, index: int, pose: Pose, time: float) -> bool:
        for other, (item, home) in enumerate(zip(self._objects, self._plan.homes)):
            if other == index:
                continue
            place = self._plan.motions[other].pose(float(time), home).position
            offset = pose.position - place
            gap = np.hypot(offset[0], offset[1]) - self._radii[other] - self._radii[index]
            if gap < -0.03 and abs(offset[2]) < 0.3:
                return False
        return True

    # -- ingredients --------------------------------------------------------------------------

    def _span(self, shortest: float = 0.45) -> Span:
        start = self._rng.uniform(0.0, 0.15) * self._duration
        longest = min(self._duration - start, 3.0)
        duration = self._rng.uniform(min(shortest * self._duration, longest), longest)
        return Span(float(start), float(duration), self._repeat)

    def _heading(self, index: int) -> np.ndarray:
        """A direction [3] over the ground, mostly sideways and to where there is room."""
        place = self._plan.homes[index].position
        axis = self._right if self._rng.random() < 0.75 else self._away
        room = -np.sign(place @ axis) or 1.0
        base = axis * (room if self._rng.random() < 0.75 else -room)
        return Rotation.from_euler("z", self._rng.uniform(-0.25, 0.25)).apply(base)

    def _tags(self, kind: str, displacement: np.ndarray) -> frozenset[str]:
        direction = direction_of(displacement, self._cameras[0])
        if self._repeat or direction is None:
            return frozenset({"moves", kind})
        return frozenset({"moves", kind, direction})

    def _travel(
        self, kind: str, tag: str, begin: np.ndarray, end: np.ndarray, possible: set[str]
    ) -> Travel:
        return Travel(
            kind,
            self._span(),
            tuple(begin.tolist()),
            tuple(end.tolist()),
            self._tags(tag, end - begin),
            frozenset(possible - {tag}),
        )

    def _face(self, index: int, heading: np.ndarray) -> None:
        """Turns a car so that it drives forwards (its x axis) along `heading`."""
        if self._objects[index].class_name == "car":
            yaw = float(np.arctan2(heading[1], heading[0]))
            home = self._plan.homes[index]
            self._plan.homes[index] = Pose(home.position, Rotation.from_euler("z", yaw))

    def _outside(self, index: int, heading: np.ndarray) -> np.ndarray | None:
        """Offset along `heading` at which the object is just out of the picture."""
        item, home = self._objects[index], self._plan.homes[index]
        for distance in np.arange(0.3, 2.2, 0.1):
            pose = Pose(home.position + heading * distance, home.rotation)
            for camera in (self._cameras[0], self._cameras[-1]):
                box = image_box(item, pose, camera, self._intrinsics)
                if inside_share(box, self._intrinsics) > 0.0:
                    break
            else:
                return heading * distance
        return None

    # -- kinds --------------------------------------------------------------------------------

    def _slide(self, index: int) -> Motion:
        end = self._heading(index) * self._rng.uniform(0.22, 0.5)
        return self._travel("slide", "slide", np.zeros(3), end, {"roll", "drive"})

    def _drive(self, index: int) -> Motion:
        heading = self._heading(index)
        self._face(index, heading)
        end = heading * self._rng.uniform(0.25, 0.55)
        return self._travel("drive", "drive", np.zeros(3), end, {"slide", "roll"})

    def _circle(self, index: int) -> Motion:
        turns = self._rng.uniform(0.7, 1.2) / min(self._duration, 3.0)
        rate = 2 * np.pi * turns * self._rng.choice([-1, 1])
        return Circle(
            start=float(self._rng.uniform(0, 0.1) * self._duration),
            radius=float(self._rng.uniform(0.1, 0.17)),
            rate=float(rate),
            angle=float(self._rng.uniform(0, 2 * np.pi)),
            face=self._objects[index].class_name == "car",
        )

    def _spin(self, index: int) -> Motion | None:
        rate = 2 * np.pi * self._rng.uniform(0.6, 1.3) / min(self._duration, 3.0)
        start = self._rng.uniform(0, 0.1) * self._duration
        return Spin(float(start), float(rate * self._rng.choice([-1, 1])))

    def _enter(self, index: int) -> Motion | None:
        heading = self._right * self._rng.choice([-1, 1])
        begin = self._outside(index, heading)
        if begin is None:
            return None
        self._face(index, -heading)
        motion = self._travel("enter", "enter", begin, np.zeros(3), {"slide", "roll", "drive"})
        # "Entering late": now and then well after a look-alike has been on stage.
        start = self._rng.uniform(0.05, 0.4) * self._duration
        span = Span(float(start), min(self._duration - float(start), 1.5), self._repeat)
        return replace(motion, span=span)

    def _leave(self, index: int) -> Motion | None:
        heading = self._right * self._rng.choice([-1, 1])
        end = self._outside(index, heading)
        if end is None:
            return None
        self._face(index, heading)
        return self._travel("leave", "leave", np.zeros(3), end, {"slide", "roll", "drive"})

    def _back(self, index: int) -> Motion | None:
        motion = self._leave(index)
        if motion is None:
            return None
        start = self._rng.uniform(0.0, 0.1) * self._duration
        return replace(
            motion,
            kind="back",
            back=True,
            span=Span(float(start), self._duration * 0.85, self._repeat),
            tags=frozenset({"moves", "return"}),
            possible_tags=frozenset(
                {"left", "right", "leave", "enter", "slide", "roll", "drive", "near", "far"}
            ),
        )

    def _hide(self, index: int) -> Motion | None:
        """Passes behind, or comes to rest behind, an object at least as tall."""
        item = self._objects[index]
        walls = [
            other
            for other, thing in enumerate(self._objects)
            if other != index
            and thing.box[2] > 0.9 * item.box[2]
            and isinstance(self._plan.motions[other], Still)
        ]
        if not walls:
            return None
        other = int(self._rng.choice(walls))
        gap = radius(item) + radius(self._objects[other]) + 0.01
        spot = self._plan.homes[other].position + self._away * gap
        side = self._right * self._rng.choice([-1, 1]) * self._rng.uniform(0.3, 0.45)
        self._plan.homes[index] = Pose(spot, self._plan.homes[index].rotation)
        self._face(index, -side)
        end = -side * self._rng.choice([0.0, 0.9])
        return self._travel("hide", "hide", side, end, {"slide", "roll", "drive"})

    # -- physics ------------------------------------------------------------------------------

    def _recorded(
        self,
        index: int,
        kind: str,
        impulse: Impulse,
        possible: set[str],
        pusher: Pusher | None = None,
        start: float | None = None,
    ) -> Track:
        """Lets physics play until the end of the scene; the others stand still meanwhile."""
        if start is None:
            start = float(self._rng.uniform(0.0, 0.15) * self._duration)
        others = [
            (item, home)
            for other, (item, home) in enumerate(zip(self._objects, self._plan.homes))
            if other != index
        ]
        length = min(self._duration - start, 3.0)
        result = record(
            self._objects[index], self._plan.homes[index], length, impulse, others, pusher
        )
        moved = result.positions[-1] - result.positions[0]
        tags = self._tags(kind, moved) if kind in ("roll", "push") else frozenset({kind})
        return Track(
            kind,
            start,
            result.times,
            result.positions,
            result.quaternions,
            tags,
            frozenset(possible),
            self._repeat and kind in ("roll", "push"),
        )

    def _roll(self, index: int) -> Motion | None:
        heading = self._heading(index)
        length = self._rng.uniform(0.28, 0.5)
        if not self._free_path(index, heading * length):
            return None
        speed = length / min(self._duration * 0.85, 1.8)
        spin = np.cross([0, 0, 1.0], heading) * speed / (self._objects[index].size / 2)
        impulse = Impulse(tuple((heading * speed).tolist()), tuple(spin.tolist()))
        track = self._recorded(index, "roll", impulse, {"slide"})
        moved = track.positions[-1] - track.positions[0]
        return track if moved @ heading > 0.18 else None

    def _free_path(self, index: int, offset: np.ndarray) -> bool:
        """A cheap look along a straight line, before physics is asked."""
        span = Span(0.0, self._duration)
        path = Travel("slide", span, (0.0, 0.0, 0.0), tuple(offset.tolist()), frozenset())
        return self._fine(index, path)

    def _fall(self, index: int) -> Motion | None:
        towards = Rotation.from_euler("z", self._rng.uniform(0, 2 * np.pi)).apply([1.0, 0, 0])
        impulse = tipping_impulse(self._objects[index], self._plan.homes[index], towards)
        track = self._recorded(index, "fall", impulse, {"moves", "drop"})
        upright = Rotation.from_quat(track.quaternions[-1]).apply([0, 0, 1.0])[2]
        drift = np.linalg.norm((track.positions[-1] - track.positions[0])[:2])
        return track if upright < 0.5 and drift < 0.5 else None

    def _drop(self, index: int) -> Motion:
        height = float(self._rng.uniform(0.7, 1.0))
        start = float(self._rng.uniform(0.1, 0.4) * self._duration)
        return self._recorded(
            index, "drop", Impulse(height=height), {"moves", "enter", "fall"}, start=start
        )

    def _push(self, index: int) -> Motion | None:
        item, home = self._objects[index], self._plan.homes[index]
        heading = self._heading(index)
        contact = home.position - heading * (radius(item) + PUSHER_HALF + 0.01)
        start = contact + [0, 0, float(np.clip(0.45 * item.box[2], 0.04, 0.1))]
        length = self._rng.uniform(0.25, 0.45)
        time = float(self._rng.uniform(0.6, 0.8) * min(self._duration, 3.0))
        if not self._free_path(index, heading * length):
            return None
        pusher = Pusher(start, heading * length / time, time)
        base = self._arm_base(np.stack([start, pusher.position(time)]))
        if base is None:
            return None
        track = self._recorded(index, "push", Impulse(), {"slide", "roll"}, pusher)
        moved = track.positions[-1] - track.positions[0]
        if moved @ heading < 0.15 or np.linalg.norm(moved) > 0.7:
            return None
        span = Span(track.start, time, self._repeat)
        self._plan.arm = arms.ArmPlan(base, tuple(start), index, pusher=pusher, span=span)
        return track

    def _lift(self, index: int) -> Motion | None:
        home = self._plan.homes[index]
        base = self._arm_base(home.position[None])
        if base is None:
            return None
        lift = Lift(self._span(0.6), float(self._rng.uniform(0.16, 0.3)))
        self._plan.arm = arms.ArmPlan(base, tuple(home.position), index, lift=lift)
        return lift

    def _arm_base(self, points: np.ndarray) -> tuple[float, float, float] | None:
        for _ in range(6):
            side = self._rng.uniform(-0.35, 0.35)
            base = self._right * side + self._away * self._rng.uniform(0.8, 0.95)
            free = all(
                np.linalg.norm((home.position - base)[:2]) > 0.3 for home in self._plan.homes
            )
            if free and arms.within_reach(base, points):
                return tuple(float(value) for value in base)
        return None

    def _idle_arm(self) -> arms.ArmPlan | None:
        rest = self._away * 0.35 + self._right * self._rng.uniform(-0.2, 0.2) + [0, 0, 0.45]
        base = self._arm_base(rest[None])
        return None if base is None else arms.ArmPlan(base, tuple(rest.tolist()))


def travels_like(name: str) -> str:
    """The verb tag with which an object of class `name` moves over the ground."""
    if ASSETS[name].round:
        return "roll"
    return "drive" if name == "car" else "slide"
