"""One camera of the node: its images, its session and its outputs."""

import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNodeMixin
from rclpy.time import Time
from std_msgs.msg import Header

from samwise_ros.messages.depth_sync import StampLike, nanoseconds
from samwise_ros.ros.health.monitor import StreamMonitor, with_time
from samwise_ros.ros.inputs.camera_input import CameraInput, InputSettings
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.node.engine import Session
from samwise_ros.ros.node.faults import DeviceError, DeviceGuard
from samwise_ros.ros.outputs.output_settings import OutputSettings
from samwise_ros.ros.outputs.outputs import ResultPublisher
from samwise_ros.streaming.mailbox import Backlog, Mailbox
from samwise_ros.streaming.reset_policy import ResetPolicy, Scene
from samwise_ros.streaming.worker import Lane
from samwise_ros.structures import Command, FrameResult, SamwiseError

MonitorFactory = Callable[[], StreamMonitor]
Listener = Callable[[FrameResult], None]
# The picture uint8 [H, W, 3], its answer, the targets' label numbers, seconds from stamp to answer.
Viewer = Callable[[np.ndarray, FrameResult, Mapping[str, int], float], None]
Received = tuple[Any, Scene]  # an image message and what it belongs to



@dataclass(frozen=True)
class StreamSettings:
    """How one camera is served.

    Attributes:
        input: How images are subscribed to.
        outputs: What is published, and how.
        backlog: 0: only the newest image waits. Otherwise every image is answered, in order, and up
            to this many wait.
        reset_after_gap: See `ResetPolicy`.
    """

    input: InputSettings
    outputs: OutputSettings
    backlog: int = 0
    reset_after_gap: float = 0.0


class CameraStream:
    """Answers the images of one topic, each answer with the image's own header.

    `submit`, `reset`, `enabled` and the listeners may be used from any thread.

    Args:
        node: The lifecycle node that everything is created on. Its publishers are silent while it
            is not active.
        name: Of the camera; its topics are below it. Empty for the only camera.
        session: What is remembered for this camera; stepped in the worker's thread only.
        guard: Steps the session.
        settings: How.
        monitor: Makes a monitor for each `start`.

    Attributes:
        monitor: Counts and latencies since `start`.
        refusal: Why a command was not taken, and when; empty once a later one was.
        frame_id: Of the last image's header.
        viewer: Is shown every answer after it was published, in the thread that did so.
    """

    def __init__(self, node: LifecycleNodeMixin, name: str, session: Session, guard: DeviceGuard,
                 settings: StreamSettings, monitor: MonitorFactory = StreamMonitor) -> None:
        self.session = session
        self._new_monitor = monitor
        self.monitor = monitor()
        self.refusal = ""
        self.frame_id = ""
        self.viewer: Viewer | None = None
        self._enabled = True
        self._node = node
        self._log = LimitedLog(node)
        self._device_log = LimitedLog(node, seconds=60.0)
        self._name = name
        self._guard = guard
        self._settings = settings
        self._reset_wish = threading.Event()
        self._mailbox: Mailbox[Received] = Mailbox()
        self._resets = ResetPolicy(settings.reset_after_gap)
        self._listeners: list[Listener] = []
        self.input = CameraInput(node, f"{name}/image" if name else "image", settings.input,
                                 self._on_image)
        self.outputs = ResultPublisher(node, settings.outputs, f"~/{name}" if name else "~")

    @property
    def enabled(self) -> bool:
        """Whether images are answered; those that pass meanwhile leave targets and memory alone."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self._enabled = enabled
        self._resets.pause()

    @property
    def dropped(self) -> int:
        """Images that were not answered because newer ones came or too many waited."""
        return self._mailbox.dropped

    @property
    def waiting(self) -> int:
        """Images that wait for their turn."""
        return self._mailbox.waiting

    def start(self, changed: threading.Condition) -> Lane[Received]:
        """Forget old frames and subscribe.

        Args:
            changed: Notified when an image comes.

        Returns:
            What the worker has to serve.
        """
        self.monitor = self._new_monitor()
        self._resets = resets = ResetPolicy(self._settings.reset_after_gap)
        mailbox: Mailbox[Received] = (Backlog(self._settings.backlog, changed)
                                      if self._settings.backlog else Mailbox(changed))
        self._mailbox = mailbox
        self.outputs.start()
        self.input.start()
        # A frame of the last activation may still be in work: its answer is not for this one.
        return Lane(mailbox, self.session.reset,
                    lambda received: self._answer(received, resets, mailbox),
                    lambda error: self._failed(error, mailbox))

    def stop(self) -> None:
        """Unsubscribe. The worker must have been stopped."""
        self.input.stop()
        self.outputs.stop()

    def destroy(self) -> None:
        """Stop and remove the publishers."""
        self.stop()
        self.outputs.destroy()

    @property
    def command(self) -> int:
        """Number of the last accepted command; 0 before the first."""
        return self.session.command

    def submit(self, command: Command) -> int:
        """Hand a command to the session and return its number. Raises CommandError."""
        number = self.session.submit(command)
        self.refusal = ""
        return number

    def refused(self, reason: str) -> None:
        """Keep why a command was not taken until a later one is."""
        self.refusal = with_time(reason)

    def reset(self) -> None:
        """Forget what was seen before the next frame; what is looked for stays."""
        self._reset_wish.set()

    def add_listener(self, listener: Listener) -> None:
        """Have every answer handed over after it was published, in the thread that did so."""
        self._listeners.append(listener)

    def _on_image(self, message: Any) -> None:
        self.monitor.image_received()
        self.frame_id = message.header.frame_id
        if not self._enabled:
            self._resets.pause()
        scene = self._resets.received(_seconds(message.header.stamp))
        if not self._answering():
            return
        if not self._mailbox.put((message, scene)) and self._settings.backlog:
            self._log.error(
                f"{self.input.topic}: {self._settings.backlog} images wait, one more is dropped; "
                "play the recording more slowly or raise queue_size", "images that wait")

    def _answering(self) -> bool:
        return self._enabled and self._guard.ready

    def _answer(self, received: Received, resets: ResetPolicy, mailbox: Mailbox[Received]
                ) -> None:
        """Answer one image: decode, step, publish. Runs in the worker's thread."""
        if not self._answering():
            return
        self.monitor.frame_taken()
        message, scene = received
        header = message.header
        rgb = self.input.decode(message)
        self._reset_if_needed(resets.judge(rgb.shape[:2], scene))
        result = self._guard.step(self.session, rgb, header)
        for reason in result.refused:
            self.refused(reason)
            self._log.error(reason, "commands")
        if mailbox.closed:
            return
        self.outputs.publish(result, header, rgb, lambda: self._published(result, header, rgb))

    def _published(self, result: FrameResult, header: Header, rgb: np.ndarray) -> None:
        clock = self._node.get_clock()
        age = clock.now() - Time.from_msg(header.stamp, clock_type=clock.clock_type)
        self.monitor.frame_answered(age.nanoseconds * 1e-9)
        if (viewer := self.viewer) is not None:  # may be taken away meanwhile
            viewer(rgb, result, self.outputs.labels, age.nanoseconds * 1e-9)
        for listener in tuple(self._listeners):
            listener(result)

    def _reset_if_needed(self, reason: str) -> None:
        if self._reset_wish.is_set():  # one that comes while this one is cleared is done with it
            self._reset_wish.clear()
            reason = reason or "asked for"
        if not reason:
            return
        self.session.reset()
        self.outputs.reset()
        self.monitor.memory_reset(reason)
        self._log.warning(
            f"{self.input.topic}: memory reset: {reason}; targets are searched for anew", "reset")

    def _failed(self, error: Exception, mailbox: Mailbox[Received]) -> None:
        """Name the failure; the session is as it was before the frame."""
        if not self._node.context.ok():  # told to end, so the answer could not be published
            return
        if isinstance(error, DeviceError):  # diagnostics repeat it
            self._device_log.error(f"no more answers: {error}")
            return
        if isinstance(error, SamwiseError):
            reason = f"frame not answered: {error}"
        else:
            reason = f"frame not answered: {type(error).__name__}: {error}"
            self._node.get_logger().debug(traceback.format_exc())
        if not mailbox.closed:
            self.monitor.frame_failed(reason)
        self._log.error(reason, "frames")


def _seconds(stamp: StampLike) -> float:
    return nanoseconds(stamp) * 1e-9
