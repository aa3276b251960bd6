"""What a camera sees of the physics of grasping: one call, one frame, with all that is true in it.

Physics and picture are two clients of PyBullet: what is rendered are the simulator's own meshes,
what collides are their hulls.
"""

from __future__ import annotations

import numpy as np
from typing_extensions import Self

from samwise_ros.sim.geometry import Pose, look_at
from samwise_ros.sim.grasp_physics import GraspPhysics
from samwise_ros.sim.grasp_scene import BASE, BASE_YAW, GraspScene, number_of
from samwise_ros.sim.scene import SimFrame
from samwise_ros.sim.world import World

_SIDE_EYE, _SIDE_AT = (-0.75, -0.22, 0.50), (0.0, 0.27, 0.16)  # [m] of the view for people


class GraspWorld:
    """A scene with an arm. Use as a context manager, or call `close`.

    Attributes:
        physics: Whose goals may be set between two frames.
        time: Seconds since the scene began.
    """

    def __init__(self, scene: GraspScene) -> None:
        self.scene = scene
        self.physics = GraspPhysics(scene)
        self.time = 0.0
        self._world = World()
        self._world.add_surface(scene.surface)
        self._bodies = [self._world.add_object(item) for item in scene.objects]
        self._world.add_prop(scene.tray)
        self._arm = self._world.add_panda(BASE, BASE_YAW)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the simulator."""
        self.physics.close()
        self._world.close()

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.physics.advance(seconds)
        self.time += seconds

    def frame(self) -> SimFrame:
        """What the camera sees now; `instance` holds `grasp_scene.number_of` of each object."""
        poses = self._copy_state()
        picture = self._world.render(self.scene.camera, self.scene.intrinsics)
        instance = np.zeros(picture.body.shape, np.int32)
        for body, item in zip(self._bodies, self.scene.objects, strict=True):
            instance[picture.body == body] = number_of(item)
        return SimFrame(picture.rgb, picture.depth.astype(np.float32), instance,
                        self.scene.intrinsics, self.scene.camera, self.time, tuple(poses))

    def side_view(self) -> np.ndarray:
        """The arm from beside it, as `frame` showed it last; uint8 [H, W, 3]."""
        eye = look_at(np.array(_SIDE_EYE), np.array(_SIDE_AT))
        return self._world.render(eye, self.scene.intrinsics).rgb

    def _copy_state(self) -> list[Pose]:
        """From physics to the picture."""
        poses = self.physics.objects()
        for body, pose in zip(self._bodies, poses, strict=True):
            self._world.place(body, pose)
        self._arm.put(self.physics.arm.angles, self.physics.arm.opening)
        return poses
