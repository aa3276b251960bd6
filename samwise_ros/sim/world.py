"""One PyBullet world without a display: bodies, surroundings and the rendered picture.

Rendering uses PyBullet's software renderer (TinyRenderer), which needs neither a GPU nor a
display and gives the same pixels for the same scene on every run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation
from typing_extensions import Self

from samwise_ros.sim.arm import Arm
from samwise_ros.sim.assets import ASSETS, Asset
from samwise_ros.sim.background import paint_background
from samwise_ros.sim.content import ObjectContent, SurfaceContent
from samwise_ros.sim.errors import SimulationError, require_pybullet
from samwise_ros.sim.geometry import Intrinsics, Pose
from samwise_ros.sim.panda import Panda
from samwise_ros.sim.props import Prop
from samwise_ros.sim.textures import draw_texture

NEAR, FAR = 0.05, 12.0
TABLE_HALF = (1.25, 0.95)  # [m]
FLOOR_HALF = (3.0, 3.0)


@dataclass(frozen=True)
class Rendering:
    """One rendered picture.

    `rgb` uint8 [H, W, 3]; `depth` float32 [H, W], metres along the optical axis, `FAR` where
    nothing is hit and no room was added; `body` int32 [H, W], PyBullet body id, -1 for none.
    """

    rgb: np.ndarray
    depth: np.ndarray
    body: np.ndarray


class World:
    """Owns one PyBullet client. Call `close` (or use `with`) when done."""

    def __init__(self) -> None:
        self._bullet = require_pybullet()
        import pybullet_data  # comes with pybullet

        self._data = Path(pybullet_data.getDataPath())
        self._client = self._bullet.connect(self._bullet.DIRECT)
        self._bodies: dict[int, tuple[Asset, float]] = {}
        self._surface: SurfaceContent | None = None
        self._arm: Arm | None = None
        self._light: dict[str, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the client; the world cannot be used afterwards."""
        if self._client >= 0:
            self._bullet.disconnect(self._client)
            self._client = -1

    # -- content ------------------------------------------------------------------------------

    def add_surface(self, surface: SurfaceContent) -> None:
        """Adds the table top or the floor, and sets the lamp and the room around it."""
        self._surface = surface
        half = TABLE_HALF if surface.place == "table" else FLOOR_HALF
        self._add_quad(half, surface.surface_rgb, np.random.default_rng(surface.texture_seed))
        self._light = {
            "lightDirection": list(surface.light),
            "lightAmbientCoeff": surface.ambient,
            "lightDiffuseCoeff": surface.diffuse,
            "lightSpecularCoeff": surface.specular,
            "shadow": int(surface.shadow),
        }

    def add_object(self, content: ObjectContent) -> int:
        """Adds one object at the origin and returns its body id."""
        asset = ASSETS[content.class_name]
        scale = asset.scale(content.size)
        rgba = [*content.rgb, 1.0]
        if asset.source.endswith(".urdf"):
            body = self._load(asset.source, scale)
            links = range(-1, self._bullet.getNumJoints(body, physicsClientId=self._client))
        else:
            shape = self._bullet.createVisualShape(
                self._bullet.GEOM_MESH,
                fileName=str(self._data / asset.source),
                meshScale=[scale] * 3,
                rgbaColor=rgba,
                physicsClientId=self._client,
            )
            body = self._bullet.createMultiBody(0, -1, shape, physicsClientId=self._client)
            links = range(-1, 0)
        for link in links:
            if link not in asset.plain_links:
                self._paint(body, link, rgba, -1)
        self._bodies[body] = (asset, scale)
        return body

    def add_prop(self, prop: Prop) -> None:
        """Adds a thing of the surroundings, in one colour."""
        body = self._load(prop.source, prop.scale)
        self._paint(body, -1, [*prop.rgb, 1.0], -1)
        self._put(body, prop.pose)

    def add_arm(self, base: tuple[float, float, float]) -> None:
        """Adds the robot arm with its foot at `base` [m], world frame."""
        self._arm = Arm(self._bullet, self._client, self._data, np.asarray(base))

    def reach(self, tips: np.ndarray) -> None:
        """Moves the arm's finger tips to `tips` [3], world frame.

        Raises:
            SimulationError: there is no arm.
        """
        if self._arm is None:
            raise SimulationError("there is no arm in this world: call add_arm first")
        self._arm.reach(tips)

    def add_panda(self, base: Sequence[float], yaw: float) -> Panda:
        """Adds the arm that grasps: foot at `base` [m], looking along `yaw` [rad] from +x."""
        return Panda(self._bullet, self._client, self._data, base, yaw)

    def _load(self, source: str, scale: float) -> int:
        return self._bullet.loadURDF(
            str(self._data / source),
            globalScaling=scale,
            useFixedBase=True,
            physicsClientId=self._client,
        )

    def _add_quad(
        self, half: tuple[float, float], rgb: tuple[float, ...], rng: np.random.Generator
    ) -> None:
        """A textured rectangle in the plane z = 0."""
        corners = [[x * half[0], y * half[1], 0] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        shape = self._bullet.createVisualShape(
            self._bullet.GEOM_MESH,
            vertices=corners,
            indices=[0, 1, 2, 0, 2, 3],
            uvs=[[0, 0], [1, 0], [1, 1], [0, 1]],
            normals=[[0, 0, 1]] * 4,
            rgbaColor=[*rgb, 1.0],
            physicsClientId=self._client,
        )
        body = self._bullet.createMultiBody(0, -1, shape, physicsClientId=self._client)
        picture = draw_texture(rng)
        if picture is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "texture.png"
            cv2.imwrite(str(path), picture)
            texture = self._bullet.loadTexture(str(path), physicsClientId=self._client)
        self._paint(body, -1, [*rgb, 1.0], texture)

    def _paint(self, body: int, link: int, rgba: list[float], texture: int) -> None:
        self._bullet.changeVisualShape(
            body, link, rgbaColor=rgba, textureUniqueId=texture, physicsClientId=self._client
        )

    # -- state and picture --------------------------------------------------------------------

    def place(self, body: int, pose: Pose) -> None:
        """Puts an object so that the middle of its footprint has `pose`."""
        asset, scale = self._bodies[body]
        position = pose.transform(-asset.foot[None] * scale)[0]
        rotation = pose.rotation * Rotation.from_euler("x", asset.roll)
        self._put(body, Pose(position, rotation))

    def _put(self, body: int, pose: Pose) -> None:
        self._bullet.resetBasePositionAndOrientation(
            body, pose.position.tolist(), pose.quaternion.tolist(), physicsClientId=self._client
        )

    def render(self, camera: Pose, intrinsics: Intrinsics) -> Rendering:
        """The picture from `camera` (optical frame in the world)."""
        width, height = intrinsics.width, intrinsics.height
        axes = camera.axes
        view = self._bullet.computeViewMatrix(
            camera.position.tolist(),
            (camera.position + axes[:, 2]).tolist(),
            (-axes[:, 1]).tolist(),
        )
        projection = self._bullet.computeProjectionMatrixFOV(
            float(np.rad2deg(intrinsics.vertical_field_of_view)), width / height, NEAR, FAR
        )
        _, _, rgba, buffer, body = self._bullet.getCameraImage(
            width,
            height,
            view,
            projection,
            renderer=self._bullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
            **self._light,
        )
        rgb = np.asarray(rgba, np.uint8).reshape(height, width, 4)[:, :, :3].copy()
        buffer = np.asarray(buffer, np.float32).reshape(height, width)
        depth = FAR * NEAR / (FAR - (FAR - NEAR) * buffer)
        body = np.asarray(body, np.int32).reshape(height, width)
        if self._surface is not None:
            paint_background(rgb, depth, body < 0, camera, intrinsics, self._surface)
        return Rendering(rgb, depth, body)
