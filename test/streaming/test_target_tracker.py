"""States with hysteresis."""

import math

import numpy as np
import pytest

from samwise_ros.streaming.target_tracker import TargetTracker, TrackSettings
from samwise_ros.structures import Box, ConfigError, TargetResult, TargetState

SEARCHING, TRACKING, LOST, REACQUIRED = TargetState


def states(settings: TrackSettings, scores: list[float]) -> list[TargetState]:
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


def answer(score: float, seen: bool = True) -> TargetResult:
    mask = np.full((4, 6), seen)
    return TargetResult(
        "a", "a thing", 1, SEARCHING, math.log(score / (1 - score)), mask,
        Box(0, 0, 6, 4) if seen else None, int(mask.sum()), False, 0,
        np.full((1, 2), 9, np.float32))


def test_a_mask_is_held_back_until_its_target_counts_as_there():
    tracker = TargetTracker(TrackSettings(enter_score=0.7, leave_score=0.4, leave_frames=2))
    story = [(0.6, SEARCHING), (0.8, TRACKING), (0.5, TRACKING), (0.3, TRACKING), (0.3, LOST),
             (0.6, LOST), (0.8, REACQUIRED)]
    for score, state in story:
        given = answer(score)
        judged = tracker.judge(given)
        assert judged.state is state and judged.score == pytest.approx(score)
        assert bool(judged.area) == judged.mask.any() == (judged.box is not None) == state.present
        assert given.mask.all() and (judged.mask_logits == 9).all(), "the network's verdict stays"


def test_new_thresholds_hold_from_the_next_frame_on():
    tracker = TargetTracker(TrackSettings(leave_frames=1))
    assert tracker.judge(answer(0.9)).state is TRACKING
    tracker.settings = TrackSettings(leave_frames=2)
    assert tracker.judge(answer(0.1, seen=False)).state is TRACKING
    assert tracker.judge(answer(0.1, seen=False)).state is LOST


@pytest.mark.parametrize("changes", [
    {"enter_score": 0.3}, {"leave_score": -0.1}, {"enter_frames": 0}, {"leave_frames": 0},
    {"reacquired_frames": -1}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match="got"):
        TrackSettings(**changes)
