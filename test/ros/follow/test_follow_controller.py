"""The follow controller: limits, dead zones, and when it stops."""

import math
from itertools import pairwise

import pytest

from samwise_ros.ros.follow.follow_controller import (
    STANDSTILL,
    FollowController,
    FollowSettings,
    Sighting,
    Velocity,
    sighting_from_optical,
)
from samwise_ros.structures import ConfigError

STEP = 0.05


def drive(controller: FollowController, target: Sighting, seconds: float, start: float = 0.0
          ) -> list[Velocity]:
    """Velocities while the target stays where it is and is seen all the time."""
    times = [start + STEP * number for number in range(round(seconds / STEP))]
    return [controller.update(now, Sighting(now, target.forward, target.left)) for now in times]


def test_it_speeds_up_within_the_acceleration_and_the_speed_limit():
    settings = FollowSettings(max_linear=0.4, linear_acceleration=0.5)
    speeds = [v.linear for v in drive(FollowController(settings), Sighting(0, 5.0, 0.0), 2.0)]
    steps = [after - before for before, after in pairwise(speeds)]
    assert max(steps) == pytest.approx(0.5 * STEP) and speeds[0] == 0.0
    assert max(speeds) == speeds[-1] == pytest.approx(0.4)


def test_it_turns_to_the_side_on_which_the_target_is():
    left = drive(FollowController(), Sighting(0, 2.0, 0.5), 1.0)[-1]
    right = drive(FollowController(), Sighting(0, 2.0, -0.5), 1.0)[-1]
    assert left.angular == -right.angular > 0
    assert left.angular == pytest.approx(1.5 * math.atan2(0.5, 2.0))


def test_a_target_at_the_side_or_behind_is_turned_to_first():
    for forward, left in ((0.0, 3.0), (-3.0, 0.5)):
        velocity = drive(FollowController(), Sighting(0, forward, left), 2.0)[-1]
        assert velocity.linear == pytest.approx(0.0) and velocity.angular == 1.0


def test_too_near_a_target_it_backs_off_slowly_or_not_at_all():
    near = Sighting(0, 0.3, 0.0)
    assert drive(FollowController(), near, 2.0)[-1].linear == pytest.approx(-0.2)
    settings = FollowSettings(max_reverse=0.0)
    assert drive(FollowController(settings), near, 2.0)[-1].linear == 0.0


def test_within_the_dead_zones_it_stands():
    velocity = drive(FollowController(), Sighting(0, 1.04, 0.01), 1.0)[-1]
    assert velocity == STANDSTILL


def test_a_stale_pose_stops_it_at_once():
    controller = FollowController(FollowSettings(timeout=0.5))
    moving = drive(controller, Sighting(0, 5.0, 1.0), 2.0)[-1]
    assert moving.linear > 0.3
    last = Sighting(2.0 - STEP, 5.0, 1.0)
    assert controller.update(2.4, last).linear > 0.3 and controller.reason == ""
    assert controller.update(2.5, last) == STANDSTILL
    assert "last seen 0.6 s ago" in controller.reason


@pytest.mark.parametrize(("target", "reason"), [
    (None, "no target"), (Sighting(0.0, math.nan, 0.0), "not finite"),
    (Sighting(0.0, 2.0, math.inf), "not finite"), (Sighting(9.0, 2.0, 0.0), "in the future")])
def test_what_is_no_measurement_stops_it_at_once(target, reason):
    controller = FollowController()
    assert drive(controller, Sighting(0, 5.0, 0.0), 2.0)[-1].linear > 0
    assert controller.update(2.0, target) == STANDSTILL
    assert reason in controller.reason


def test_a_clock_set_back_stops_it_and_it_starts_gently_again():
    controller = FollowController()
    drive(controller, Sighting(0, 5.0, 0.0), 2.0, start=100.0)
    assert controller.update(50.0, Sighting(50.0, 5.0, 0.0)) == STANDSTILL
    assert 0 < controller.update(50.05, Sighting(50.05, 5.0, 0.0)).linear <= 0.5 * 0.05 + 1e-9


def test_it_brakes_harder_than_it_speeds_up():
    controller = FollowController(FollowSettings(linear_acceleration=0.5, linear_braking=1.0))
    drive(controller, Sighting(0, 5.0, 0.0), 2.0)
    before = controller.velocity.linear
    after = controller.update(2.0, Sighting(2.0, 1.0, 0.0)).linear
    assert before - after == pytest.approx(1.0 * STEP)


def test_a_simulated_base_ends_at_the_wanted_distance_looking_at_the_target():
    settings = FollowSettings(distance=0.8)
    controller, x, y, yaw = FollowController(settings), 0.0, 0.0, 0.0
    for number in range(400):
        ahead, aside = 2.0 - x, 1.5 - y
        velocity = controller.update(number * STEP, Sighting(
            number * STEP, ahead * math.cos(yaw) + aside * math.sin(yaw),
            aside * math.cos(yaw) - ahead * math.sin(yaw)))
        yaw += velocity.angular * STEP
        x += velocity.linear * math.cos(yaw) * STEP
        y += velocity.linear * math.sin(yaw) * STEP
    distance, bearing = math.hypot(2.0 - x, 1.5 - y), math.atan2(1.5 - y, 2.0 - x) - yaw
    assert abs(distance - 0.8) <= settings.distance_dead_zone + 0.01
    assert abs(bearing) <= settings.bearing_dead_zone + 0.01


def test_an_optical_pose_is_turned_into_the_base_frame():
    sighting = sighting_from_optical(3.0, (0.5, 0.2, 2.0))
    assert (sighting.stamp, sighting.forward, sighting.left) == (3.0, 2.0, -0.5)
    # A camera 0.5 rad down sees a point on the ground 2 m ahead and 1 m below it:
    down, along = math.cos(0.5) - 2 * math.sin(0.5), 2 * math.cos(0.5) + math.sin(0.5)
    assert sighting_from_optical(0.0, (0.0, down, along), pitch=0.5).forward == pytest.approx(2.0)


@pytest.mark.parametrize("changes", [{"distance": 0.0}, {"max_linear": -1.0}, {"timeout": 0.0},
                                     {"angular_gain": math.nan}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match="expected .* got"):
        FollowSettings(**changes)
