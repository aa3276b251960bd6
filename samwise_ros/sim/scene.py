"""The simulated robot camera: one call, one frame, with everything that is true in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from samwise_ros.sim.camera_motion import MobileBase
from samwise_ros.sim.geometry import Intrinsics, Pose
from samwise_ros.sim.plan import ScenePlan
from samwise_ros.sim.world import World


@dataclass(frozen=True)
class SimFrame:
    """One frame of the simulated camera.

    Args:
        rgb: uint8 [H, W, 3].
        depth: float32 [H, W], metres along the optical axis.
        instance: int32 [H, W], object index + 1; 0 is background (table, walls, arm, tray).
        intrinsics: pinhole model.
        camera: pose of the optical frame (x right, y down, z forward) in the world (z up).
        time: seconds since the scene began.
        objects: pose of each object in the world: middle of its footprint, z up, [m].
    """

    rgb: np.ndarray
    depth: np.ndarray
    instance: np.ndarray
    intrinsics: Intrinsics
    camera: Pose
    time: float
    objects: tuple[Pose, ...]

    def mask(self, index: int) -> np.ndarray:
        """Instance mask of object `index`, bool [H, W]."""
        return self.instance == index + 1


class SimulatedCamera:
    """Renders a planned scene frame by frame, for as long as it is asked to.

    The camera follows its script until `drive` puts it on a mobile base. Plans made with
    `repeat=True` move for ever. Use as a context manager, or call `close`.

    Args:
        plan: the scene, from `plan_scene`.
    """

    def __init__(self, plan: ScenePlan) -> None:
        self.plan = plan
        self.base: MobileBase | None = None
        self._count = 0
        self._world = World()
        self._world.add_surface(plan.surface)
        self._bodies = [self._world.add_object(item) for item in plan.objects]
        for prop in plan.props:
            self._world.add_prop(prop)
        if plan.arm is not None:
            self._world.add_arm(plan.arm.base)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the simulator."""
        self._world.close()

    def drive(self, linear: float, angular: float) -> None:
        """Commands the mobile base: speed [m/s] forwards, turn rate [rad/s], left positive.

        The first call mounts the camera, where it is now, on the base; the command holds until
        the next one.
        """
        if self.base is None:
            self.base = MobileBase(self._camera_pose(self._time(max(self._count - 1, 0))))
        self.base.command(linear, angular)

    def step(self) -> SimFrame:
        """The next frame, `1 / fps` seconds after the one before."""
        time = self._time(self._count)
        if self.base is not None:
            self.base.advance(1 / self.plan.settings.fps)
        self._count += 1
        poses = self._object_poses(time)
        for body, pose in zip(self._bodies, poses):
            self._world.place(body, pose)
        self._move_arm(time)
        camera = self._camera_pose(time)
        picture = self._world.render(camera, self.plan.intrinsics)
        instance = np.zeros(picture.body.shape, np.int32)
        for index, body in enumerate(self._bodies):
            instance[picture.body == body] = index + 1
        return SimFrame(
            picture.rgb,
            picture.depth.astype(np.float32),
            instance,
            self.plan.intrinsics,
            camera,
            time,
            tuple(poses),
        )

    def _object_poses(self, time: float) -> list[Pose]:
        return [motion.pose(time, home) for motion, home in zip(self.plan.motions, self.plan.homes)]

    def _move_arm(self, time: float) -> None:
        arm = self.plan.arm
        if arm is None:
            return
        if arm.target is None:
            self._world.reach(arm.tips(time, None, 0.0))
        else:
            item, home = self.plan.objects[arm.target], self.plan.homes[arm.target]
            self._world.reach(arm.tips(time, home, float(item.box[2])))

    def _camera_pose(self, time: float) -> Pose:
        return self.plan.camera.pose(time) if self.base is None else self.base.camera_pose()

    def _time(self, count: int) -> float:
        return count / self.plan.settings.fps
