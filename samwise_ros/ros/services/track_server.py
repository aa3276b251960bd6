"""The action track_target of one camera.

A goal is a command (`add:ID: SENTENCE`) whose answers come back to the one who gave it. It takes no
thread: rclpy keeps it accepted until the verdict, and executes it then. See `track_goal` for the
rule. A target that was FOUND stays, for others to use; one that is LOST, or whose goal the client
cancelled, is dropped.
"""

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import RCLError, ServerGoalHandle
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from samwise_ros.action import TrackTarget
from samwise_ros.messages.prompt_messages import prompt_of
from samwise_ros.messages.result_messages import STATE_NUMBERS
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.ros.outputs.conversions import box_to_msg
from samwise_ros.ros.services.track_goal import Outcome, TrackGoal, Verdict
from samwise_ros.streaming.commands import (
    DEFAULT_ID,
    add_command,
    remove_command,
    shown_command,
)
from samwise_ros.structures import Command, CommandError, FrameResult

_REFUSED = 0  # command number of a goal that became no command


@dataclass(frozen=True)
class _Running:
    """A goal on its way."""

    handle: ServerGoalHandle
    stream: CameraStream
    goal: TrackGoal


@dataclass(frozen=True)
class _Ended:
    """A goal whose result rclpy will ask for; `goal` is None for a refused one."""

    verdict: Verdict
    goal: TrackGoal | None


class TrackServer:
    """Serves goals; `frame` and `tick` bring them to their ends. All calls from any thread.

    Args:
        node: That the server is created on.
        name: Of the action.
        stream: The camera's stream at present; None while no model is loaded.
        group: Callback group of the server.
    """

    def __init__(self, node: Node, name: str, stream: Callable[[], CameraStream | None],
                 group: CallbackGroup) -> None:
        self._node = node
        self._log = LimitedLog(node)
        self._stream = stream
        self._lock = threading.Lock()
        self._running: dict[bytes, _Running] = {}
        self._ending: dict[bytes, _Ended] = {}
        # Whose numbers these are. Weak: a stream that is gone would keep its model in memory.
        self._heard: Callable[[], CameraStream | None] = lambda: None
        self._settled = 0  # commands up to this number have been carried out
        self._accepted = 0  # the newest command at the end of the last frame
        self._server = ActionServer(
            node, TrackTarget, name, self._finish, callback_group=group,
            handle_accepted_callback=self._begin, cancel_callback=lambda _: CancelResponse.ACCEPT)

    def destroy(self) -> None:
        """Remove the server; goals under way get no result."""
        with self._lock:
            self._running.clear()
        self._server.destroy()

    def frame(self, stream: CameraStream, result: FrameResult) -> None:
        """Take in an answered frame."""
        with self._lock:
            if stream is not self._heard():
                self._heard, self._accepted = weakref.ref(stream), 0
            self._settled, self._accepted = self._accepted, stream.command
            for running in list(self._running.values()):
                if running.stream is not stream:
                    continue
                goal, before = running.goal, running.goal.last
                verdict = goal.frame(result, self._now())
                if goal.last is not None and goal.last is not before:
                    running.handle.publish_feedback(TrackTarget.Feedback(
                        header=result.stamp, command=goal.command, age=goal.last.age,
                        state=STATE_NUMBERS[goal.last.state], score=goal.last.score))
                self._end(running, verdict)

    def tick(self) -> None:
        """Judge what needs no frame: cancels, time, a model that is gone."""
        with self._lock:
            stream = self._stream()
            for running in list(self._running.values()):
                verdict: Verdict | None
                if running.handle.is_cancel_requested:
                    verdict = Verdict(Outcome.CANCELLED, "cancelled by the client", release=True)
                elif running.stream is not stream:
                    verdict = Verdict(Outcome.CANCELLED, "the node's model was unloaded")
                else:
                    verdict = running.goal.tick(self._now())
                self._end(running, verdict)

    def _begin(self, handle: ServerGoalHandle) -> None:
        """Turn an accepted goal into a command, or end it with the reason why not."""
        request = handle.request
        with self._lock:
            stream = self._stream()
            try:
                if stream is None:
                    raise CommandError("no model is loaded: configure the node first")
                command = self._command(request)
                number, target_id = stream.submit(command), str(command.target_id)
            except Exception as error:  # noqa: BLE001  the goal would hang for ever
                self._refuse(handle, stream, error)
                return
            running = _Running(handle, stream, TrackGoal(
                target_id, number, request.timeout, request.keep, self._now(), command.prompt))
            self._running[_key(handle)] = running
            self._node.get_logger().info(f"command {number}: track {request.expression[:200]!r} "
                                         f"as {target_id!r}")
            for other in list(self._running.values()):
                if other is not running and other.goal.target_id == target_id:
                    self._end(other, Verdict(
                        Outcome.CANCELLED,
                        f"command {number} is about {target_id!r}, too, and newer"))

    def _refuse(self, handle: ServerGoalHandle, stream: CameraStream | None, error: Exception
                ) -> None:
        """End a goal that became no command, and say why."""
        kind = "" if isinstance(error, CommandError) else f"{type(error).__name__}: "
        reason = f"refused: {kind}{error}"
        if stream is not None:
            stream.refused(f"track_target {reason}")
        self._log.error(f"track_target {reason}")
        self._execute(handle, _Ended(Verdict(Outcome.CANCELLED, reason), None))

    def _end(self, running: _Running, verdict: Verdict | None) -> None:
        """End a goal. Nothing happens without a verdict."""
        if verdict is None:
            return
        del self._running[_key(running.handle)]
        if verdict.release:
            self._release(running)
        self._execute(running.handle, _Ended(verdict, running.goal))

    def _execute(self, handle: ServerGoalHandle, ended: _Ended) -> None:
        """Have rclpy ask for the result."""
        self._ending[_key(handle)] = ended
        try:
            handle.execute()
        except RCLError:  # a cancel came between the two steps of `execute`
            handle.execute()

    def _release(self, running: _Running) -> None:
        """Drop the target, unless a command that is still to be carried out might be about it."""
        stream, goal = running.stream, running.goal
        ours = (goal.target_id, goal.command) in {(t[0], t[2]) for t in stream.session.targets}
        if stream.command == goal.command or (ours and stream.command == self._settled):
            try:
                stream.submit(remove_command(goal.target_id))
            except CommandError as error:  # gone already
                self._node.get_logger().debug(str(error))

    def _finish(self, handle: ServerGoalHandle) -> TrackTarget.Result:
        """Set the goal's last state and return its result; called by rclpy after `execute`."""
        with self._lock:
            ended = self._ending.pop(_key(handle))
        verdict, goal = ended.verdict, ended.goal
        if verdict.outcome is Outcome.FOUND:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        result = TrackTarget.Result(outcome=int(verdict.outcome), reason=verdict.reason,
                                    command=goal.command if goal else _REFUSED)
        if goal and goal.last is not None:
            result.score = goal.last.score
        if goal and goal.last_seen is not None:
            result.box, result.header = box_to_msg(goal.last_seen.box), goal.seen_stamp
        return result

    def _command(self, request: TrackTarget.Goal) -> Command:
        """What a goal asks for. Raises CommandError."""
        if not 0 <= request.timeout < float("inf"):
            raise CommandError(f"timeout: expected >= 0 seconds, got {request.timeout}")
        words, name = self._node.get_parameter("release_words").value, request.id or DEFAULT_ID
        prompt = prompt_of(request.prompt)
        if prompt is None:
            return add_command(name, request.expression, words)
        return shown_command(name, request.expression, prompt, words)

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9


def _key(handle: ServerGoalHandle) -> bytes:
    return bytes(handle.goal_id.uuid)
