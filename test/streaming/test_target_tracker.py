"""States with hysteresis, and the prediction beside them."""

import numpy as np
import pytest

from samwise_ros.streaming.target_tracker import (
    MotionPredictor,
    TargetTracker,
    TargetTrackers,
    TrackSettings,
    TrackState,
)
from samwise_ros.structures import Box, ConfigError, FrameResult, TargetResult, TargetState

SEARCHING, TRACKING, LOST, REACQUIRED = TrackState


def states(settings: TrackSettings, scores: list[float]) -> list[TrackState]:
    tracker = TargetTracker(settings)
    return [tracker.update(score, visible=score > 0) for score in scores]


def test_a_target_is_searched_for_tracked_lost_and_reacquired():
    settings = TrackSettings(leave_frames=1, reacquired_frames=2)
    assert states(settings, [0, 0.9, 0.9, 0, 0, 0.9, 0.9, 0.9]) == [
        SEARCHING, TRACKING, TRACKING, LOST, LOST, REACQUIRED, REACQUIRED, TRACKING]


def test_a_score_between_the_thresholds_keeps_the_state():
    settings = TrackSettings(enter_score=0.7, leave_score=0.4, leave_frames=1, reacquired_frames=0)
    assert states(settings, [0.5, 0.7, 0.5, 0.41, 0.39, 0.5, 0.69, 0.71]) == [
        SEARCHING, TRACKING, TRACKING, TRACKING, LOST, LOST, LOST, TRACKING]


def test_short_events_are_debounced_in_both_directions():
    settings = TrackSettings(enter_frames=2, leave_frames=3, reacquired_frames=0)
    assert states(settings, [1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1]) == [
        *[SEARCHING] * 3, *[TRACKING] * 6, LOST, LOST, TRACKING]


def test_a_high_score_without_a_mask_is_not_seen():
    tracker = TargetTracker()
    assert tracker.update(0.99, visible=False) is SEARCHING
    assert not tracker.present


def test_lost_again_while_reacquired_is_lost():
    settings = TrackSettings(leave_frames=1, reacquired_frames=5)
    assert states(settings, [1, 0, 1, 0, 1]) == [TRACKING, LOST, REACQUIRED, LOST, REACQUIRED]


def result(**visible: tuple[int, bool]) -> FrameResult:
    """Targets by id: command number and whether it is seen."""
    targets = []
    for name, (command, seen) in visible.items():
        mask = np.full((4, 6), seen)
        targets.append(TargetResult(
            name, "a thing", command, TargetState.TRACKING, 3.0 if seen else -3.0, mask,
            Box(0, 0, 6, 4) if seen else None, int(mask.sum()), False, 0,
            np.zeros((1, 2), np.float32)))
    return FrameResult(0, None, (4, 6), tuple(targets))


def test_targets_are_told_apart_and_a_new_command_starts_afresh():
    trackers = TargetTrackers(TrackSettings(leave_frames=1))
    assert trackers.update(result(a=(1, True), b=(2, False))) == {"a": TRACKING, "b": SEARCHING}
    assert trackers.update(result(a=(1, False), b=(2, True))) == {"a": LOST, "b": TRACKING}
    assert trackers.update(result(a=(3, False), b=(2, True))) == {"a": SEARCHING, "b": TRACKING}


def test_a_target_that_went_away_is_forgotten():
    trackers = TargetTrackers(TrackSettings(leave_frames=1))
    trackers.update(result(a=(1, True)))
    trackers.update(result())
    assert trackers.update(result(a=(1, False))) == {"a": SEARCHING}


def test_new_thresholds_hold_from_the_next_frame_on():
    trackers = TargetTrackers(TrackSettings(leave_frames=1))
    trackers.update(result(a=(1, True)))
    trackers.set(TrackSettings(leave_frames=2))
    assert trackers.update(result(a=(1, False))) == {"a": TRACKING}
    trackers.reset()
    assert trackers.update(result(a=(1, False))) == {"a": SEARCHING}


@pytest.mark.parametrize("changes", [
    {"enter_score": 0.3}, {"leave_score": -0.1}, {"enter_frames": 0}, {"leave_frames": 0},
    {"reacquired_frames": -1}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match="got"):
        TrackSettings(**changes)


def test_constant_velocity_is_carried_on_up_to_the_horizon():
    predictor = MotionPredictor(horizon=0.5)
    assert predictor.predict(0.0) is None
    for number in range(10):
        predictor.add(10 + number / 20, np.array([0.1 * number, 0.0, 2.0 - 0.05 * number]))
    prediction = predictor.predict(10.45 + 0.2)
    np.testing.assert_allclose(prediction.velocity, [2.0, 0.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(prediction.position, [0.9 + 0.4, 0.0, 1.55 - 0.2], atol=1e-9)
    assert prediction.age == pytest.approx(0.2)
    assert predictor.predict(10.45 + 0.51) is None
    assert predictor.predict(10.4) is None


def test_a_clock_that_jumps_back_starts_the_prediction_afresh():
    predictor = MotionPredictor()
    predictor.add(10.0, np.zeros(3))
    predictor.add(10.1, np.ones(3))
    predictor.add(5.0, np.zeros(3))
    assert predictor.predict(5.1) is None


def test_only_recent_measurements_make_the_velocity():
    predictor = MotionPredictor(window=0.3)
    for number in range(20):  # still for a second, then moving
        predictor.add(number / 10, np.array([max(0.0, number - 10) / 10, 0.0, 0.0]))
    np.testing.assert_allclose(predictor.predict(1.9).velocity, [1.0, 0.0, 0.0], atol=1e-9)
