"""All cameras of the node on one model: one thread serves them in turns."""

import threading
import traceback
from collections.abc import Mapping

from rclpy.lifecycle import LifecycleNodeMixin

from samwise_ros.ros.inputs.camera_input import InputSettings
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.node.camera_stream import CameraStream, MonitorFactory, StreamSettings
from samwise_ros.ros.node.engine import Engine, Session
from samwise_ros.ros.node.faults import DeviceGuard
from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.streaming.worker import FrameWorker, ModelThread

STOP_TIMEOUT = 10.0  # seconds for the frame in work
END_TIMEOUT = 1.0  # the same when the process is to end


class CameraGroup:
    """The streams of all cameras, whose sessions one thread steps.

    One thread, because one model answers one frame at a time: more would only take memory and make
    every camera wait for every other.

    Args:
        node: Everything is created on it.
        engine: Whose memory is freed when it is full.
        sessions: Of each camera by name; one empty name stands for a single camera on `image`.
        settings: How each is served.
        thread: Where the sessions are stepped.
        monitor: Makes the monitors of the streams.

    Attributes:
        guard: Says what is wrong with the model's device.
    """

    def __init__(self, node: LifecycleNodeMixin, engine: Engine, sessions: Mapping[str, Session],
                 settings: StreamSettings, thread: ModelThread, monitor: MonitorFactory) -> None:
        self._node = node
        self._thread = thread
        self._worker: FrameWorker | None = None
        self._streams: dict[str, CameraStream] = {}
        self.guard = DeviceGuard(engine, LimitedLog(node).warning)
        try:
            for name, session in sessions.items():
                self._streams[name] = CameraStream(
                    node, name, session, self.guard, settings, monitor)
        except BaseException:
            self.destroy()
            raise

    @property
    def streams(self) -> Mapping[str, CameraStream]:
        """By camera name."""
        return self._streams

    def start(self) -> None:
        """Subscribe and answer."""
        changed = threading.Condition()
        lanes = [stream.start(changed) for stream in self._streams.values()]
        self._worker = FrameWorker(lanes, changed, self._thread, self._crashed)
        self._worker.start()

    def stop(self) -> None:
        """Unsubscribe and wait for the frame in work."""
        for stream in self._streams.values():
            stream.input.stop()
        patience = STOP_TIMEOUT if self._node.context.ok() else END_TIMEOUT
        if self._worker is not None and not self._worker.stop(patience):
            self._node.get_logger().warning(
                f"a frame is still in work after {patience:.0f} s; its answer is dropped")
        self._worker = None
        for stream in self._streams.values():
            stream.stop()

    def _crashed(self, error: BaseException) -> None:
        """Name what ended the worker; in the model's thread."""
        if not self._node.context.ok():  # told to end, so even the log may be gone
            return
        self.guard.give_up(f"{type(error).__name__}: {error}")
        self._node.get_logger().error(f"no more answers: {self.guard.fault}")
        self._node.get_logger().error("".join(traceback.format_exception(error)))

    def destroy(self) -> None:
        """Stop and remove the publishers."""
        self.stop()
        for stream in self._streams.values():
            stream.destroy()
        self._streams = {}


def stream_settings(parameters: NodeParameters) -> StreamSettings:
    """What the parameters say about every camera."""
    return StreamSettings(
        input=InputSettings(parameters.image_transport, parameters.image_qos,
                            keep_all=parameters.process_all),
        outputs=parameters.outputs,
        backlog=parameters.queue_size if parameters.process_all else 0,
        reset_after_gap=parameters.reset_after_gap)
