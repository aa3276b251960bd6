"""The demo: its scene, its camera, its judge, and the whole of it over real DDS with nano."""

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from live_builders import Onlooker, free_port, wait_until
from ros_processes import Client, RosProcess, new_domain
from sensor_msgs.msg import CameraInfo, Image
from typer.testing import CliRunner

from samwise_ros.cli import main
from samwise_ros.demos import demo
from samwise_ros.demos.client import mono_to_array, stamp_of
from samwise_ros.demos.demo_judge import Question, judge, question_report
from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.sim.demo_scene import choose_expressions, choose_scene, demo_plan
from samwise_ros.sim.expressions import Expression


@pytest.fixture
def pybullet() -> None:
    pytest.importorskip("pybullet", reason="needs the simulator: pip install 'samwise_ros[sim]'")


def test_three_kinds_are_asked_of_three_objects():
    red, cups, duck = (Expression("the red one", "colour", (0,)),
                       Expression("all", "class", (0, 1)), Expression("the duck", "class", (0,)))
    cup, red_cup = Expression("the cup", "class", (1,)), Expression("red cup", "colour_class", (2,))
    assert choose_expressions([red, cups, duck, cup, red_cup]) == (red, cup, red_cup)
    assert choose_expressions([red, cups, duck, red_cup]) == ()


def test_the_scene_follows_from_the_seed_and_shows_what_is_asked(pybullet):
    scene = choose_scene(0, 10.0, 12)
    assert scene == choose_scene(0, 10.0, 12)
    assert [item.kind for item in scene.expressions] == ["colour", "class", "colour_class"]
    assert len({item.targets for item in scene.expressions}) == 3
    assert len(demo_plan(0, scene.clip, 10.0).objects) >= 3


def test_the_camera_waits_and_stamps_picture_depth_and_truth_alike(pybullet, tmp_path):
    client = Client(new_domain())
    received: dict[str, dict[int, object]] = defaultdict(dict)
    listen = {"depth": Image, "camera_info": CameraInfo, "instance": Image, "image_raw": Image}
    for topic, kind in listen.items():
        client.node.create_subscription(
            kind, topic,
            lambda message,
            topic=topic: received[topic].update({stamp_of(message.header): message}), 10)
    camera = RosProcess(
        ["-m", "samwise_ros.demos.sim_camera", "--ros-args", "-p", "clip:=1", "-p", "width:=64",
         "-p", "wait_for_subscribers:=2"], client.node.context.get_domain_id(), tmp_path / "log")
    try:
        client.wait(lambda: client.node.count_publishers("image_raw") > 0, "the camera is there")
        client.spin(1.0)
        assert not received
        client.node.create_subscription(Image, "image_raw", lambda image: None, 10)
        client.wait(lambda: len(set.intersection(*(set(received[t]) for t in listen))) > 3,
                    "frames")
        stamp = max(set.intersection(*(set(received[topic]) for topic in listen)))
        info, instance = received["camera_info"][stamp], received["instance"][stamp]
        assert (info.width, info.height) == (64, 48) and info.k[0] > 0
        assert received["depth"][stamp].encoding == "32FC1"
        assert image_to_rgb(received["image_raw"][stamp]).shape == (48, 64, 3)
        count = len(demo_plan(0, 1, 10.0).objects)
        assert set(np.unique(mono_to_array(instance))) <= set(range(count + 1))
        assert mono_to_array(instance).any()
        assert camera.interrupt() == 0 and "Traceback" not in camera.text
    finally:
        camera.kill()
        client.close()


def test_a_camera_parameter_out_of_range_ends_it_with_a_reason(tmp_path):
    camera = RosProcess(["-m", "samwise_ros.demos.sim_camera", "--ros-args", "-p", "rate:=0.0"],
                        new_domain(), tmp_path / "log")
    try:
        assert camera.wait() == 1 and "rate" in camera.text and "Traceback" not in camera.text
    finally:
        camera.kill()


def test_a_command_is_judged_from_its_first_answer_on():
    instances = np.zeros((24, 32), np.uint8)
    instances[4:12, 4:12], instances[14:20, 20:28] = 1, 2
    question = Question("the second thing", "class", 2)
    rgb = np.zeros((24, 32, 3), np.uint8)
    wrong = judge(0.1, rgb, instances == 1, instances, question)
    right = judge(0.1, rgb, instances == 2, instances, question)
    assert wrong.scores == (0.0, 0.0) and right.scores == (1.0, 1.0)
    assert question_report(question, [wrong, right, right, right]) == {
        "expression": "the second thing", "kind": "class", "frames": 4, "jf": 0.75, "j": 0.75,
        "f": 0.75, "frames_until_correct": 1}
    assert question_report(question, [wrong])["frames_until_correct"] is None


def test_without_the_simulator_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybullet", None)
    done = CliRunner().invoke(main.app, ["demo", "--out", str(tmp_path)])
    assert done.exit_code == 2 and "samwise_ros[sim]" in done.output


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """A shell lets what it starts in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_the_simulated_demo_asks_three_times_and_reports(pybullet, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(demo, "_REHEARSED", 12)
    pytest.importorskip("rerun", reason="needs pip install 'samwise_ros[rerun]'")
    port, seen = free_port(), []
    visitor = threading.Thread(target=lambda: seen.append(visit(port, tmp_path / "client.json")))
    visitor.start()
    done = CliRunner().invoke(main.app, ["demo", "--out", str(tmp_path), "--frames", "5",
                                         "--timeout", "200", "--page", str(port), "--rerun",
                                         str(tmp_path / "d.rrd")])
    visitor.join()
    assert done.exit_code == 0, done.output
    assert f"http://localhost:{port}/" in done.output and seen == ["the red thing"]
    check_rerun(tmp_path / "d.rrd")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] == 15 and 0.5 < report["jf"] <= 1  # nano knows these toys
    assert "J&F against the truth" in done.output
    assert 0 < report["latency_ms_p50"] <= report["latency_ms_p95"] and report["drops"] >= 0
    commands = report["commands"]
    assert [item["kind"] for item in commands] == ["colour", "class", "colour_class"]
    assert all(item["frames"] == 5 and 0 <= item["jf"] <= 1 for item in commands)
    assert np.mean([item["jf"] for item in commands]) == pytest.approx(report["jf"], abs=2e-4)
    assert cv2.imread(str(tmp_path / "contact_sheet.png")).shape == (3 * 360, 4 * 480, 3)
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 15
    assert _log_of_node(tmp_path).count("command ") == 4


def check_rerun(path: Path) -> None:
    """Three commands, 15 answers to them, with the depth's images and the places in space."""
    from rerun.chunk import RrdReader

    stamps, middles = defaultdict(list), []
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        if "stamp" in batch.schema.names:
            stamps[chunk.entity_path] += batch["stamp"].cast("int64").to_pylist()
        if "Boxes3D:centers" in batch.schema.names:
            middles += [box for row in batch["Boxes3D:centers"].to_pylist() for box in row or ()]
    assert len(stamps["/commands"]) == 3
    wanted = stamps["/camera/picture/image"]
    assert len(set(wanted)) == 15
    for entity in ("picture/masks", "picture/boxes", "picture/depth", "places", "latency_ms",
                   "targets/target/score", "targets/target/area", "targets/target/state"):
        assert sorted(stamps[f"/camera/{entity}"]) == sorted(wanted), entity
    assert len(middles) >= 8  # of those that nano finds
    assert all(abs(x) < 1 and abs(y) < 1 and 0.2 < z < 3 for x, y, z in middles)


def running() -> str:
    """Command lines of all children that have not ended."""
    lines = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            lines += child.cmdline()
    return " ".join(lines)


def visit(port: int, report: Path) -> str:
    """Once the demo is done, command its node from the page, then Ctrl-C; what the page showed."""
    try:
        wait_until(lambda: report.exists() and "demo_client" not in running(),
                   "the three commands are done", 200.0)
        time.sleep(1.0)  # until that is noticed
        page = Onlooker(port)
        page.say("the red thing")
        wait_until(lambda: [target["expression"] for target in page.cameras[""]["targets"]] == [
            "the red thing"] if page.cameras else False, "the node obeys the page")
        page.close()
        return "the red thing"
    finally:
        os.kill(os.getpid(), signal.SIGINT)


def _log_of_node(out: Path) -> str:
    """What the node printed."""
    return (out / "logs" / "node.log").read_text()
