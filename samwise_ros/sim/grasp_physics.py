"""The physics of grasping: an arm, toys that weigh and rub, a tray. Nothing is glued.

World frame, metres, seconds, kilogrammes; gravity is 9.81 m/s^2. Balls are spheres; cubes, cars,
robots and teddies boxes of their size; all others have the convex hulls of their meshes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim.assets import ASSETS
from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.errors import require_pybullet
from samwise_ros.sim.geometry import Pose
from samwise_ros.sim.grasp_scene import BASE, BASE_YAW, GraspScene
from samwise_ros.sim.panda import MOST_OPEN, Panda

STEP = 1 / 240
MASS = 0.08  # [kg] of a toy
_FRICTION = {"lateralFriction": 0.8, "spinningFriction": 0.002, "rollingFriction": 0.0002,
             "restitution": 0.0}
_FASTEST = 0.25  # [m/s] of the hand
_FASTEST_TURN = 1.5  # [rad/s]
_SOLVE_EVERY = 4  # steps between two solutions of the inverse kinematics
_SETTLING = 0.5  # [s] for toys to come to rest, before anybody looks
_BOXES = ("cube", "car", "robot", "teddy")  # the hull of a teddy does not stand
_DOWNWARDS = Rotation.from_euler("x", np.pi)  # the hand's z axis, where its fingers point to


class GraspPhysics:
    """One scene that time goes on in. Call `close` when done.

    Attributes:
        goal: Where the tip of the gripper shall go, [3] in the world.
        goal_yaw: Turn of the hand about the vertical [rad] there, from the arm's own forward axis.
        yaw: The turn of the hand on its way there.
        goal_opening: Distance between the fingers [m]; less than what is between them grips it.
    """

    def __init__(self, scene: GraspScene) -> None:
        import pybullet_data  # comes with pybullet

        self._bullet = require_pybullet()
        self._data = Path(pybullet_data.getDataPath())
        self._client = self._bullet.connect(self._bullet.DIRECT)
        self._bullet.setGravity(0, 0, -9.81, physicsClientId=self._client)
        self._bullet.setTimeStep(STEP, physicsClientId=self._client)
        ground = self._bullet.createCollisionShape(
            self._bullet.GEOM_PLANE, physicsClientId=self._client)
        self._rub(self._bullet.createMultiBody(0, ground, physicsClientId=self._client))
        self._add_tray(scene)
        self._objects = scene.objects
        self._bodies = [self._add(*pair) for pair in zip(scene.objects, scene.homes, strict=True)]
        self.arm = Panda(self._bullet, self._client, self._data, BASE, BASE_YAW)
        self.arm.hold()
        self.goal, self.goal_yaw, self.goal_opening = self.arm.tip, 0.0, MOST_OPEN
        self._point, self.yaw, self._steps = self.goal, 0.0, 0
        self.advance(_SETTLING)

    def close(self) -> None:
        """Frees the client."""
        if self._client >= 0:
            self._bullet.disconnect(self._client)
            self._client = -1

    def stop(self) -> None:
        """Makes where the hand is now its goal; it holds what it holds."""
        self.goal, self.goal_yaw = self._point, self.yaw

    def advance(self, seconds: float) -> None:
        """Lets time pass; the hand goes towards its goal, no faster than it may."""
        for _ in range(round(seconds / STEP)):
            if self._steps % _SOLVE_EVERY == 0:
                self._steer(_SOLVE_EVERY * STEP)
            self._steps += 1
            self._bullet.stepSimulation(physicsClientId=self._client)

    def objects(self) -> list[Pose]:
        """The middle of the footprint of each object, upright or not."""
        return [self._foot(*pair) for pair in zip(self._bodies, self._objects, strict=True)]

    def _steer(self, seconds: float) -> None:
        """One step of the hand on the straight line to its goal."""
        way = np.asarray(self.goal, float) - self._point
        length = float(np.linalg.norm(way))
        self._point = self._point + way * min(1.0, _FASTEST * seconds / max(length, 1e-9))
        turn = _FASTEST_TURN * seconds
        self.yaw += float(np.clip(self.goal_yaw - self.yaw, -turn, turn))
        hand = Rotation.from_euler("z", BASE_YAW + self.yaw) * _DOWNWARDS
        self.arm.drive(self.arm.angles_for(self._point, hand.as_quat()), self.goal_opening)

    def _add(self, item: ObjectContent, home: Pose) -> int:
        bullet = self._bullet
        lift = np.array([[0.0, 0.0, item.box[2] / 2 + 0.001]])
        body = bullet.createMultiBody(
            MASS, self._shape(item), -1, home.transform(lift)[0].tolist(), home.quaternion.tolist(),
            physicsClientId=self._client)
        self._rub(body)
        return body

    def _shape(self, item: ObjectContent) -> int:
        """A collision shape about the middle of the object's box."""
        bullet, asset = self._bullet, ASSETS[item.class_name]
        if asset.round:
            return bullet.createCollisionShape(
                bullet.GEOM_SPHERE, radius=item.size / 2, physicsClientId=self._client)
        if item.class_name in _BOXES:
            return bullet.createCollisionShape(
                bullet.GEOM_BOX, halfExtents=(item.box / 2).tolist(), physicsClientId=self._client)
        scale = asset.scale(item.size)
        middle = (asset.foot + [0, 0, asset.extent[2] / 2]) * scale
        return bullet.createCollisionShape(
            bullet.GEOM_MESH, fileName=str(self._data / asset.source), meshScale=[scale] * 3,
            collisionFramePosition=(-middle).tolist(),
            collisionFrameOrientation=Rotation.from_euler("x", asset.roll).as_quat().tolist(),
            physicsClientId=self._client)

    def _add_tray(self, scene: GraspScene) -> None:
        pose = scene.tray.pose
        tray = self._bullet.loadURDF(
            str(self._data / scene.tray.source), pose.position.tolist(), pose.quaternion.tolist(),
            useFixedBase=True, globalScaling=scene.tray.scale, physicsClientId=self._client)
        self._rub(tray)

    def _rub(self, body: int) -> None:
        self._bullet.changeDynamics(body, -1, **_FRICTION, physicsClientId=self._client)

    def _foot(self, body: int, item: ObjectContent) -> Pose:
        place, quaternion = self._bullet.getBasePositionAndOrientation(
            body, physicsClientId=self._client)
        rotation = Rotation.from_quat(quaternion)
        return Pose(np.array(place) - rotation.apply([0, 0, item.box[2] / 2]), rotation)
