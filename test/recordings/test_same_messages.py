"""The node's messages and those of recordings are made by one function, and say the same."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")
pytest.importorskip("rosbags", reason="needs pip install 'samwise_ros[recordings]'")

from rclpy.serialization import deserialize_message, serialize_message

from samwise_ros.messages import place_messages, result_messages
from samwise_ros.messages.camera_model import Pinhole
from samwise_ros.messages.localization import localize
from samwise_ros.messages.result_messages import MakeMessage
from samwise_ros.recordings.message_types import MessageTypes
from samwise_ros.ros.outputs.conversions import Detection2DArray, TargetArray, make_message
from samwise_ros.structures import Box, FrameResult, TargetResult, TargetState

MASK = np.zeros((24, 40), bool)
MASK[5:15, 4:24] = True
TARGET = TargetResult("cup", "the red cup", 3, TargetState.REACQUIRED, 1.5, MASK, Box(4, 5, 24, 15),
                      200, True, 7, np.zeros((1, 1), np.float32))
RESULT = FrameResult(4, None, (24, 40), (TARGET,))
PLACE = localize(MASK, np.linspace(1, 1.5, 960, dtype=np.float32).reshape(24, 40),
                 Pinhole(40, 24, 30.0, 30.0, 19.5, 11.5))
RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def made(make: MakeMessage) -> dict[str, Any]:
    header = make("std_msgs/msg/Header", frame_id="optical",
                  stamp=make("builtin_interfaces/msg/Time", sec=12, nanosec=345))
    labels = {"cup": 300}
    messages = {
        "mask": result_messages.mask_to_msg(make, MASK, header),
        "label_mask": result_messages.labels_to_msg(make, MASK * np.uint16(300), header),
        "pose": place_messages.pose_to_msg(make, PLACE.position, header),
        "cloud": place_messages.cloud_to_msg(make, PLACE, RGB, header)}
    if TargetArray is not None:
        messages["targets"] = result_messages.targets_to_msg(make, RESULT, labels, header)
    if Detection2DArray is not None:
        messages |= {
            "detections": result_messages.detections_to_msg(make, RESULT, header),
            "info": result_messages.label_info_to_msg(make, RESULT, labels, 0.5, header),
            "places": place_messages.detections_3d_to_msg(make, [(TARGET, PLACE)], header)}
    return messages


def test_bytes_of_a_recording_are_the_nodes_message() -> None:
    types = MessageTypes()
    of_node, of_recording = made(make_message), made(types.make)
    for name, message in of_node.items():
        read = deserialize_message(types.write(of_recording[name]), type(message))
        assert read == deserialize_message(serialize_message(message), type(message)), name
