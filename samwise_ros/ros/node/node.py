"""The lifecycle node: camera images and a text command in, masks and boxes out.

configure loads and warms up the model, activate subscribes to the cameras, deactivate unsubscribes,
cleanup frees the model. Whoever starts the node asks for the transitions (launch/, or
`samwise_lifecycle`). Commands are accepted in every state.
"""

import gc
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import TypeVar

import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from samwise_ros.allocator import keep_freed_memory
from samwise_ros.ros.health.diagnostics import NodeHealth
from samwise_ros.ros.health.health import HealthReporter
from samwise_ros.ros.health.monitor import StreamMonitor
from samwise_ros.ros.inputs.command_input import CommandInput
from samwise_ros.ros.inputs.prompt_input import PromptInput
from samwise_ros.ros.node.camera_group import (
    END_TIMEOUT,
    STOP_TIMEOUT,
    CameraGroup,
    stream_settings,
)
from samwise_ros.ros.node.camera_stream import CameraStream, MonitorFactory
from samwise_ros.ros.node.engine import Engine, ModelEngine
from samwise_ros.ros.node.executor import PatientExecutor
from samwise_ros.ros.node.library_notes import LibraryNotes
from samwise_ros.ros.node.node_page import NodePage, check_page
from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.ros.node.shutdown import leave_at_once, ros_process, until_shutdown
from samwise_ros.ros.outputs.conversions import missing_messages
from samwise_ros.ros.parameters.server import declare_parameters, read_parameters
from samwise_ros.ros.services.command_server import CommandServer
from samwise_ros.streaming.worker import ModelThread
from samwise_ros.structures import SamwiseError

T = TypeVar("T")
EngineFactory = Callable[[NodeParameters], Engine]

_LOOK = 0.1  # seconds between two looks whether to go on waiting for the model


class SamwiseNode(LifecycleNodeMixin, Node):
    """Segments what a text command names, on the images of one or several cameras.

    Args:
        engine_factory: Makes the model from the parameters; called on configure.
        name: Node name; topics with `~` are below it.
        monitor: Makes what counts and times the frames of a camera.
    """

    def __init__(self, engine_factory: EngineFactory = ModelEngine, name: str = "samwise",
                 monitor: MonitorFactory = StreamMonitor) -> None:
        Node.__init__(self, name)
        # Own group: loading a model in on_configure must not block parameters and commands, which
        # rclpy's LifecycleNode would do.
        LifecycleNodeMixin.__init__(self, callback_group=MutuallyExclusiveCallbackGroup())
        self._engine_factory = engine_factory
        self._new_monitor = monitor
        self._thread = ModelThread()
        self._engine: Engine | None = None
        self._group: CameraGroup | None = None
        self._page: NodePage | None = None
        self._active = False
        self._configured = False  # from the moment that parameters are read
        self._failure = ""  # why the node could not be configured
        parameters = declare_parameters(self, NodeParameters, self._parameters_changed,
                                        fixed=lambda: self._configured)
        self._commands = CommandInput(self)
        self._prompts = PromptInput(self, self._commands, lambda: self.streams)
        self._server = CommandServer(self, lambda: self.streams)
        self._listen(parameters.cameras)
        self._health = HealthReporter(self, lambda: (self._engine, self._group, self._active),
                                      lambda: self._failure, lambda: self._commands.refusal,
                                      self._tell_page)
        self._notes = LibraryNotes(self)
        for missing in missing_messages():
            self.get_logger().warning(f"not published here: {missing}")

    @property
    def streams(self) -> Mapping[str, CameraStream]:
        """The cameras by name (empty for a single one); none while there is no model."""
        group = self._group
        return {} if group is None else group.streams

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the model, create publishers, carry out kept commands."""
        self._configured, self._failure = True, ""
        try:
            parameters = read_parameters(self, NodeParameters)
            self._listen(parameters.cameras)
            if parameters.page:
                check_page(parameters.page, parameters.page_address)
            self.get_logger().info(f"loading model {parameters.model!r}")
            self._engine = engine = self._result(self._thread.submit(
                lambda: self._engine_factory(parameters)))
            sessions = self._result(self._thread.submit(
                lambda: {name: engine.new_session() for name in parameters.cameras}))
            self._group = CameraGroup(self, engine, sessions, stream_settings(parameters),
                                      self._thread, self._new_monitor)
            # Live ones may have changed while the model was loaded.
            self._parameters_changed(read_parameters(self, NodeParameters))
            self._server.attach()
            self._commands.attach(self.streams, parameters.expression)
            if parameters.page:
                self._page = NodePage(self, self.streams, self._commands, parameters.page,
                                      parameters.page_address)
        except Exception as error:  # noqa: BLE001  rclpy would swallow it without a word
            self._failure = self._log_failure("configure", error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        if parameters.process_all and parameters.image_qos != "reliable":
            self.get_logger().warning("process_all with best-effort images: some may be lost "
                                      "before they arrive; see image_qos")
        self.get_logger().info(f"configured: {self._engine.description}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and answer."""
        assert self._group is not None  # the node is configured
        if self._group.guard.final:
            self.get_logger().error(f"activate: {self._group.guard.fault}")
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)  # publishers first: the first answer must get out
        if result == TransitionCallbackReturn.SUCCESS:
            self._group.start()
            self._active = True
            topics = ", ".join(stream.input.topic for stream in self.streams.values())
            self.get_logger().info(f"answering images on {topics}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; model, targets and commands stay."""
        assert self._group is not None and self._engine is not None  # the node was active
        self._active = False
        self._group.stop()
        self._attempt("deactivate", self._engine.free_memory)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model, from whatever state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, from where the node can be configured again."""
        self._release()
        return super().on_error(state)

    def close(self) -> bool:
        """Stop the worker and destroy the node.

        Returns False when the model's thread is still at work: what it does can't be interrupted.
        """
        self._release()
        ended = self._thread.close(END_TIMEOUT)
        self._server.destroy()
        self._prompts.close()
        self._notes.detach()
        self.destroy_node()
        return ended

    def _tell_page(self, health: NodeHealth) -> None:
        page = self._page
        if page is not None:
            page.tell(health)

    def _result(self, future: Future[T]) -> T:
        """What the model's thread made. Raises InterruptedError when the process is to end."""
        while not wait([future], _LOOK).done:
            if not self.context.ok():
                raise InterruptedError("told to end while the model was at work")
        return future.result()

    def _listen(self, cameras: tuple[str, ...]) -> None:
        """Take commands for these cameras."""
        self._commands.listen(cameras)
        self._prompts.listen(cameras)
        self._server.listen(cameras)

    def _parameters_changed(self, parameters: NodeParameters) -> None:
        """Pass live parameters on; the others can't have changed while there are streams."""
        for stream in self.streams.values():
            stream.session.tracking = parameters.tracking
            stream.outputs.threshold = parameters.enter_score
            stream.outputs.set_overlay_rate(parameters.overlay_rate)

    def _release(self) -> None:
        """Stop the streams and free the model; harmless when there are none."""
        self._active = self._configured = False
        self._commands.detach()
        page, self._page = self._page, None
        if page is not None:
            page.close()
        group, self._group = self._group, None
        engine, self._engine = self._engine, None
        if group is not None:
            group.destroy()
        if engine is not None:
            self._attempt("cleanup", engine.close)

    def _attempt(self, what: str, give_back: Callable[[], None]) -> None:
        """Give memory back as far as possible: a lost GPU can't, and the transition goes on.

        In the model's thread, so after a frame that is still in work.
        """
        future = self._thread.submit(give_back)
        if not wait([future], STOP_TIMEOUT if self.context.ok() else END_TIMEOUT).done:
            self.get_logger().warning(f"{what}: memory is given back after the frame in work")
        elif error := future.exception():
            self._log_failure(what, error)

    def _log_failure(self, what: str, error: BaseException) -> str:
        """Log an error, and return what is said of it."""
        known = isinstance(error, (SamwiseError, ValueError, InterruptedError))
        said = f"{what}: {error}" if known else f"{what}: {type(error).__name__}: {error}"
        self.get_logger().error(said)
        if not known:
            self.get_logger().error(traceback.format_exc())
        return said


def run(node: SamwiseNode) -> bool:
    """Spin until shut down. Two threads: one may be busy with a transition.

    Returns False when the model's thread is still at work.
    """
    executor = PatientExecutor(num_threads=2)
    executor.add_node(node)
    try:
        with until_shutdown():
            while rclpy.ok():
                try:
                    executor.spin()
                except InvalidHandle:
                    # One thread has removed a subscription (deactivate) while the other was
                    # gathering what to wait for; rclpy does not expect that of a subscription's
                    # events.
                    continue
    finally:
        executor.shutdown()  # a transition under way sees that the process is to end
        ended = node.close()
    return ended


def main(arguments: Sequence[str] | None = None,
         engine_factory: EngineFactory = ModelEngine) -> int:
    """Entry point of `ros2 run samwise_ros samwise_node`."""
    keep_freed_memory()
    with ros_process("samwise", arguments):
        ended = run(SamwiseNode(engine_factory))
    if not ended:
        leave_at_once()
    # torch leaves millions of objects, whose last collection takes longer than the five seconds
    # that launch waits after Ctrl-C. The process ends anyway.
    gc.freeze()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
