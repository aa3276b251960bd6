"""Helpers of the ROS tests: processes in a domain of their own, and a client node to talk to them.

Every wait has a timeout and names what it waited for.
"""

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from samwise_ros.demos.dds_domain import ReservedDomain
from samwise_ros.ros.outputs.conversions import TargetArray, rgb_to_msg
from samwise_ros.ros.services.lifecycle_client import LifecycleClient

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # don't meet real robots
_domains: dict[int, ReservedDomain] = {}
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PROFILE_VARIABLE = ("FASTRTPS" if os.environ.get("ROS_DISTRO") == "humble" else "FASTDDS"
                     ) + "_DEFAULT_PROFILES_FILE"
_PATIENCE = 20.0  # seconds for a process to end by itself
TIMEOUT = 60.0  # a busy machine is slow, a broken node is not worth a quick answer


def new_domain() -> int:
    """A ROS domain that no other test of this machine uses, until it is left or this process
    ends."""
    domain = ReservedDomain()
    _domains[domain.number] = domain
    return domain.number


def leave_domain(domain: int) -> None:
    """Let others use a domain of `new_domain` in which nothing runs any more."""
    _domains.pop(domain).close()


def touched_memory(size: int) -> mmap.mmap:
    """Private memory of `size` bytes, all of it resident.

    Mapped rather than allocated: malloc hands out what this process has freed before, which is
    resident already.
    """
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, size, mmap.PAGESIZE):
        block[start] = 1
    return block


def _die_with_parent() -> None:
    """Have the kernel kill this child when the test run is killed, and let it be interrupted.

    The fixtures of a killed run can't end it. Runs between fork and exec, where only two system
    calls are made: safe beside threads.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _LIBC.signal(signal.SIGINT, 0)  # SIG_DFL: a test run in the background has it ignored


def _python_path() -> str:
    """The checkout and its tests, then what is there already: ROS from apt comes that way."""
    return os.pathsep.join(filter(None,
                                  [str(ROOT), str(ROOT / "test" / "helpers"),
                                   os.environ.get("PYTHONPATH")]))


class RosProcess:
    """A Python process in one ROS domain, killed with its children at the end."""

    def __init__(self, arguments: list[str], domain: int, log: Path, **environment: str) -> None:
        self.log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509
                env=os.environ | {
                    "ROS_DOMAIN_ID": str(domain), "OMP_NUM_THREADS": "1",
                    "ROS_LOG_DIR": str(log.parent),
                    _PROFILE_VARIABLE: str(ROOT / "config" / "fastdds.xml"),
                    "PYTHONPATH": _python_path()} | environment)

    @property
    def text(self) -> str:
        """Everything it has printed so far."""
        return self.log.read_text()

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, number: int) -> None:
        """Send a signal to this process alone, not to its children."""
        self._process.send_signal(number)

    def interrupt(self, timeout: float = TIMEOUT) -> int:
        """Send Ctrl-C and return the exit status."""
        self.send(signal.SIGINT)
        return self.wait(timeout)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait for the end and return the exit status."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.text}") from None

    def kill(self) -> None:
        """End the whole process group.

        Asked first: one that is killed leaves its shared memory of some 35 MB behind.
        """
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # one that is stopped hears nothing else
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        self.crash()

    def crash(self) -> None:
        """End the whole process group at once, without a chance to say so to others."""
        self._signal(signal.SIGKILL)
        self._process.wait(TIMEOUT)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


def _messages(values: dict[str, object]) -> list[ParameterMessage]:
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]


class Client:
    """A camera and a listener in the test's own process."""

    def __init__(self, domain: int, name: str = "/samwise") -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = Node("test_client", context=self._context)
        self.executor = SingleThreadedExecutor(context=self._context)
        self.executor.add_node(self.node)
        self.lifecycle = LifecycleClient(self.node, name, executor=self.executor)
        self.camera = self.node.create_publisher(Image, "image", 5)
        self._command = self.node.create_publisher(String, "command", 10)
        self.masks: list[Image] = []
        self.targets: list[object] = []
        self.sent = 0  # images
        self.health: dict[str, DiagnosticStatus] = {}
        self._name = name
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._mask_topic = f"{name}/mask"
        self.node.create_subscription(Image, self._mask_topic, self.masks.append, 50)
        if TargetArray is not None:
            self.node.create_subscription(TargetArray, f"{name}/targets", self.targets.append, 50)

    def close(self) -> None:
        """Leave the domain; once is enough."""
        if not self._context.ok():
            return
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
        """Spin until the condition holds; AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def spin(self, seconds: float) -> None:
        """Spin for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def command(self, text: str) -> None:
        """Publish a command once the node listens."""
        self.wait(lambda: self._command.get_subscription_count() > 0, "node listens to commands")
        self._command.publish(String(data=text))

    def commands_arrived(self) -> None:
        """Wait until the node's middleware has all commands; its callback may still be due."""
        assert self._command.wait_for_all_acked(Duration(seconds=TIMEOUT)), "commands do not arrive"

    def set_parameters(self, **values: object) -> list[SetParametersResult]:
        """Ask the node for other parameters, one by one; what it says to each."""
        return self._call(SetParameters, "set_parameters",
                          SetParameters.Request(parameters=_messages(values))).results

    def set_parameters_together(self, **values: object) -> SetParametersResult:
        """Ask the node for other parameters, all or none."""
        return self._call(SetParametersAtomically, "set_parameters_atomically",
                          SetParametersAtomically.Request(parameters=_messages(values))).result

    def parameter(self, name: str) -> object:
        """A parameter of the node."""
        return parameter_value_to_python(self._call(
            GetParameters, "get_parameters", GetParameters.Request(names=[name])).values[0])

    def value(self, key: str, name: str = "segmentation") -> str:
        """A value of the node's last diagnostics; empty before there are any."""
        return next((item.value for item in self.diagnosis(name).values if item.key == key), "")

    def diagnosis(self, name: str = "segmentation") -> DiagnosticStatus:
        """The node's last diagnostics; an empty one, level OK, before there are any."""
        return self.health.get(f"{self._name}: {name}", DiagnosticStatus())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.health.update({status.name: status for status in message.status})

    def _call(self, kind: type, name: str, request: object) -> object:
        client = self.node.create_client(kind, f"{self._name}/{name}")
        try:
            assert client.wait_for_service(TIMEOUT), f"no service {name} within {TIMEOUT} s"
            future = client.call_async(request)
            self.wait(future.done, f"{name} answers")
            return future.result()
        finally:
            self.node.destroy_client(client)

    def send(self, rgb: np.ndarray, frame_id: str = "camera") -> Header:
        """Publish an image stamped now, and return its header."""
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id=frame_id)
        self.camera.publish(rgb_to_msg(rgb, header))
        self.sent += 1
        return header

    def wait_for_camera_match(self) -> None:
        """Wait until the node listens to the camera and its results are listened to."""
        self.wait(lambda: self.camera.get_subscription_count() > 0, "node listens to the camera")
        self.wait(lambda: self.node.count_publishers(self._mask_topic) > 0, "node offers masks")

    def ask(self, rgb: np.ndarray, frame_id: str = "camera") -> Image:
        """Send images until one of them is answered; returns its mask, `targets[-1]` belongs to it.

        More than once, because discovery may still be under way for best-effort subscribers; those
        that are still in work are answered later, so tell answers by their headers.
        """
        self.wait_for_camera_match()
        sent: list[Header] = []

        def answered() -> bool:
            return bool(newest) and newest[-1].header in sent and bool(self._mask_of(newest[-1]))

        newest = self.masks if TargetArray is None else self.targets
        self.send_until(answered, rgb, "an answer", frame_id, sent)
        return self._mask_of(newest[-1])[0]

    def _mask_of(self, answer: object) -> list[Image]:
        """The mask with the header of another result, if it has come."""
        return [mask for mask in self.masks[-50:] if mask.header == answer.header]

    def send_until(self, condition: Callable[[], bool], rgb: np.ndarray, what: str,
                   frame_id: str = "camera", sent: list[Header] | None = None) -> None:
        """Send an image five times a second until `condition`; `what` names it in the failure.

        The headers of the images are appended to `sent`.
        """
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {TIMEOUT} s"
            header = self.send(rgb, frame_id)
            if sent is not None:
                sent.append(header)
            self.spin_until(condition, 0.2)

    def spin_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Spin for a while, or less when the condition holds before."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def settle(self, rgb: np.ndarray, frame_id: str = "camera") -> None:
        """Wait until everything sent so far is answered or dropped, then forget the answers.

        For cameras and nodes that lose nothing: `image_qos` reliable.
        """
        self.wait_for_camera_match()
        last = self.send(rgb, frame_id)
        for received in ([self.masks] if TargetArray is None else [self.masks, self.targets]):
            self.wait(lambda results=received: bool(results) and results[-1].header == last,
                      "the last image is answered")
            received.clear()


class StandIn:
    """Nodes around the stand-in for the model, and clients, in one domain of their own.

    Args:
        folder: For logs.
    """

    def __init__(self, folder: Path) -> None:
        self.domain = new_domain()
        self._folder = folder
        self._opened: list[Callable[[], None]] = []

    def start(self, *arguments: str, **environment: str) -> tuple[RosProcess, Client]:
        """A node process with a client."""
        process = self.run(["test/helpers/ros_standin_node.py", *arguments], "node", **environment)
        return process, self.client()

    def client(self) -> Client:
        """Another client."""
        client = Client(self.domain)
        self._opened.append(client.close)
        return client

    def run(self, arguments: list[str], name: str, **environment: str) -> RosProcess:
        """Any other Python process in the same domain."""
        process = RosProcess(arguments, self.domain, self._folder / f"{name}.log", **environment)
        self._opened.append(process.kill)
        return process

    def close(self) -> None:
        """End everything."""
        while self._opened:
            self._opened.pop()()

    def leave(self) -> None:
        """End everything, for good: the domain is free for others."""
        self.close()
        leave_domain(self.domain)


def frame_with_square(height: int = 240, width: int = 321) -> np.ndarray:
    """uint8 RGB: black, with a red rectangle at rows 30..89 and columns 50..199."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[30:90, 50:200, 0] = 255
    return frame


def mask_array(message: Image) -> np.ndarray:
    """uint8 [H, W] of a mask message."""
    assert message.encoding == "mono8" and message.step == message.width
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
