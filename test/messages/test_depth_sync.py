"""The join of answers and depth images: order, tolerance and bounds."""

import random

import pytest

from samwise_ros.messages.depth_sync import DepthSync, StampedBuffer
from samwise_ros.structures import ConfigError

MS = 1_000_000


def test_an_answer_that_comes_after_its_depth_is_paired_at_once():
    sync = DepthSync()
    assert sync.add_info(0, "info") is None
    assert sync.add_depth(40, "depth") is None
    pair = sync.add_answer(40, "mask")
    assert (pair.answer, pair.depth, pair.info, pair.difference) == ("mask", "depth", "info", 0)


def test_an_answer_that_comes_first_is_paired_when_its_depth_comes():
    sync = DepthSync()
    sync.add_info(0, "info")
    assert sync.add_answer(40, "mask") is None
    assert sync.add_depth(39, "another") is None
    assert sync.add_depth(40, "depth").answer == "mask"
    assert sync.add_depth(40, "depth") is None  # once only


def test_the_first_camera_info_completes_what_waited_for_it():
    sync = DepthSync()
    sync.add_depth(40, "depth")
    assert sync.add_answer(40, "mask") is None
    assert sync.add_info(5, "info").answer == "mask"
    assert sync.add_info(6, "info") is None


def test_camera_info_is_the_nearest_in_time():
    sync = DepthSync()
    for stamp in (10, 20, 30):
        sync.add_info(stamp, stamp)
    sync.add_depth(22, "depth")
    assert sync.add_answer(22, "mask").info == 20


def test_stamps_within_the_slop_are_paired_with_the_nearest():
    sync = DepthSync(slop=10 * MS)
    sync.add_info(0, "info")
    sync.add_depth(100 * MS, "early")
    sync.add_depth(118 * MS, "late")
    pair = sync.add_answer(110 * MS, "mask")
    assert (pair.depth, pair.difference) == ("late", 8 * MS)
    assert sync.add_answer(140 * MS, "mask") is None
    assert sync.add_depth(151 * MS, "too late") is None
    assert sync.add_depth(149 * MS, "depth").answer == "mask"


@pytest.mark.parametrize("rate", [5, 30, 60])
def test_by_default_depth_that_is_off_by_less_than_half_a_period_is_taken_and_no_other(rate):
    """Whatever the camera's rate: half of it was once that of 30 Hz for all."""
    period = 10**9 // rate
    sync = DepthSync(slop=None)
    sync.add_info(0, "info")
    for number in range(5):  # after two of each the period is known
        sync.add_answer(number * period, number)
        sync.add_depth(number * period, number)
    assert sync.slop == pytest.approx(min(0.45 * period, 1e8), rel=1e-6)
    sync.add_depth(10 * period, 10)
    assert sync.add_answer(10 * period + sync.slop, "near").depth == 10
    sync.add_depth(20 * period, 20)
    assert sync.add_answer(20 * period + period // 2, "between two") is None


def test_the_measured_period_bears_dropped_answers_and_jumps_and_is_forgotten_with_the_rest():
    sync = DepthSync(slop=None)
    before = sync.slop
    assert before == 15 * MS
    for number in range(20):
        sync.add_depth(number * 33 * MS, number)
        if number % 4 == 0:
            sync.add_answer(number * 33 * MS, number)
    sync.add_depth(5 * MS, "the clock went back")
    assert sync.slop == pytest.approx(0.45 * 33 * MS, rel=1e-6)
    sync.reset()
    assert sync.slop == before
    for stamp in range(5):
        sync.add_depth(stamp * 10**9, stamp)
    assert sync.slop == 100 * MS


def test_exact_pairing_takes_no_neighbour():
    sync = DepthSync(slop=0)
    sync.add_info(0, "info")
    sync.add_depth(99, "depth")
    assert sync.add_answer(100, "mask") is None


def test_both_sides_stay_bounded_and_what_was_given_up_is_counted():
    sync = DepthSync(size=5)
    sync.add_info(0, "info")
    for stamp in range(1000):
        sync.add_answer(2 * stamp, "mask")
        sync.add_depth(2 * stamp + 1, "depth")
        sync.add_info(stamp, "info")
    assert sync.unmatched == 1000 - 5
    assert max(len(buffer) for buffer in (sync._answers, sync._depths, sync._infos)) == 5


def test_any_order_of_arrival_pairs_everything_that_belongs_together():
    rng = random.Random(3)
    sync = DepthSync(size=30)
    sync.add_info(0, "info")
    events = [(stamp + rng.uniform(0, 5), kind, stamp) for stamp in range(200)
              for kind in ("answer", "depth")]
    pairs = []
    for _, kind, stamp in sorted(events):
        add = sync.add_answer if kind == "answer" else sync.add_depth
        pair = add(stamp, stamp)
        if pair is not None:
            assert pair.answer == pair.depth
            pairs.append(pair.answer)
    assert sorted(pairs) == list(range(200)) and sync.unmatched == 0


def test_a_reset_drops_everything():
    sync = DepthSync()
    sync.add_info(0, "info")
    sync.add_depth(40, "depth")
    sync.reset()
    sync.add_info(0, "info")
    assert sync.add_answer(40, "mask") is None


def test_a_buffer_replaces_equal_stamps_and_gives_up_the_oldest():
    buffer = StampedBuffer(2)
    assert [buffer.put(stamp, stamp) for stamp in (5, 1, 5, 9)] == [0, 0, 0, 1]
    assert (len(buffer), buffer.nearest(0), buffer.nearest(0, slop=4)) == (2, 5, None)
    with pytest.raises(KeyError):
        buffer.get(1)
    assert buffer.pop(9) == 9 and len(buffer) == 1


def test_stamps_from_the_far_future_do_not_keep_their_place():
    sync = DepthSync(size=3)
    sync.add_info(0, "info")
    for stamp in range(10):
        sync.add_depth(10**18 + stamp, "garbage")
        sync.add_answer(10**17 + stamp, "garbage")
    sync.add_depth(40, "depth")
    assert sync.add_answer(40, "mask").depth == "depth"


@pytest.mark.parametrize("arguments", [{"slop": -1}, {"size": 0}])
def test_settings_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError, match="got"):
        DepthSync(**arguments)
