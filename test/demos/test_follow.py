"""The follower over DDS, and the whole loop in the simulator."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from geometry_msgs.msg import Point, Pose, PoseStamped, Twist, TwistStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import QoSProfile
from ros_processes import TIMEOUT, Client, RosProcess, new_domain
from std_msgs.msg import Header
from typer.testing import CliRunner, Result

from samwise_ros.cli import main
from samwise_ros.demos.ground_truth_node import find_name


class Base(Client):
    """Publishes poses and listens to velocities."""

    def __init__(self, domain: int, kind: type = Twist) -> None:
        super().__init__(domain)
        self.velocities: list = []
        self._pose = self.node.create_publisher(PoseStamped, "target_pose", QoSProfile(depth=1))
        self.node.create_subscription(kind, "cmd_vel", self.velocities.append, 100)
        self._set = self.node.create_client(SetParameters, "/follow_target/set_parameters")

    def show(self, x: float, z: float, frame: str = "eye_optical") -> None:
        """One pose, stamped now."""
        self._pose.publish(PoseStamped(
            header=Header(stamp=self.node.get_clock().now().to_msg(), frame_id=frame),
            pose=Pose(position=Point(x=x, z=z))))

    def show_until(self, condition, what: str, x: float = -0.5, z: float = 3.0) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, what
            self.show(x, z)
            self.spin(0.05)

    def set(self, name: str, value: float):
        request = SetParameters.Request(parameters=[Parameter(name=name, value=ParameterValue(
            type=ParameterType.PARAMETER_DOUBLE, double_value=value))])
        self.wait(self._set.service_is_ready, "parameter service")
        future = self._set.call_async(request)
        self.wait(future.done, "answer of the parameter service")
        return future.result().results[0]


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    opened = []

    def start(*parameters: str, kind: type = Twist) -> tuple[RosProcess, Base]:
        domain = new_domain()
        arguments = [part for parameter in parameters for part in ("-p", parameter)]
        process = RosProcess(["-m", "samwise_ros.ros.follow.follow_target", "--ros-args",
                              *arguments],
                             domain, tmp_path / "follower.log")
        opened.append(process.kill)
        base = Base(domain, kind)
        opened.append(base.close)
        return process, base

    yield start
    for close in reversed(opened):
        close()


def test_it_drives_while_poses_come_and_stops_when_they_stop(start):
    process, base = start("timeout:=0.5", "max_linear:=0.3")
    base.show_until(lambda: base.velocities and base.velocities[-1].linear.x > 0.25, "it drives")
    assert base.velocities[-1].angular.z > 0  # the target is on the left
    assert max(twist.linear.x for twist in base.velocities) <= 0.3 + 1e-9
    silent = time.monotonic()
    base.wait(lambda: base.velocities[-1].linear.x == 0.0, "it stops")
    assert time.monotonic() - silent < 3.0  # 0.5 s and a busy machine
    assert base.velocities[-1].angular.z == 0.0
    base.spin(2.0)
    count = len(base.velocities)
    base.spin(1.0)
    assert len(base.velocities) == count  # silent afterwards: others may drive
    assert "standing still: the target was last seen" in process.text


def test_limits_can_be_changed_live_and_nonsense_is_refused(start):
    _, base = start()
    base.show_until(lambda: base.velocities and base.velocities[-1].linear.x > 0.35, "it drives")
    assert base.set("max_linear", 0.1).successful
    base.show_until(lambda: abs(base.velocities[-1].linear.x - 0.1) < 1e-9, "it slows down")
    refusal = base.set("max_linear", -1.0)
    assert not refusal.successful and refusal.reason


def test_poses_in_the_base_frame_and_stamped_velocities(start):
    _, base = start("stamped:=true", "base_frame:=base", kind=TwistStamped)
    deadline = time.monotonic() + TIMEOUT
    while not base.velocities or base.velocities[-1].twist.linear.x >= 0:
        assert time.monotonic() < deadline, "it backs off"
        base.show(0.5, 99.0, "base")  # half a metre ahead; z is height there
        base.spin(0.05)
    assert base.velocities[-1].header.stamp.sec > 0
    assert base.velocities[-1].header.frame_id == "base"


@pytest.mark.parametrize("parameters, frame", [
    ([], "odom"), ([], "base_footprint"), ([], ""), ([], "camera_link"),
    (["optical_frame:=eye"], "eye_optical_frame"), (["base_frame:=chassis"], "base_link")])
def test_a_pose_in_another_frame_leaves_the_base_standing_and_is_named(start, parameters, frame):
    process, base = start(*parameters)
    deadline = time.monotonic() + TIMEOUT
    while f"poses are in frame '{frame}'" not in process.text:
        assert time.monotonic() < deadline, process.text
        base.show(-0.5, 3.0, frame)
        base.spin(0.05)
    for _ in range(20):
        base.show(-0.5, 3.0, frame)
        base.spin(0.05)
    assert all(twist.linear.x == twist.angular.z == 0.0 for twist in base.velocities)
    known = {"optical_frame:=eye": "eye", "base_frame:=chassis": "chassis"}.get(
        "".join(parameters), "camera_color_optical_frame")
    while not any(twist.linear.x or twist.angular.z for twist in base.velocities):
        assert time.monotonic() < deadline, "it does not drive"
        base.show(3.0 if known == "chassis" else -0.5, 3.0, known)
        base.spin(0.05)


@pytest.mark.parametrize("numbers", [
    [signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 500], ids=["Ctrl-C", "SIGTERM", "many"])
def test_a_signal_to_end_stops_the_base_first(start, numbers):
    process, base = start("timeout:=10.0")
    base.show_until(lambda: base.velocities and base.velocities[-1].linear.x > 0.1, "it drives")
    for number in numbers:
        if process.alive:
            process.send(number)
            base.spin(0.001)
    assert process.wait() == 0, process.text
    assert "Traceback" not in process.text and "Exception" not in process.text, process.text
    base.wait(lambda: base.velocities[-1].linear.x == 0.0, "it stands")


def test_a_parameter_out_of_range_ends_it_with_a_reason(start):
    process, _ = start("distance:=-2.0")
    assert process.wait() == 1
    assert "distance" in process.text and "Traceback" not in process.text


def test_the_ground_truth_takes_the_object_whose_words_are_in_the_sentence():
    names = ["red ball", "blue ball"]
    assert find_name("the blue Ball that rolls", names) == 2
    assert find_name("the green ball", names) == 0


def follow(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, ["demo", "follow", *arguments])


def test_the_simulated_robot_follows_the_named_ball_and_then_the_other_one(tmp_path, monkeypatch):
    pytest.importorskip("pybullet", reason="needs the simulator: pip install 'samwise_ros[sim]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = follow("--out", str(tmp_path), "--truth", "--width", "128", "--seconds", "7",
                  "--lockstep", "--timeout", "240")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    red, blue = report["phases"]
    assert (red["expression"], blue["expression"]) == ("the red ball", "the blue ball")
    for phase in (red, blue):
        assert phase["distance_first"] > 1.4 and phase["poses"] > 10
        assert phase["error_mean"] < 0.1 and phase["bearing_max"] < 0.25
        assert phase["mask_j"] > 0.99
    assert report["drift_after_stop"] < 1e-6
    assert (tmp_path / "follow.mp4").stat().st_size > 10_000
    assert (tmp_path / "follow.png").is_file()


def test_the_loop_closes_with_the_masks_of_the_shipped_model_too(tmp_path, monkeypatch):
    pytest.importorskip("pybullet", reason="needs the simulator: pip install 'samwise_ros[sim]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = follow("--out", str(tmp_path), "--seconds", "8", "--rate", "5", "--lockstep",
                  "--timeout", "280")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["segmenter"] == "model"
    for phase in report["phases"]:  # it came nearer to the ball that was named, by its masks
        assert phase["distance_last"] < phase["distance_first"] - 0.3
        assert phase["poses"] > 3 and phase["mask_j"] > 0.3
    assert report["drift_after_stop"] < 0.2  # a frame that was in work may still be answered


def test_the_demo_names_a_process_that_fails(tmp_path):
    done = follow("--out", str(tmp_path), "--model", "no such model", "--timeout", "60")
    assert done.exit_code == 2 and "failed" in done.output and "no such model" in done.output
