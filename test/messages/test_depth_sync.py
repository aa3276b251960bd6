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
