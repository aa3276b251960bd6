"""Services and the action over real DDS, around a stand-in for the model; and the goal's rule."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from ros_processes import Client, StandIn
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from samwise_ros.ros.outputs.conversions import Target, TargetArray
from samwise_ros.ros.services.track_goal import Outcome, TrackGoal, Verdict
from samwise_ros.structures import Box, FrameResult, Prompt, TargetResult, TargetState

pytestmark = pytest.mark.skipif(
    TargetArray is None, reason="the package was installed without its messages")
if TargetArray is not None:
    from samwise_ros.action import TrackTarget
    from samwise_ros.msg import Prompt as PromptMessage
    from samwise_ros.srv import ListTargets

BLACK = np.zeros((24, 32, 3), np.uint8)
RED = BLACK.copy()
RED[4:12, 8:24, 0] = 255


class Caller:
    """Calls services and the action of a node, and plays its camera meanwhile."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._due = 0.0
        self.picture = BLACK
        self.feedback: list = []
        self.track = ActionClient(client.node, TrackTarget, "/samwise/track_target")

    def wait(self, condition, what: str, timeout: float = 60.0) -> None:
        """Send a picture every 50 ms until the condition holds."""
        def send_and_look() -> bool:
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + 0.05
                self._client.send(self.picture)
            return condition()

        self._client.wait(send_and_look, what, timeout)

    def call(self, kind: type, name: str, **fields: object):
        service = self._client.node.create_client(kind, f"/samwise/{name}")
        self._client.wait(service.service_is_ready, f"service {name}")
        future = service.call_async(kind.Request(**fields))
        self._client.wait(future.done, f"answer of {name}")
        self._client.node.destroy_client(service)
        return future.result()

    def start(self, expression: str, **fields: object):
        """Give a goal; its handle."""
        self._client.wait(self.track.server_is_ready, "action server")
        future = self.track.send_goal_async(
            TrackTarget.Goal(expression=expression, **fields),
            feedback_callback=lambda message: self.feedback.append(message.feedback))
        self._client.wait(future.done, "goal is taken")
        assert future.result().accepted
        return future.result()

    def result(self, handle):
        """(status, result) of a goal."""
        future = handle.get_result_async()
        self.wait(future.done, "result of the goal")
        return future.result().status, future.result().result


@pytest.fixture
def caller(standin: StandIn) -> Iterator[Caller]:
    _, client = standin.start("--ros-args", "-p", "image_qos:=reliable")
    client.lifecycle.run("up")
    client.wait_for_camera_match()
    caller = Caller(client)
    yield caller
    caller.track.destroy()


def test_a_goal_ends_when_the_target_is_found_and_the_target_stays(caller):
    handle = caller.start("the red square", id="cup", timeout=60.0)
    caller.wait(lambda: len(caller.feedback) > 2, "feedback")
    assert {item.state for item in caller.feedback} == {Target.SEARCHING}
    assert {item.command for item in caller.feedback} == {1}
    ages = [item.age for item in caller.feedback]
    assert ages == list(range(ages[0], ages[0] + len(ages)))
    caller.picture = RED
    status, result = caller.result(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_SUCCEEDED, TrackTarget.Result.FOUND)
    assert result.command == 1 and result.score > 0.8 and result.header.frame_id == "camera"
    box = result.box
    assert (box.x_offset, box.y_offset, box.width, box.height) == (8, 4, 16, 8)
    listed = caller.call(ListTargets, "list_targets")
    assert listed.enabled and listed.command == 1
    assert [(item.id, item.expression, item.command, item.label) for item in listed.targets] == [
        ("cup", "the red square", 1, 1)]
    assert listed.targets[0].state == Target.TRACKING and listed.targets[0].area > 0


def test_a_goal_may_show_what_is_meant_without_a_sentence(caller):
    handle = caller.start("", id="cup", prompt=PromptMessage(
        points=[9.0, 5.0, 1.0, 1.0], beside=[False, True]))
    caller.picture = RED
    status, result = caller.result(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_SUCCEEDED, TrackTarget.Result.FOUND)
    listed = caller.call(ListTargets, "list_targets").targets
    assert [(item.id, item.expression) for item in listed] == [("cup", "")]


def test_a_goal_that_is_not_found_in_time_is_lost_and_dropped(caller):
    status, result = caller.result(caller.start("the red square", timeout=0.5))
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, TrackTarget.Result.LOST)
    assert "not found within" in result.reason and result.box.width == 0
    caller.wait(lambda: not caller.call(ListTargets, "list_targets").targets, "it is dropped")


def test_without_images_a_goal_is_lost_in_time_too_and_says_why(standin):
    _, client = standin.start()
    client.lifecycle.run("up")
    caller = Caller(client)
    handle = caller.start("the red square", timeout=0.5)
    future = handle.get_result_async()
    client.wait(future.done, "result without images")
    assert future.result().result.outcome == TrackTarget.Result.LOST
    assert "no image was answered" in future.result().result.reason
    caller.track.destroy()


def test_a_kept_goal_goes_on_until_the_target_is_gone(caller):
    caller.picture = RED
    handle = caller.start("the red square", keep=True, timeout=3.0)
    caller.wait(lambda: len(caller.feedback) > 3, "feedback")
    assert caller.feedback[-1].state == Target.TRACKING
    caller.picture = BLACK
    status, result = caller.result(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, TrackTarget.Result.LOST)
    assert "not seen any more" in result.reason and result.box.width > 0
    assert caller.feedback[-1].state == Target.LOST


def test_a_cancelled_goal_drops_its_target(caller):
    caller.picture = RED
    handle = caller.start("the red square", keep=True)
    caller.wait(lambda: caller.feedback, "feedback")
    handle.cancel_goal_async()
    status, result = caller.result(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_CANCELED, TrackTarget.Result.CANCELLED)
    caller.wait(lambda: not caller.call(ListTargets, "list_targets").targets, "it is dropped")


def test_a_newer_goal_or_command_ends_an_older_goal(caller):
    caller.picture = RED
    first = caller.start("the red square", keep=True)
    second = caller.start("the other square", keep=True)
    status, result = caller.result(first)
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, TrackTarget.Result.CANCELLED)
    assert "command 2" in result.reason and result.command == 1
    caller._client.command("a third one")
    _, result = caller.result(second)
    assert result.outcome == TrackTarget.Result.CANCELLED and "newer" in result.reason
    third = caller.start("a square of its own", id="own", keep=True)
    caller.wait(lambda: any(item.command == 4 for item in caller.feedback),
                "feedback of the fourth command")
    caller._client.command("a sentence that replaces all")
    _, result = caller.result(third)
    assert result.outcome == TrackTarget.Result.CANCELLED and "dropped" in result.reason


@pytest.mark.parametrize(("fields", "word"), [
    ({"points": [1.0]}, "two numbers"), ({"box": [1.0, 2.0]}, "a box of four"),
    ({"box": [5.0, 5.0, 5.0, 9.0]}, "x0 < x1"),
    ({"points": [1.0, 1.0], "beside": [True]}, "beside the target")])
def test_a_goal_whose_prompt_shows_nothing_is_refused_with_the_reason(caller, fields, word):
    status, result = caller.result(caller.start("", prompt=PromptMessage(**fields)))
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, TrackTarget.Result.CANCELLED)
    assert result.command == 0 and word in result.reason


def test_a_goal_waits_for_the_picture_of_its_prompt_and_ends_when_that_refuses_it():
    goal = TrackGoal("cup", 7, 0.0, False, 0.0, Prompt(points=((1, 1),), stamp=2.0))
    for _ in range(9):
        assert goal.frame(FrameResult(0, 1.5, (9, 9), ()), 0.0) is None
    verdict = goal.frame(FrameResult(0, 2.0, (9, 9), (), ("command 7 refused: outside",)), 0.0)
    assert verdict == Verdict(Outcome.CANCELLED, "command 7 refused: outside")


@pytest.mark.parametrize(("fields", "word"), [
    ({"expression": ""}, "SENTENCE"), ({"expression": "it", "id": "a b"}, "id"),
    ({"expression": "it", "timeout": -1.0}, "timeout")])
def test_a_goal_that_cannot_be_understood_is_refused_with_the_reason(caller, fields, word):
    status, result = caller.result(caller.start(**fields))
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, TrackTarget.Result.CANCELLED)
    assert result.command == 0 and word in result.reason


def test_enable_lets_images_pass_and_reset_starts_memory_anew(caller):
    caller.picture = RED
    caller.start("the red square", keep=True)
    caller.wait(lambda: len(caller.feedback) > 2, "feedback")
    assert caller.call(SetBool, "enable", data=False).success
    assert not caller.call(ListTargets, "list_targets").enabled
    passed = []
    for _ in range(5):
        passed.append(caller._client.send(RED))
        caller._client.spin(0.1)
    answer = caller.call(Trigger, "reset")
    assert answer.success and "last command: 1" in answer.message
    assert caller.call(SetBool, "enable", data=True).success
    caller.wait(lambda: 0 in [item.age for item in caller.feedback[1:]], "feedback from age 0 on")
    assert caller.feedback[-1].command == 1
    answered = [mask.header for mask in caller._client.masks]
    assert answered and not [header for header in passed if header in answered]
    assert [item.id for item in caller.call(ListTargets, "list_targets").targets] == ["target"]


def test_without_a_model_everything_says_so_and_a_lost_model_ends_goals(standin):
    _, client = standin.start()
    caller = Caller(client)
    answer = caller.call(Trigger, "reset")
    assert not answer.success and "configure" in answer.message
    assert not caller.call(ListTargets, "list_targets").targets
    handle = caller.start("the red square")
    future = handle.get_result_async()
    client.wait(future.done, "result")
    assert "configure" in future.result().result.reason
    client.lifecycle.run("up")
    handle = caller.start("the red square")
    client.lifecycle.run("down")
    future = handle.get_result_async()
    client.wait(future.done, "result")
    assert future.result().result.outcome == TrackTarget.Result.CANCELLED
    assert "unloaded" in future.result().result.reason
    client.lifecycle.run("up")  # and it serves again
    handle = caller.start("the red square", timeout=0.3)
    future = handle.get_result_async()
    client.wait(future.done, "result")
    assert future.result().result.outcome == TrackTarget.Result.LOST
    caller.track.destroy()


def test_two_cameras_have_services_of_their_own_and_switches_for_all(standin):
    _, client = standin.start("--ros-args", "-p", "cameras:=['left', 'right']")
    client.lifecycle.run("up")
    caller = Caller(client)
    assert caller.call(SetBool, "left/enable", data=False).success
    assert not caller.call(ListTargets, "left/list_targets").enabled
    assert caller.call(ListTargets, "right/list_targets").enabled
    assert caller.call(SetBool, "enable", data=False).success
    assert not caller.call(ListTargets, "right/list_targets").enabled
    caller.track.destroy()


def frame(command: int, visible: bool) -> FrameResult:
    state = TargetState.TRACKING if visible else TargetState.LOST
    mask = np.full((4, 4), visible)
    return FrameResult(0, "stamp", (4, 4), (TargetResult(
        "cup", "it", command, state, 1.0, mask, Box(0, 0, 4, 4) if visible else None,
        int(mask.sum()), False, 0, np.zeros((1, 1), np.float32)),))


def test_the_rule_in_time():
    goal = TrackGoal("cup", 3, timeout=2.0, keep=True, now=10.0)
    assert goal.frame(frame(2, True), 10.1) is None  # answered before the command came
    assert goal.frame(frame(3, True), 11.9) is None and goal.last_seen is goal.last
    assert goal.frame(frame(3, False), 13.8) is None and goal.tick(13.8) is None
    assert goal.tick(13.9).outcome is Outcome.LOST
    assert goal.tick(5.0) is None and goal.tick(6.9) is None  # a clock that jumped back
    assert goal.tick(7.1).outcome is Outcome.LOST
    assert goal.frame(frame(4, True), 7.0).outcome is Outcome.CANCELLED
    endless = TrackGoal("cup", 3, timeout=0.0, keep=False, now=0.0)
    assert endless.tick(1e9) is None
    assert endless.frame(frame(3, True), 1.0).outcome is Outcome.FOUND


def test_of_a_storm_of_commands_none_is_lost(standin):
    """A queue of a hundred lost two thirds of three hundred, and nobody knew."""
    _, client = standin.start()
    client.lifecycle.run("up")
    commands = client.node.create_publisher(String, "command", 2000)
    client.wait(lambda: commands.get_subscription_count() > 0, "the node listens")
    for number in range(1500):
        commands.publish(String(data=f"add:toy{number % 7}: the toy, asked for {number} times"))
    client.wait(lambda: client.value("command") == "1500", "every command is accepted")
