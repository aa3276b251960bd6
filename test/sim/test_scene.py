"""The simulated camera: pictures, depth, masks and poses that agree with one another."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from samwise_ros.sim.clip_renderer import live_expressions, simulate_clip
from samwise_ros.sim.errors import require_pybullet
from samwise_ros.sim.facts import visible_threshold
from samwise_ros.sim.geometry import project
from samwise_ros.sim.plan import SceneSettings, plan_scene
from samwise_ros.sim.scene import SimulatedCamera
from samwise_ros.structures import MissingDependencyError

SMALL = SceneSettings(width=96, height=64, frames=6)


pytest.importorskip("pybullet", reason="the simulator needs PyBullet")


@pytest.fixture
def camera() -> Iterator[SimulatedCamera]:
    with SimulatedCamera(plan_scene("train", 0, 1, SMALL)) as opened:
        yield opened


def test_a_frame_has_the_promised_shapes_and_types(camera: SimulatedCamera) -> None:
    frame = camera.step()
    assert frame.rgb.shape == (64, 96, 3) and frame.rgb.dtype == np.uint8
    assert frame.depth.shape == (64, 96) and frame.depth.dtype == np.float32
    assert frame.instance.shape == (64, 96) and frame.instance.dtype == np.int32
    assert set(np.unique(frame.instance)) <= set(range(len(camera.plan.objects) + 1))
    assert frame.intrinsics.matrix[0, 2] == 48
    assert frame.time == 0.0 and camera.step().time == pytest.approx(1 / 8)


def test_depth_is_metric_along_the_optical_axis() -> None:
    plan = plan_scene("train", 0, 2, SceneSettings(width=160, height=120, frames=1))
    with SimulatedCamera(plan) as camera:
        frame = camera.step()
    checked = 0
    for index, (item, pose) in enumerate(zip(plan.objects, frame.objects)):
        rows, columns = np.nonzero(frame.mask(index))
        middle = pose.transform(np.array([[0, 0, item.box[2] / 2]]))
        depth = project(middle, frame.camera, frame.intrinsics)[0, 2]
        reach = np.linalg.norm(item.box) / 2 + 0.02
        measured = frame.depth[rows, columns]
        assert (np.abs(measured - depth) < reach).all(), item
        checked += len(rows)
    assert checked > 200


def test_the_ground_lies_in_the_plane_z_0_all_over_the_picture() -> None:
    plan = plan_scene("val", 1, 0, SceneSettings(width=96, height=64, frames=1, place="floor"))
    with SimulatedCamera(plan) as camera:
        frame = camera.step()
    rows, columns = np.nonzero(frame.instance == 0)
    rays = np.stack(
        [
            (columns - frame.intrinsics.cx) / frame.intrinsics.fx,
            (rows - frame.intrinsics.cy) / frame.intrinsics.fy,
            np.ones(len(rows)),
        ],
        axis=1,
    )
    points = frame.camera.transform(rays * frame.depth[rows, columns][:, None])
    near = frame.depth[rows, columns] < 2.0  # farther off there are walls
    assert near.sum() > 1000
    assert np.median(np.abs(points[near, 2])) < 1e-4


def test_objects_are_painted_in_their_colour() -> None:
    checked = 0
    for clip in range(6):
        plan = plan_scene("train", 2, clip, SceneSettings(width=96, height=64, frames=1))
        with SimulatedCamera(plan) as camera:
            frame = camera.step()
        for index, item in enumerate(plan.objects):
            channel = {"red": 0, "green": 1, "blue": 2}.get(item.colour)
            pixels = frame.rgb[frame.mask(index)]
            if channel is not None and len(pixels) > 60:
                assert np.median(pixels, axis=0).argmax() == channel, item
                checked += 1
    assert checked >= 2


def test_equal_plans_give_equal_frames_and_other_clips_other_frames() -> None:
    def frames(clip: int) -> np.ndarray:
        with SimulatedCamera(plan_scene("val", 3, clip, SMALL)) as camera:
            return np.stack([camera.step().rgb for _ in range(3)])

    np.testing.assert_array_equal(frames(0), frames(0))
    assert (frames(0) != frames(1)).any()


def test_something_moves_in_a_clip_and_nothing_in_a_still() -> None:
    plan = plan_scene("train", 4, 0, SMALL)
    assert any(motion.kind != "still" for motion in plan.motions)
    still = plan_scene("train", 4, 0, SceneSettings(width=96, height=64, frames=1))
    assert all(motion.kind == "still" for motion in still.motions)


def test_every_referred_object_is_seen_in_its_clip() -> None:
    clip = simulate_clip("train", 5, 0, SMALL)
    threshold = visible_threshold(96, 64)
    for expression in clip.expressions:
        for target in expression.targets:
            assert max(frame.mask(target).sum() for frame in clip.frames) >= threshold


def test_driving_moves_the_camera_from_where_it_is(camera: SimulatedCamera) -> None:
    before = camera.step().camera
    camera.drive(0.8, 0.0)
    after = camera.step().camera
    ahead = before.axes[:, 2] * [1, 1, 0]
    expected = before.position + ahead / np.linalg.norm(ahead) * 0.8 / 8
    np.testing.assert_allclose(after.position, expected, atol=1e-9)
    camera.drive(0.0, 0.0)
    np.testing.assert_allclose(camera.step().camera.position, expected, atol=1e-9)


def test_a_live_scene_goes_on_moving_long_after_its_planned_length() -> None:
    settings = SceneSettings(width=64, height=48, frames=8, repeat=True, camera="fixed")
    plan = plan_scene("test", 6, 0, settings)
    expressions = live_expressions(plan, 16, np.random.default_rng(0))
    assert len(expressions) >= 6
    movers = [
        (motion, home)
        for motion, home in zip(plan.motions, plan.homes)
        if motion.kind not in ("still", "fall", "drop")
    ]
    for motion, home in movers:
        poses = [motion.pose(time, home) for time in np.arange(40.0, 46.0, 0.25)]
        assert np.ptp([pose.matrix for pose in poses], axis=0).max() > 0.05


def test_without_pybullet_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybullet", None)
    with pytest.raises(MissingDependencyError, match="pip install pybullet"):
        require_pybullet()
