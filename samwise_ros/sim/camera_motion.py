"""The moving camera: fixed, panning or handheld by a script, or carried by a mobile base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim.geometry import Intrinsics, Pose, look_at

CAMERA_KINDS = ("fixed", "panning", "handheld")


@dataclass(frozen=True)
class CameraScript:
    """Where the camera is at a time, as a pure function of the time.

    Args:
        kind: one of `CAMERA_KINDS`.
        eye: position [m], world frame, at time 0.
        target: point in the image centre at time 0, world frame.
        pan: for "panning", yaw [rad] on either side; it swings with `period`.
        shake: for "handheld", amplitude [m] and, a third of it, [rad].
        period: seconds of one swing.
        phase: [6] phases [rad] of the handheld movement.
    """

    kind: str
    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    pan: float = 0.0
    shake: float = 0.0
    period: float = 4.0
    phase: tuple[float, ...] = (0.0,) * 6

    def __post_init__(self) -> None:
        if self.kind not in CAMERA_KINDS:
            raise ValueError(f"expected a camera kind of {CAMERA_KINDS}, got {self.kind!r}")

    def pose(self, time: float) -> Pose:
        """Pose of the optical frame in the world at `time` [s]."""
        base = look_at(np.array(self.eye), np.array(self.target))
        if self.kind == "panning":
            angle = self.pan * np.sin(2 * np.pi * time / self.period)
            return Pose(base.position, Rotation.from_euler("z", angle) * base.rotation)
        if self.kind == "handheld":
            # Two incommensurable sines per axis look like a hand and stay bounded for ever.
            rates = 2 * np.pi / self.period * np.array([1.0, 1.31, 0.83, 1.73, 1.47, 1.13])
            wave = np.sin(rates * time + np.array(self.phase)) - np.sin(np.array(self.phase))
            tilt = Rotation.from_rotvec(wave[3:] * self.shake / 3)
            return Pose(base.position + wave[:3] * self.shake, base.rotation * tilt)
        return base


def sample_camera(
    rng: np.random.Generator, width: int, height: int, moving: bool
) -> tuple[CameraScript, Intrinsics]:
    """A camera that looks down on the working area from about a metre.

    Args:
        rng: source of randomness.
        width, height: image size [px].
        moving: False makes every camera "fixed" (a still has no motion to see).
    """
    elevation = np.deg2rad(rng.uniform(24, 46))
    azimuth = np.deg2rad(rng.uniform(-22, 22))
    distance = rng.uniform(0.98, 1.22)
    target = np.array([rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04), 0.06])
    away = np.array([np.sin(azimuth), -np.cos(azimuth), np.tan(elevation)]) * np.cos(elevation)
    kind = str(rng.choice(CAMERA_KINDS, p=[0.5, 0.2, 0.3])) if moving else "fixed"
    eye = target + away * distance
    script = CameraScript(
        kind=kind,
        eye=(float(eye[0]), float(eye[1]), float(eye[2])),
        target=(float(target[0]), float(target[1]), float(target[2])),
        pan=float(rng.choice([-1, 1]) * np.deg2rad(rng.uniform(4, 9))),
        shake=float(rng.uniform(0.012, 0.03)),
        period=float(rng.uniform(3.0, 6.0)),
        phase=tuple(float(v) for v in rng.uniform(0, 2 * np.pi, 6)),
    )
    view = np.deg2rad(rng.uniform(44, 54))
    return script, Intrinsics.from_field_of_view(width, height, float(view))


class MobileBase:
    """A wheeled base that carries the camera and obeys a velocity command.

    It starts under the camera, heading where the camera looks; height and tilt of the camera stay
    as they are. Motion follows the unicycle model, integrated exactly for a constant command.

    Args:
        camera: pose of the optical frame in the world at the start.
    """

    def __init__(self, camera: Pose) -> None:
        forward = camera.axes[:, 2]
        self.x, self.y = float(camera.position[0]), float(camera.position[1])
        self.yaw = float(np.arctan2(forward[1], forward[0]))
        self.linear = 0.0
        self.angular = 0.0
        self._height = float(camera.position[2])
        self._mount = Rotation.from_euler("z", -self.yaw) * camera.rotation

    def command(self, linear: float, angular: float) -> None:
        """Sets the speed [m/s] forwards and the turn rate [rad/s], positive to the left."""
        self.linear, self.angular = float(linear), float(angular)

    def advance(self, seconds: float) -> None:
        """Drives on with the present command."""
        turn = self.angular * seconds
        # Chord of the arc; sinc keeps straight driving (turn = 0) exact.
        chord = self.linear * seconds * np.sinc(turn / 2 / np.pi)
        self.x += float(chord * np.cos(self.yaw + turn / 2))
        self.y += float(chord * np.sin(self.yaw + turn / 2))
        self.yaw += turn

    def camera_pose(self) -> Pose:
        """Pose of the optical frame in the world."""
        rotation = Rotation.from_euler("z", self.yaw) * self._mount
        return Pose(np.array([self.x, self.y, self._height]), rotation)
