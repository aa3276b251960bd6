"""Short rigid-body simulations that record how one object rolls, falls or is pushed.

Each object is a box or a sphere of the size of its mesh; the others stand as obstacles. A
recording is made once, when the scene is planned, so that playing it back is a pure function of
time. World frame, metres, seconds, kilogrammes; gravity is 9.81 m/s^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim.assets import ASSETS
from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.errors import require_pybullet
from samwise_ros.sim.geometry import Pose

STEP = 1 / 240
RECORD_EVERY = 4  # steps
MASS = 0.3
PUSHER_HALF = 0.03


@dataclass(frozen=True)
class Impulse:
    """How the recorded object starts: velocities [m/s, rad/s] and height above home [m]."""

    linear: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angular: tuple[float, float, float] = (0.0, 0.0, 0.0)
    height: float = 0.0


@dataclass(frozen=True)
class Pusher:
    """A small cube that moves at constant `velocity` [m/s] from `start` [m] for `duration` [s]."""

    start: np.ndarray
    velocity: np.ndarray
    duration: float

    def position(self, time: float) -> np.ndarray:
        """Middle of the cube, [3], world frame."""
        return self.start + self.velocity * min(time, self.duration)


@dataclass(frozen=True)
class Recording:
    """Poses of the middle of the footprint: `times` [K], `positions` [K, 3], quaternions [K, 4]."""

    times: np.ndarray
    positions: np.ndarray
    quaternions: np.ndarray


def record(
    item: ObjectContent,
    home: Pose,
    duration: float,
    impulse: Impulse,
    obstacles: Sequence[tuple[ObjectContent, Pose]] = (),
    pusher: Pusher | None = None,
) -> Recording:
    """Lets physics run for `duration` seconds and records one object.

    Args:
        item: the object; a "ball" is a sphere, everything else a box.
        home: its pose before the impulse.
        duration: seconds to record.
        impulse: how it starts.
        obstacles: objects that stand still.
        pusher: what pushes it, if anything.
    """
    bullet = require_pybullet()
    client = bullet.connect(bullet.DIRECT)
    try:
        return _Proxies(bullet, client).run(item, home, duration, impulse, obstacles, pusher)
    finally:
        bullet.disconnect(client)


class _Proxies:
    """The bodies of one recording, in one PyBullet client."""

    def __init__(self, bullet: ModuleType, client: int) -> None:
        self._bullet = bullet
        self._client = client
        bullet.setGravity(0, 0, -9.81, physicsClientId=client)
        bullet.setTimeStep(STEP, physicsClientId=client)
        ground = bullet.createCollisionShape(bullet.GEOM_PLANE, physicsClientId=client)
        self._friction(bullet.createMultiBody(0, ground, physicsClientId=client))

    def run(
        self,
        item: ObjectContent,
        home: Pose,
        duration: float,
        impulse: Impulse,
        obstacles: Sequence[tuple[ObjectContent, Pose]],
        pusher: Pusher | None,
    ) -> Recording:
        for other, pose in obstacles:
            self._proxy(other, pose, 0.0)
        start = Pose(home.position + [0, 0, impulse.height], home.rotation)
        body = self._proxy(item, start, MASS)
        self._bullet.resetBaseVelocity(
            body, impulse.linear, impulse.angular, physicsClientId=self._client
        )
        hand = -1 if pusher is None else self._hand(pusher)
        poses = []
        for step in range(round(duration / STEP) + 1):
            if step % RECORD_EVERY == 0:
                poses.append(self._foot(body, item))
            if pusher is not None:
                self._move(hand, pusher.position(step * STEP), pusher.velocity)
            self._bullet.stepSimulation(physicsClientId=self._client)
        times = np.arange(len(poses)) * STEP * RECORD_EVERY
        return Recording(
            times,
            np.stack([pose.position for pose in poses]),
            np.stack([pose.quaternion for pose in poses]),
        )

    def _proxy(self, item: ObjectContent, pose: Pose, mass: float) -> int:
        bullet = self._bullet
        if ASSETS[item.class_name].round:
            shape = bullet.createCollisionShape(
                bullet.GEOM_SPHERE, radius=item.size / 2, physicsClientId=self._client
            )
        else:
            shape = bullet.createCollisionShape(
                bullet.GEOM_BOX, halfExtents=(item.box / 2).tolist(), physicsClientId=self._client
            )
        middle = pose.transform(np.array([[0, 0, item.box[2] / 2]]))[0]
        body = bullet.createMultiBody(
            mass,
            shape,
            -1,
            middle.tolist(),
            pose.quaternion.tolist(),
            physicsClientId=self._client,
        )
        self._friction(body)
        return body

    def _friction(self, body: int) -> None:
        self._bullet.changeDynamics(
            body,
            -1,
            lateralFriction=0.7,
            rollingFriction=0.0003,
            restitution=0.25,
            linearDamping=0.0,
            physicsClientId=self._client,
        )

    def _hand(self, pusher: Pusher) -> int:
        shape = self._bullet.createCollisionShape(
            self._bullet.GEOM_BOX, halfExtents=[PUSHER_HALF] * 3, physicsClientId=self._client
        )
        return self._bullet.createMultiBody(
            0, shape, -1, pusher.start.tolist(), physicsClientId=self._client
        )

    def _move(self, hand: int, position: np.ndarray, velocity: np.ndarray) -> None:
        self._bullet.resetBasePositionAndOrientation(
            hand, position.tolist(), [0, 0, 0, 1], physicsClientId=self._client
        )
        self._bullet.resetBaseVelocity(hand, velocity.tolist(), physicsClientId=self._client)

    def _foot(self, body: int, item: ObjectContent) -> Pose:
        place, quaternion = self._bullet.getBasePositionAndOrientation(
            body, physicsClientId=self._client
        )
        rotation = Rotation.from_quat(quaternion)
        return Pose(np.array(place) - rotation.apply([0, 0, item.box[2] / 2]), rotation)


def tipping_impulse(item: ObjectContent, home: Pose, towards: np.ndarray) -> Impulse:
    """Velocities with which an upright box just tips over its lower edge.

    A box of height h and width w along `towards` turns about its edge with the moment of inertia
    m (w^2 + h^2) / 3; its middle must rise by sqrt(w^2 + h^2) / 2 - h / 2.

    Args:
        item: the object.
        home: its pose.
        towards: horizontal unit vector [3], world frame.
    """
    local = home.rotation.inv().apply(towards)
    width = float(np.abs(item.box[:2] @ np.abs(local[:2])))
    height = float(item.box[2])
    diagonal = np.hypot(width, height)
    rise = diagonal / 2 - height / 2
    rate = 1.35 * np.sqrt(6 * 9.81 * rise / diagonal**2) + 0.8
    axis = np.cross([0, 0, 1.0], towards)
    arm = -towards * width / 2 + np.array([0, 0, height / 2])  # from the edge to the middle
    linear = np.cross(axis * rate, arm)
    return Impulse(tuple(linear.tolist()), tuple((axis * rate).tolist()))
