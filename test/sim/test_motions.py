"""Motion scripts and the physics recordings behind rolling, falling and pushing."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.geometry import Pose, look_at
from samwise_ros.sim.motions import Circle, Span, Spin, Still, Track, Travel, direction_tag

HOME = Pose(np.zeros(3), Rotation.identity())


def _item(name: str, size: float = 0.2) -> ObjectContent:
    return ObjectContent(name, "red", (0.8, 0.1, 0.1), size)


def test_progress_is_zero_before_and_one_after() -> None:
    span = Span(1.0, 2.0)
    assert [span.progress(t) for t in (0.0, 1.0, 2.0, 3.0, 9.0)] == [0, 0, 0.5, 1, 1]


def test_a_repeated_span_swings_to_and_fro() -> None:
    span = Span(0.0, 2.0, repeat=True)
    assert [span.clock(t) for t in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)] == [0, 0.5, 1, 0.5, 0, 0.5]


def test_travel_ends_at_its_offset_and_stays_there() -> None:
    travel = Travel("slide", Span(0.5, 1.0), (0.0, 0, 0), (0.4, 0.1, 0), frozenset())
    np.testing.assert_allclose(travel.pose(0.2, HOME).position, [0, 0, 0])
    np.testing.assert_allclose(travel.pose(1.5, HOME).position, [0.4, 0.1, 0])
    np.testing.assert_allclose(travel.pose(30.0, HOME).position, [0.4, 0.1, 0])


def test_travel_with_return_is_home_again_at_the_end() -> None:
    travel = Travel("back", Span(0.0, 2.0), (0.0, 0, 0), (1.0, 0, 0), frozenset(), back=True)
    np.testing.assert_allclose(travel.pose(1.0, HOME).position, [1, 0, 0])
    np.testing.assert_allclose(travel.pose(2.0, HOME).position, [0, 0, 0], atol=1e-12)


def test_circle_begins_at_home_and_keeps_its_distance_from_the_middle() -> None:
    circle = Circle(0.0, 0.2, 2.0, 0.7, face=False)
    middle = -0.2 * np.array([np.cos(0.7), np.sin(0.7), 0])
    np.testing.assert_allclose(circle.pose(0.0, HOME).position, [0, 0, 0], atol=1e-12)
    for time in (0.3, 1.1, 50.0):
        assert np.linalg.norm(circle.pose(time, HOME).position - middle) == pytest.approx(0.2)


def test_spin_turns_on_the_spot() -> None:
    pose = Spin(1.0, np.pi / 2).pose(2.0, HOME)
    np.testing.assert_allclose(pose.axes[:, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(pose.position, 0)


def test_still_is_still() -> None:
    assert Still().pose(123.0, HOME) is HOME


@pytest.mark.parametrize(
    ("displacement", "expected"),
    [
        ([0.5, 0, 0], "right"),
        ([-0.5, 0.1, 0], "left"),
        ([0, 0.5, 0], "far"),
        ([0, -0.5, 0], "near"),
        ([0.4, 0.4, 0], None),
        ([0, 0, 0.5], None),
    ],
)
def test_directions_are_those_the_camera_sees(displacement: list[float], expected: str) -> None:
    camera = look_at(np.array([0.0, -1.0, 0.7]), np.zeros(3))
    assert direction_tag(np.array(displacement), camera) == expected


def test_a_track_interpolates_between_recorded_poses() -> None:
    turn = Rotation.from_rotvec([[0, 0, 0.0], [0, 0, 1.0]]).as_quat()
    track = Track(
        "roll", 1.0, np.array([0.0, 2.0]), np.array([[0, 0, 0], [1.0, 0, 0]]), turn, frozenset()
    )
    np.testing.assert_allclose(track.pose(0.5, HOME).position, 0)
    np.testing.assert_allclose(track.pose(2.0, HOME).position, [0.5, 0, 0])
    assert track.pose(2.0, HOME).rotation.magnitude() == pytest.approx(0.5)
    np.testing.assert_allclose(track.pose(99.0, HOME).position, [1, 0, 0])


class TestPhysics:
    """Each recording runs PyBullet for a second or two of simulated time."""

    @pytest.fixture(autouse=True)
    def _needs_pybullet(self) -> None:
        pytest.importorskip("pybullet", reason="the simulator needs PyBullet")

    def test_a_ball_rolls_on_without_sliding(self) -> None:
        from samwise_ros.sim.physics import Impulse, record

        impulse = Impulse((0.4, 0, 0), (0, 4.0, 0))  # v / r = 0.4 / 0.1
        result = record(_item("ball"), HOME, 1.0, impulse)
        assert result.positions[-1][0] > 0.25
        turned = Rotation.from_quat(result.quaternions[6]).as_rotvec()[1]
        centre = result.positions[6] + Rotation.from_quat(result.quaternions[6]).apply([0, 0, 0.1])
        assert turned == pytest.approx(centre[0] / 0.1, rel=0.1)

    def test_a_mug_tips_over_and_stays_down(self) -> None:
        from samwise_ros.sim.physics import record, tipping_impulse

        item = _item("mug")
        impulse = tipping_impulse(item, HOME, np.array([1.0, 0, 0]))
        result = record(item, HOME, 2.0, impulse)
        up = Rotation.from_quat(result.quaternions).apply([0, 0, 1.0])[:, 2]
        assert up[0] > 0.99
        assert (up[-10:] < 0.3).all()

    def test_the_pusher_takes_the_object_along_and_an_obstacle_stays(self) -> None:
        from samwise_ros.sim.physics import Impulse, Pusher, record

        item = _item("teddy")
        pusher = Pusher(np.array([-0.2, 0, 0.06]), np.array([0.4, 0, 0]), 1.0)
        result = record(item, HOME, 1.2, Impulse(), pusher=pusher)
        assert 0.1 < result.positions[-1][0] < 0.5
        assert abs(result.positions[-1][1]) < 0.1

    def test_equal_recordings_are_equal(self) -> None:
        from samwise_ros.sim.physics import Impulse, record

        first = record(_item("duck"), HOME, 0.8, Impulse(height=0.5))
        again = record(_item("duck"), HOME, 0.8, Impulse(height=0.5))
        np.testing.assert_array_equal(first.positions, again.positions)
        assert first.positions[0][2] == pytest.approx(0.5)
        assert abs(first.positions[-1][2]) < 0.15
