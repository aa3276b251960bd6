"""Label numbers, label pictures and overlays, without ROS messages."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_results_node import coded, scripted_result

from samwise_ros.ros.outputs.overlay import RateLimit, draw_overlay
from samwise_ros.streaming.drawing import encode_jpeg
from samwise_ros.streaming.label_map import LabelMap, paint_labels
from samwise_ros.structures import Box, FrameResult, SamwiseError, TargetResult


def test_a_target_keeps_its_number_and_gets_it_back():
    labels = LabelMap()
    assert labels.update(["a", "b"]) == {"a": 1, "b": 2}
    assert labels.update(["c", "b"]) == {"b": 2, "c": 3}
    assert labels.update(["b", "a"]) == {"b": 2, "a": 1}
    assert labels.update([]) == {}


def test_numbers_stay_below_256_while_targets_come_and_go():
    labels = LabelMap()
    kept = labels.update(["kept"])["kept"]
    for number in range(2000):
        given = labels.update(["kept", f"id{number}"])
        assert given["kept"] == kept != given[f"id{number}"] <= 255
    assert max(labels.update([f"id{number}" for number in range(300)]).values()) > 255


def test_overlaps_go_to_the_primary_target_then_to_the_higher_score_then_to_the_earlier():
    codes = np.zeros((1, 4), int)
    result = scripted_result(coded(codes), [
        ["first", "", 1, 0.6], ["low", "", 2, 0.7], ["high", "", 3, 0.9], ["equal", "", 4, 0.9]])
    wide = {"first": (0, 1), "low": (0, 4), "high": (1, 3), "equal": (2, 4)}
    targets = []
    for target in result.targets:
        mask = np.zeros((1, 4), bool)
        mask[:, slice(*wide[target.target_id])] = True
        targets.append(replaced(target, mask))
    painted = paint_labels(FrameResult(0, None, (1, 4), tuple(targets)),
                           {"first": 1, "low": 2, "high": 3, "equal": 4})
    assert painted.tolist() == [[1, 3, 3, 4]] and painted.dtype == np.uint8


def replaced(target: TargetResult, mask: np.ndarray) -> TargetResult:
    """The target with another mask of one row."""
    columns = np.flatnonzero(mask.any(axis=0))
    return replace(target, mask=mask, area=int(mask.sum()),
                   box=Box(int(columns[0]), 0, int(columns[-1]) + 1, mask.shape[0]))


def test_a_rate_limit_keeps_its_mean_rate_and_bursts_after_no_pause():
    now = [0.0]
    limit = RateLimit(10.0, lambda: now[0])
    taken = 0
    for frame in range(300):  # 30 Hz with jitter
        now[0] = frame / 30 + 0.004 * (frame % 3)
        taken += limit.take()
    assert 99 <= taken <= 101
    now[0] += 100
    assert [limit.take(), limit.take()] == [True, False]
    limit.rate = 0.0
    now[0] += 100
    assert not limit.take()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (480, 640)])
def test_an_overlay_of_any_size_is_a_new_picture(shape):
    rgb = np.full((*shape, 3), 40, np.uint8)
    rgb[0, 0] = (1, 0, 77)
    rgb.flags.writeable = False
    result = scripted_result(rgb, [["cup", "the r\u00e9d cup " * 20, 1, 0.9]])
    picture = draw_overlay(rgb, result, {"cup": 9})
    assert picture.shape == rgb.shape and picture.dtype == np.uint8
    assert (picture != rgb).any() and encode_jpeg(picture)[:2] == b"\xff\xd8"


def test_an_overlay_that_is_too_large_for_jpeg_is_named():
    with pytest.raises(SamwiseError, match="picture of 70000x1 pixels"):
        encode_jpeg(np.zeros((1, 70000, 3), np.uint8))
