"""The benchmark of the node's own cost: that it runs and counts what it says. No limits on
times."""

import re

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import RosProcess, new_domain

from samwise_ros.demos.options import BYTES_PER_PIXEL, OverheadOptions, to_argument
from samwise_ros.messages.image_codec import ENCODINGS

HASTY = """
from samwise_ros.demos.bench import node_overhead_client as client
client._TIMEOUT = 0.5
raise SystemExit(client.main())
"""


def test_the_benchmark_prints_a_row_for_each_encoding(tmp_path):
    assert set(BYTES_PER_PIXEL) <= set(ENCODINGS)
    process = RosProcess(["-m", "samwise_ros.cli.main", "bench", "node", "--frames", "3",
                          "--model-ms",
                          "20", "--encoding", "rgb8", "--encoding", "yuyv"], new_domain(),
                         tmp_path / "overhead.log")
    try:
        assert process.wait() == 0, process.text
    finally:
        process.kill()
    rows = re.findall(r"^\| (\w+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\S+), (\S+) \| (\S+) \| "
                      r"(\S+) % \|$", process.text, re.MULTILINE)
    assert [row[0] for row in rows] == ["rgb8", "yuyv"]
    for handover, decoding, publishing, total, quick, slow, cpu, share in (
            map(float, row[1:]) for row in rows):
        assert min(handover, decoding, publishing, cpu) >= 0 and quick <= total <= slow
        assert total >= max(handover, decoding, publishing, cpu) - 0.01  # rounded to that
        # The model's 20 ms are in the whole only: a share near 100 % would mean that they aren't.
        assert share <= 100 * total / (total + 20) + 25


def test_a_camera_that_is_not_answered_ends_the_benchmark(tmp_path):
    domain = new_domain()
    process = RosProcess(["-c", HASTY, to_argument(OverheadOptions(("rgb8",), 1, 1.0, (4, 6)))],
                         domain, tmp_path / "client.log")
    try:
        assert process.wait() == 1 and "does not find the camera" in process.text
    finally:
        process.kill()
