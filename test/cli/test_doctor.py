"""`samwise doctor`: on this machine, and on bad ones."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from samwise_ros.cli import doctor as doctor_module
from samwise_ros.cli import doctor_ros
from samwise_ros.cli.doctor_checks import (
    Check,
    Status,
    check_disk,
    check_inference,
    check_memory,
    check_packages,
    check_python,
    check_threads,
    check_weights,
    judge_speed,
    judge_torch,
)
from samwise_ros.cli.main import app
from samwise_ros.model import frozen_parts
from samwise_ros.model.checkpoint import save_model
from samwise_ros.ros.health.topic_report import TopicReport

pytestmark = pytest.mark.usefixtures("one_thread")
GIB = 2**30


@pytest.fixture(scope="module")
def weights(micro_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(micro_model, tmp_path_factory.mktemp("micro"))


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_check_that_is_not_ok_must_say_what_to_do():
    with pytest.raises(ValueError, match="needs a remedy"):
        Check("disk", Status.WARN, "full")


def test_with_weights_everything_needed_is_there(weights):
    code, output = call("--model", weights)
    assert code == 0, output
    for part in ("python:", "torch:", "threads:", "million numbers, sha256 ", "offline from",
                 "frames/s", "0 failed"):
        assert part in output


def test_missing_weights_fail_and_the_speed_is_taken_with_random_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor_module, "check_inference",
                        lambda model, device, seeded: [judge_speed(0.1, f"seeded {seeded}")])
    code, output = call("--model", "large")
    assert code == 1
    assert "fail  weights: no weights of size 'large'" in output and "seeded True" in output
    assert "-> samwise checkpoint --help" in output and "1 failed" in output


def test_the_default_model_without_its_frozen_parts_fails_once(monkeypatch, tmp_path):
    monkeypatch.setattr(frozen_parts, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(frozen_parts.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor_module, "check_inference", lambda *_: pytest.fail("timed"))
    code, output = call()
    assert code == 1 and "1 failed" in output
    assert f"{sys.executable} -m pip install 'samwise_ros[mini]'" in output


def test_weights_that_do_not_exist_are_not_timed(monkeypatch):
    monkeypatch.setattr(doctor_module, "check_inference", lambda *_: pytest.fail("timed"))
    code, output = call("--model", "no_such_file.pth")
    assert code == 1 and "no such model" in output


def test_json_holds_every_check_and_the_verdict(weights):
    code, output = call("--model", weights, "--json")
    report = json.loads(output[output.index("{"):])
    assert code == 0 and report["ok"] is True
    names = [check["name"] for check in report["checks"]]
    assert {"python", "packages", "torch", "memory", "disk", "threads", "weights", "tokenizer",
            "inference", "ros"} <= set(names)
    assert all(check["remedy"] for check in report["checks"] if check["status"] != "ok")


def test_the_hash_is_that_of_the_file(weights):
    import hashlib

    expected = hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()
    assert expected in check_weights(str(weights)).detail


def test_damaged_weights_fail(weights, tmp_path):
    for name in ("config.json", "vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((weights / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not tensors at all")
    assert check_weights(str(tmp_path)).status is Status.FAIL


def test_a_model_that_cannot_be_loaded_fails(weights):
    [check] = check_inference(str(weights), device="cuda:77")
    assert check.status is Status.FAIL and "cuda:77" in check.detail


def test_inference_measures_the_median_after_the_warm_up(weights):
    ticks = iter([0.0, 9.0, 10.0, 19.0, 20.0, 20.1, 30.0, 30.2, 40.0, 40.3])
    *_, speed = check_inference(str(weights), device="cpu", clock=lambda: next(ticks))
    assert speed.status is Status.OK and "200 ms per 640x480 frame" in speed.detail


def test_slow_inference_is_a_warning():
    assert judge_speed(0.05, "nano").status is Status.OK
    check = judge_speed(0.8, "large on cpu")
    assert check.status is Status.WARN and "1.2 frames/s" in check.detail


def test_an_old_python_fails():
    assert check_python((3, 8, 10)).status is Status.FAIL
    assert check_python((3, 10, 12)).status is Status.OK


def test_missing_packages_are_all_named_with_one_command():
    check = check_packages(("numpy", "no-such-one", "no-such-two"))
    assert check.status is Status.FAIL
    assert "pip install no-such-one no-such-two" in check.remedy


@pytest.mark.parametrize(("built_for", "devices", "gpu", "status", "remedy"), [
    ("12.4", ["Orin"], True, Status.OK, ""),
    (None, [], False, Status.OK, ""),
    ("12.4", [], False, Status.OK, ""),
    (None, [], True, Status.WARN, "CUDA build"),
    ("12.4", [], True, Status.WARN, "driver must support CUDA 12.4"),
])
def test_torch_is_judged_by_the_gpu_that_is_there(built_for, devices, gpu, status, remedy):
    check = judge_torch("2.5.1", built_for, devices, gpu)
    assert check.status is status and remedy in check.remedy


def test_torch_that_cannot_be_imported_fails_and_the_model_is_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    checks = list(doctor_module.run_checks("nano", "auto", False, [], 1.0))
    found = {check.name: check for check in checks}
    assert found["torch"].status is Status.FAIL and "weights" not in found and "ros" in found


@pytest.mark.parametrize(("threads", "cores", "load", "advice"), [
    (2, 2, 0.1, None), (1, 2, 5.0, None), (2, 2, 1.4, "OMP_NUM_THREADS=1"),
    (8, 8, 4.2, "OMP_NUM_THREADS=4"), (4, 8, 4.0, None)])
def test_more_threads_than_free_cores_are_a_warning(threads, cores, load, advice):
    check = check_threads(threads, cores, load)
    assert check.status is (Status.OK if advice is None else Status.WARN)
    assert advice is None or advice in check.remedy


def test_little_memory_or_disk_is_named(tmp_path):
    assert check_memory(int(0.3 * GIB)).status is Status.FAIL
    assert check_memory(1 * GIB).status is Status.WARN
    assert check_memory(8 * GIB).status is Status.OK
    assert check_disk(tmp_path / "not" / "there", free=GIB).status is Status.WARN
    assert check_disk(tmp_path / "not" / "there").detail.endswith(str(tmp_path / "not" / "there"))


def test_without_rclpy_ros_is_a_warning_unless_topics_are_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert doctor_ros.check_ros(required=False).status is Status.WARN
    assert doctor_ros.check_ros(required=True).status is Status.FAIL


def test_a_missing_message_package_says_what_is_lost_and_how_to_get_it():
    missing, unused = doctor_ros.check_messages([("no_such_msgs.msg", "~/boxes", "apt install it")])
    assert missing.status is Status.WARN
    assert "no ~/boxes" in missing.detail and missing.remedy == "apt install it"
    assert unused.status is Status.OK


def report(**changes: object) -> TopicReport:
    return TopicReport(**{
        "name": "/image", "types": ("sensor_msgs/msg/Image",), "offers": ("camera: reliable",),
        "received": 30, "seconds": 1.0, "size": 1000, "detail": "32x24 rgb8", "age": 0.01,
    } | changes)


@pytest.mark.parametrize(("changes", "problem"), [
    ({}, None),
    ({"offers": (), "alike": ("/camera/image_raw",)}, "topics with images: /camera/image_raw"),
    ({"offers": ()}, "same ROS_DOMAIN_ID"),
    ({"types": ("std_msgs/msg/String",)}, "expected images, got std_msgs"),
    ({"received": 0, "age": None}, "config/fastdds.xml"),
    ({"stamped": False}, "header.stamp"),
])
def test_a_topic_that_the_node_cannot_use_says_why(changes, problem):
    found = report(**changes).problem()
    assert found is None if problem is None else problem in found
    assert report(**changes).describe().startswith("/image: ")


def test_a_topic_that_may_cause_trouble_later_says_how():
    assert report().advice() is None and report().rate == 30.0
    assert "image_qos:=reliable" in report(reliable=False, size=900_000).advice()
    assert "chrony" in report(age=-3.0).advice()


CAMERA = """
import sys, rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image", 5)
def send():
    image = Image(height=4, width=6, encoding="mono8", step=6, data=bytes(24))
    image.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(image)
node.create_timer(0.05, send)
rclpy.spin(node)
"""


def test_topics_of_a_running_camera_are_watched_and_a_misspelt_one_fails(
        weights, tmp_path, monkeypatch):
    pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")
    from ros_processes import Client, RosProcess, new_domain

    domain = new_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    camera = RosProcess(["-c", CAMERA], domain, tmp_path / "camera.log")
    client = Client(domain)
    try:
        client.wait(lambda: client.node.count_publishers("/image") > 1, "the camera is there")
        client.node.destroy_publisher(client.camera)
        checks = doctor_ros.check_topics(["image", "/imgae"], 2.0)
    finally:
        client.close()
        camera.kill()
    good, bad = checks
    assert good.status is Status.OK, good
    assert "6x4 mono8" in good.detail and "camera: reliable, volatile" in good.detail
    assert bad.status is Status.FAIL and "topics with images: /image" in bad.remedy
