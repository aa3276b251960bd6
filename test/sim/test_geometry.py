"""Poses, the pinhole camera, camera scripts and the mobile base."""

import numpy as np
import pytest

from samwise_ros.sim.camera_motion import CameraScript, MobileBase
from samwise_ros.sim.geometry import Intrinsics, box_corners, look_at, project

INTRINSICS = Intrinsics.from_field_of_view(120, 80, np.pi / 2)


def test_the_target_projects_to_the_principal_point_at_its_distance() -> None:
    camera = look_at(np.array([1.0, -2.0, 1.5]), np.array([0.2, 0.1, 0.3]))
    column, row, depth = project(np.array([[0.2, 0.1, 0.3]]), camera, INTRINSICS)[0]
    assert (column, row) == pytest.approx((60, 39))
    assert depth == pytest.approx(np.linalg.norm([0.8, -2.1, 1.2]))


def test_optical_axes_are_right_down_forward() -> None:
    camera = look_at(np.array([0.0, -1.0, 0.0]), np.zeros(3))
    np.testing.assert_allclose(camera.axes, [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)


def test_points_right_of_and_above_the_axis_move_right_and_up_in_the_picture() -> None:
    camera = look_at(np.array([0.0, -1.0, 0.0]), np.zeros(3))
    column, row, _ = project(np.array([[0.5, 0.0, 0.25]]), camera, INTRINSICS)[0]
    assert column == pytest.approx(60 + 0.5 * 40)  # 90 degrees: fy = height / 2 = 40
    assert row == pytest.approx(39 - 0.25 * 40)


def test_box_stands_on_the_ground() -> None:
    corners = box_corners(np.array([2.0, 4.0, 6.0]))
    assert corners.min(0).tolist() == [-1, -2, 0]
    assert corners.max(0).tolist() == [1, 2, 6]


@pytest.mark.parametrize("kind", ["fixed", "panning", "handheld"])
def test_every_camera_script_begins_at_its_eye(kind: str) -> None:
    script = CameraScript(kind, (0.0, -1.0, 0.5), (0.0, 0.0, 0.0), 0.1, 0.02, 4.0, (0.3,) * 6)
    np.testing.assert_allclose(script.pose(0.0).position, [0.0, -1.0, 0.5])
    moved = np.abs(script.pose(1.0).matrix - script.pose(0.0).matrix).max()
    assert (moved > 1e-3) == (kind != "fixed")


def test_unknown_camera_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a camera kind"):
        CameraScript("flying", (0.0, -1.0, 0.5), (0.0, 0.0, 0.0))


def test_mobile_base_drives_straight_where_the_camera_looks() -> None:
    start = look_at(np.array([0.0, -1.0, 0.5]), np.zeros(3))
    base = MobileBase(start)
    base.command(0.5, 0.0)
    base.advance(1.0)
    pose = base.camera_pose()
    np.testing.assert_allclose(pose.position, [0.0, -0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(pose.axes, start.axes, atol=1e-12)


def test_mobile_base_turns_left_on_a_circle_in_one_step_as_in_many() -> None:
    start = look_at(np.array([0.0, -1.0, 0.5]), np.zeros(3))
    one, many = MobileBase(start), MobileBase(start)
    for base in (one, many):
        base.command(1.0, np.pi / 2)
    one.advance(1.0)
    for _ in range(100):
        many.advance(0.01)
    # A quarter of a circle of radius 2 / pi, to the left of a base that heads along +y.
    radius = 2 / np.pi
    np.testing.assert_allclose([one.x, one.y], [-radius, -1 + radius], atol=1e-12)
    np.testing.assert_allclose([many.x, many.y], [one.x, one.y], atol=1e-9)
    np.testing.assert_allclose(one.camera_pose().axes[:, 2][:2][1], 0.0, atol=1e-12)
