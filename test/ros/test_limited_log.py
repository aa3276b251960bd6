"""What a limit leaves out of the log, and what it never does; on a real node's log."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from samwise_ros.ros.limited_log import LimitedLog


def test_what_is_said_of_one_thing_leaves_out_nothing_of_another(plain_node, capfd):
    log = LimitedLog(plain_node, seconds=60.0)
    for camera in ("front", "wrist", "front", "wrist"):  # one calling line for all
        log.warning(f"no image of {camera}", camera)
    LimitedLog(plain_node, seconds=60.0).warning("no image of a third", "front")
    said = capfd.readouterr().err
    assert [said.count(f"no image of {name}") for name in ("front", "wrist", "a third")] == [1] * 3
    assert "[WARN]" in said and "[samwise]" in said


def test_lines_that_were_left_out_are_counted_in_the_next_one(plain_node, capfd, monkeypatch):
    now = 5.0
    monkeypatch.setattr("samwise_ros.ros.limited_log.time.monotonic", lambda: now)
    log = LimitedLog(plain_node, seconds=1.0)
    for now in (5.0, 5.1, 5.9, 6.1, 7.5):
        log.error("refused")
    lines = [line for line in capfd.readouterr().err.splitlines() if "refused" in line]
    assert [line.partition("refused")[2] for line in lines] == [
        "", " (2 more since the last line)", ""]
