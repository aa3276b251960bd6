"""Results become whole messages that survive serialisation."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.messages.result_messages import mask_centroid, primary_mask
from samwise_ros.ros.outputs import conversions
from samwise_ros.ros.outputs.conversions import (
    Detection2DArray,
    LabelInfo,
    TargetArray,
    detections_to_msg,
    label_info_to_msg,
    labels_to_msg,
    mask_to_msg,
    rgb_to_msg,
    targets_to_msg,
)
from samwise_ros.structures import Box, FrameResult, TargetResult, TargetState

HEADER = Header(stamp=Time(sec=12, nanosec=345), frame_id="left_optical")
needs_own_messages = pytest.mark.skipif(
    TargetArray is None, reason="the package was installed without its messages")


def result(*masks: np.ndarray, score: float = 1.5) -> FrameResult:
    targets = []
    for number, mask in enumerate(masks):
        box = None
        if mask.any():
            rows, columns = np.nonzero(mask)
            box = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            box = Box(int(box.x0), int(box.y0), int(box.x1), int(box.y1))
        state = TargetState.REACQUIRED if mask.any() else TargetState.LOST
        targets.append(TargetResult(
            f"t{number}", f"thing {number}", number + 1, state, score + number, mask, box,
            int(mask.sum()), number == 1, 7, np.zeros((4, 4), np.float32)))
    return FrameResult(3, None, masks[0].shape if masks else (13, 29), tuple(targets))


def ragged_mask(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((13, 29)) > 0.6


def through_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize("mask", [ragged_mask(), ragged_mask()[:, ::2], ragged_mask().T[1:4]],
                         ids=["whole", "strided", "transposed part"])
def test_the_mask_image_is_lossless_for_any_memory_layout(mask):
    image = through_the_wire(mask_to_msg(mask, HEADER))
    assert (image.height, image.width) == mask.shape and image.step == mask.shape[1]
    assert image.encoding == "mono8" and image.header == HEADER
    values = np.frombuffer(image.data, np.uint8).reshape(mask.shape)
    np.testing.assert_array_equal(values, np.where(mask, 255, 0))


@pytest.mark.parametrize("encoding, channels", [("rgb8", 3), ("mono8", 1)])
def test_what_the_camera_sends_is_what_the_node_decodes(encoding, channels):
    shape = (13, 29, 3) if channels == 3 else (13, 29)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image = through_the_wire(rgb_to_msg(pixels, HEADER, encoding))
    expected = pixels if channels == 3 else np.repeat(pixels[..., None], 3, 2)
    np.testing.assert_array_equal(image_to_rgb(image), expected)


@needs_own_messages
def test_every_field_of_a_target_arrives():
    mask = np.zeros((13, 29), bool)
    mask[2:5, 10:20] = True
    message = through_the_wire(targets_to_msg(
        result(ragged_mask(), mask), {"t0": 4, "t1": 300}, HEADER))
    assert message.header == HEADER and (message.height, message.width) == (13, 29)
    target = message.targets[1]
    assert (target.id, target.expression, target.command) == ("t1", "thing 1", 2)
    assert target.state == target.REACQUIRED and target.switched and target.age == 7
    assert [other.label for other in message.targets] == [4, 300]
    assert target.object_score == 2.5
    assert target.score == pytest.approx(1 / (1 + math.exp(-2.5)))
    box = target.box
    assert (box.x_offset, box.y_offset, box.width, box.height) == (10, 2, 10, 3)
    assert target.area == 30 and (target.centroid_x, target.centroid_y) == (14.5, 3.0)


@needs_own_messages
def test_an_absent_target_has_an_empty_box_and_no_centroid():
    answer = result(np.zeros((13, 29), bool), score=-3.0)
    target = through_the_wire(targets_to_msg(answer, {"t0": 1}, HEADER)).targets[0]
    assert target.state == target.LOST and target.area == 0
    assert target.box.width == target.box.height == 0
    assert math.isnan(target.centroid_x) and math.isnan(target.centroid_y)


@needs_own_messages
def test_every_state_has_its_number_in_the_message():
    answer = result(ragged_mask())
    for state in TargetState:
        targets = (replace(answer.targets[0], state=state),)
        target = targets_to_msg(replace(answer, targets=targets), {"t0": 1}, HEADER).targets[0]
        assert target.state == getattr(target, state.name)


def test_the_mask_is_that_of_the_first_target_and_empty_without_one():
    first = ragged_mask(1)
    assert primary_mask(result(first, ragged_mask(2))) is first
    np.testing.assert_array_equal(primary_mask(result()), np.zeros((13, 29), bool))


@pytest.mark.parametrize("dtype, encoding", [(np.uint8, "mono8"), (np.uint16, "mono16")])
def test_label_numbers_survive_the_wire(dtype, encoding):
    labels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (13, 29), dtype)
    image = through_the_wire(labels_to_msg(labels, HEADER))
    assert (image.encoding, image.step, image.is_bigendian) == (encoding, labels[0].nbytes, 0)
    np.testing.assert_array_equal(np.frombuffer(
        image.data, np.dtype(dtype).newbyteorder("<")).reshape(13, 29), labels)


def test_the_centroid_is_the_mean_of_the_mask_pixels():
    mask = ragged_mask(5)
    rows, columns = np.nonzero(mask)
    x, y = mask_centroid(mask, Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1,
                                   int(rows.max()) + 1))
    assert x == pytest.approx(columns.mean()) and y == pytest.approx(rows.mean())


def test_the_log_says_how_to_get_absent_messages(monkeypatch):
    monkeypatch.setattr(conversions, "Detection2DArray", None)
    monkeypatch.setattr(conversions, "TargetArray", None)
    first, second = conversions.missing_messages()
    assert "~/targets" in first and "vision-msgs" in second


@pytest.mark.skipif(Detection2DArray is None,
                    reason="vision_msgs is neither installed nor built (make test does)")
def test_detections_hold_the_visible_targets_best_first():
    empty = np.zeros((13, 29), bool)
    mask = empty.copy()
    mask[2:5, 10:20] = True
    message = through_the_wire(detections_to_msg(result(mask, empty, mask), HEADER))
    assert [detection.id for detection in message.detections] == ["t2", "t0"]
    detection = message.detections[1]
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (15.0, 3.5)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (10.0, 3.0)
    assert detection.results[0].hypothesis.class_id == "thing 0"
    assert detection.results[0].hypothesis.score == pytest.approx(1 / (1 + math.exp(-1.5)))


@pytest.mark.skipif(LabelInfo is None,
                    reason="vision_msgs is neither installed nor built (make test does)")
def test_label_info_names_each_number():
    message = through_the_wire(label_info_to_msg(
        result(ragged_mask(), ragged_mask()), {"t0": 1, "t1": 7}, 0.5, HEADER))
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [
        (1, "thing 0"), (7, "thing 1")]
    assert message.threshold == 0.5 and message.header == HEADER
