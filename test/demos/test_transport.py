"""The benchmark of the transport: that it runs over all of them and counts. No limits on times."""

import re

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.demos.bench.transport import TRANSPORTS, Cost, table

ROW = re.compile(r"^\| (64x48 \w+) \| (\d+) \| ([^|]+) \| (\S+) \| (\S+) \| (\S*) ?\| "
                 r"(\S+), (\S+) \| (\d+) % \| (\S+), (\S+) \| (\d+) % \| (\S+) \| (\S+), (\S+) \|$",
                 re.MULTILINE)


def test_the_benchmark_prints_a_row_for_each_image_and_transport():
    done = CliRunner().invoke(app, ["bench", "transport", "--size", "64x48", "--frames", "3",
                                    "--rounds", "1", "--rate", "30"])
    assert done.exit_code == 0, done.output
    rows = ROW.findall(done.output)
    assert [(row[0], row[2]) for row in rows] == [
        (f"64x48 {encoding}", transport) for encoding in ("rgb8", "jpeg")
        for transport in TRANSPORTS], done.output
    for image, kilobytes, transport, serialise, publish, _, *rest in rows:
        assert int(kilobytes) == 9 if "rgb8" in image else int(kilobytes) < 9
        assert 0 <= float(serialise) and 0 < float(publish)
        quick, slow, lost, reliable_quick, reliable_slow, reliable_lost, ratio, *cpu = map(
            float, rest)
        assert 0 < quick <= slow and 0 < reliable_quick <= reliable_slow
        assert lost == reliable_lost == 0  # they are small
        assert ratio == 1 if transport == "as it is" else ratio > 0
        assert min(cpu) > 0


def test_images_that_never_came_are_lost_and_have_no_latency():
    usual, other = (Cost("64x48", "rgb8", name) for name in ("as it is", "UDP alone"))
    for cost, latency in ((usual, [8.0, 8.0]), (other, [2.0])):
        for qos, found in (("best effort", []), ("reliable", latency)):
            cost.add({"qos": qos, "nbytes": 9216, "frames": 2, "latency": found, "encode": 0.0,
                      "decode": 0.0, "serialise": 0.5, "publish": [1.0, 3.0], "camera_cpu": 1.0,
                      "subscriber_cpu": 2.0})
    start = "| 64x48 rgb8 | 9 | {} | 0.50 | 2.00 |  |  | 100 % | {} | 1.0, 2.0 |"
    assert table([usual, other]).splitlines()[2:] == [
        start.format("as it is", "8.0, 8.0 | 0 % | 1.00"),
        start.format("UDP alone", "2.0, 2.0 | 50 % | 0.25")]


@pytest.mark.parametrize("size", ["1280", "0x480", "640x480x3", "axb"])
def test_what_is_no_size_is_refused(size: str):
    done = CliRunner().invoke(app, ["bench", "transport", "--size", size])
    assert done.exit_code == 2 and "WIDTHxHEIGHT" in done.output
