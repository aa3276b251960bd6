"""The lifecycle node: camera images and a text command in, masks and boxes out.

configure loads and warms up the model, activate subscribes to the camera, deactivate unsubscribes,
cleanup frees the model. Whoever starts the node asks for the transitions (launch/, or
`samwise_lifecycle`). Commands are accepted in every state.
"""

import gc
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from std_msgs.msg import String

from samwise_ros.allocator import keep_freed_memory
from samwise_ros.ros.camera_stream import CameraStream
from samwise_ros.ros.conversions import Status, missing_messages
from samwise_ros.ros.diagnostics import NodeHealth, health_to_diagnostics, health_to_status
from samwise_ros.ros.engine import Engine, ModelEngine
from samwise_ros.ros.monitor import StreamMonitor
from samwise_ros.ros.parameter_server import declare_parameters, read_parameters
from samwise_ros.ros.parameters import NodeParameters
from samwise_ros.structures import SamwiseError

EngineFactory = Callable[[NodeParameters], Engine]

_COMMAND_QOS = QoSProfile(depth=100)
_LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
_STATUS_PERIOD = 1.0  # seconds
_KEPT_COMMANDS = 100  # that came before the node was configured
_IDLE_LOG_PERIOD = 10.0  # seconds


class SamwiseNode(LifecycleNodeMixin, Node):
    """Segments what a text command names, on the newest image of one camera.

    Args:
        engine_factory: Makes the model from the parameters; called on configure.
        name: Node name; topics with `~` are below it.
    """

    def __init__(self, engine_factory: EngineFactory = ModelEngine, name: str = "samwise") -> None:
        Node.__init__(self, name)
        # Own group: loading a model in on_configure must not block parameters and commands, which
        # rclpy's LifecycleNode would do.
        LifecycleNodeMixin.__init__(self, callback_group=MutuallyExclusiveCallbackGroup())
        self._engine_factory = engine_factory
        self._engine: Engine | None = None
        self._stream: CameraStream | None = None
        self._active = False
        self._early_commands: deque[str] = deque(maxlen=_KEPT_COMMANDS)
        self._command_lock = threading.Lock()  # keeps commands in order across configure
        declare_parameters(self, configured=lambda: self._engine is not None)
        self.create_subscription(String, "command", self._on_command, _COMMAND_QOS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._status = None
        if Status is not None:
            self._status = self.create_publisher(Status, "~/status", _LATCHED_QOS)
        self.create_timer(_STATUS_PERIOD, self.publish_health)
        for missing in missing_messages():
            self.get_logger().warning(f"not published here: {missing}")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the model, create publishers, carry out kept commands."""
        try:
            parameters = read_parameters(self)
            self.get_logger().info(f"loading model {parameters.model!r}")
            self._engine = self._engine_factory(parameters)
            stream = CameraStream(self, self._engine.new_session(), parameters.image_qos)
        except Exception as error:  # noqa: BLE001  rclpy would swallow it without a word
            self._log_failure("configure", error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        with self._command_lock:
            if parameters.expression:
                stream.submit(parameters.expression)
            while self._early_commands:
                stream.submit(self._early_commands.popleft())
            self._stream = stream
        self.get_logger().info(f"configured: {self._engine.description}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and answer."""
        result = super().on_activate(state)  # publishers first: the first answer must get out
        if result == TransitionCallbackReturn.SUCCESS:
            self._stream.start()
            self._active = True
            self.get_logger().info(f"answering images on {self.resolve_topic_name('image')}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; model, targets and commands stay."""
        self._active = False
        self._stream.stop()
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

    def close(self) -> None:
        """Stop the worker and destroy the node."""
        self._release()
        self.destroy_node()

    def publish_health(self) -> None:
        """Send status and diagnostics; called once a second."""
        health = self._health()
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(health_to_diagnostics(health, stamp))
        if self._status is not None:
            self._status.publish(health_to_status(health, stamp))
        if health.idle:
            self.get_logger().warning(f"{health.message}; {self._describe_publishers()}",
                                      throttle_duration_sec=_IDLE_LOG_PERIOD)

    def _on_command(self, message: String) -> None:
        with self._command_lock:
            if self._stream is None:
                self._early_commands.append(message.data)
            else:
                self._stream.submit(message.data)

    def _release(self) -> None:
        """Stop the stream and free the model; harmless when there is none."""
        self._active = False
        with self._command_lock:
            stream, self._stream = self._stream, None
        engine, self._engine = self._engine, None
        if stream is not None:
            stream.destroy()
        if engine is not None:
            engine.close()

    def _health(self) -> NodeHealth:
        stream, engine = self._stream, self._engine
        return NodeHealth(
            name=self.get_fully_qualified_name(),
            model=engine.description if engine is not None else "",
            active=self._active,
            topic=self.resolve_topic_name("image"),
            command=stream.command if stream is not None else 0,
            targets=tuple(t[0] for t in stream.session.targets) if stream is not None else (),
            dropped=stream.dropped if stream is not None else 0,
            idle_after=self.get_parameter("image_timeout").value,
            stream=(stream.monitor if stream is not None else StreamMonitor()).report())

    def _describe_publishers(self) -> str:
        """Who offers the image topic and how: the usual cause of silence is a mismatch there."""
        found = self.get_publishers_info_by_topic(self.resolve_topic_name("image"))
        if not found:
            return "nobody publishes it; check the name and the remapping"
        offers = ", ".join(f"{info.node_name} ({info.topic_type}, "
                           f"{info.qos_profile.reliability.name.lower()})" for info in found)
        return (f"offered by {offers}, asked for as {self.get_parameter('image_qos').value}; large "
                "best-effort images need config/fastdds.xml on the camera's side")

    def _log_failure(self, what: str, error: Exception) -> None:
        if isinstance(error, (SamwiseError, ValueError)):
            self.get_logger().error(f"{what}: {error}")
        else:
            self.get_logger().error(f"{what}: {type(error).__name__}: {error}")
            self.get_logger().error(traceback.format_exc())


def run(node: SamwiseNode) -> None:
    """Spin until shut down. Two threads: one may be busy with a transition."""
    executor = MultiThreadedExecutor(num_threads=2)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        executor.shutdown()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `ros2 run samwise_ros samwise_node`."""
    keep_freed_memory()
    rclpy.init(args=arguments)
    try:
        run(SamwiseNode())
    finally:
        rclpy.try_shutdown()
    # torch leaves millions of objects, whose last collection takes longer than the five seconds
    # that launch waits after Ctrl-C. The process ends anyway.
    gc.freeze()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
