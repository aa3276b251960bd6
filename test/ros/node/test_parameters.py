"""Parameters: which may change while the node is active and what that does, and their
documentation."""

import re

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from rclpy.qos import qos_profile_sensor_data
from ros_processes import ROOT, Client, frame_with_square, mask_array
from sensor_msgs.msg import Image

from samwise_ros.ros.node.engine import ModelEngine
from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.ros.parameters.fields import fields_of, take
from samwise_ros.structures import ConfigError, MissingDependencyError

FIELDS = fields_of(NodeParameters)
OTHER = {bool: lambda value: not value, int: lambda value: value + 64,
         float: lambda value: value + 1,
         str: lambda value: {"auto": "fp32", "exact": "fast", "raw": "compressed",
                             "sensor_data": "reliable", "eager": "onnx",
                             "640x480": "320x240"}.get(value, "other"),
         tuple: lambda value: ["left", "right"]}


@pytest.fixture
def client(standin) -> Client:
    """The node, active, looking for the red square, which scores 0.88."""
    _, client = standin.start()
    client.lifecycle.run("up")
    client.command("the red square")
    client.wait(lambda: mask_array(client.ask(frame_with_square())).any(), "the target is found")
    return client


def test_thresholds_take_effect_on_a_running_stream_and_are_judged_together(client):
    (refused,) = client.set_parameters(leave_score=0.9)  # above enter_score
    assert not refused.successful
    assert "leave_score" in refused.reason and "enter_score" in refused.reason
    assert mask_array(client.ask(frame_with_square())).any()
    assert client.set_parameters_together(leave_score=0.9, enter_score=0.95).successful
    client.wait(lambda: not mask_array(client.ask(frame_with_square())).any(),
                "0.88 is too little now")
    assert not client.set_parameters_together(enter_score=0.5, overlay_rate=1.0).successful
    assert all(result.successful for result in client.set_parameters(leave_score=0.5,
                                                                     enter_score=0.5))
    client.wait(lambda: mask_array(client.ask(frame_with_square())).any(), "0.88 is enough again")


def test_overlay_rate_and_image_timeout_take_effect_on_a_running_stream(client):
    overlays: list[Image] = []
    client.node.create_subscription(Image, "/samwise/overlay", overlays.append,
                                    qos_profile_sensor_data)
    client.wait(lambda: client.ask(frame_with_square()) and overlays, "an overlay")
    assert client.set_parameters(overlay_rate=0.0, image_timeout=0.2)[1].successful
    without = [client.ask(frame_with_square()).header for _ in range(6)]
    assert not [image for image in overlays if image.header in without]
    client.wait(lambda: "no image on /image" in client.diagnosis().message, "idle after 0.2 s")
    assert client.set_parameters(image_timeout=3600.0)[0].successful
    client.wait(lambda: client.diagnosis().message == "answering frames", "not idle any more")


def test_what_cannot_take_effect_is_refused_with_the_reason(client):
    fixed = {name: OTHER[type(item.default)](item.default) for name, item in FIELDS.items()
             if not item.metadata["live"] and name not in (
                 "max_targets", "prepared_targets", "depth_slop")}
    fixed |= {"max_targets": 3, "prepared_targets": 3, "depth_slop": 0.5}  # within their ranges
    for name, result in zip(fixed, client.set_parameters(**fixed), strict=True):
        assert not result.successful, name
        assert f"{name} is read at configuration only" in result.reason
    for name, value in (("enter_score", 1.5), ("leave_frames", 0), ("overlay_rate", -1.0),
                        ("image_timeout", 0.0)):
        (refused,) = client.set_parameters(**{name: value})
        assert not refused.successful and name in refused.reason
    assert mask_array(client.ask(frame_with_square())).any()


STARTS = {
    "node": ["-c", "from samwise_ros.ros.node.node import main; raise SystemExit(main())"],
    "follower": ["-m", "samwise_ros.ros.follow.follow_target"],
    "video camera": ["-m", "samwise_ros.demos.video_camera"],
    "simulated camera": ["-m", "samwise_ros.demos.sim_camera"],
    "simulated robot": ["-m", "samwise_ros.demos.sim_robot"],
}


@pytest.mark.parametrize(("who", "given", "named"), [
    ("node", "image_size:=2048", "image_size: expected a whole number from 0 to 1024, got 2048"),
    ("node", "enter_score:=1.5", "enter_score: expected a number from 0 to 1, got 1.5"),
    ("node", "overlay_rate:=abc", "overlay_rate: expected a number from 0 to 1000, got 'abc'"),
    ("node", "predict:=1", "predict: expected true or false, got 1"),
    ("node", "expression:=5", "expression: expected a text, got 5"),
    ("node", "cameras:=[]", "cameras: expected 1 to 16 names, got nothing"),
    ("node", "cameras:=front,wrist", "cameras: expected names of letters"),
    ("node", "leave_score:=0.9", "leave_score <= enter_score"),
    ("follower", "distance:=25", "distance: expected a number from 0.1 to 20, got 25"),
    ("follower", "stamped:=1", "stamped: expected true or false, got 1"),
    ("video camera", "width:=-1", "width: expected a whole number from 0 to 16384, got -1"),
    ("simulated camera", "rate:=0", "rate: expected a number from 1 to 60, got 0"),
    ("simulated robot", "patience:=soon", "patience: expected a number from 0 to 60, got 'soon'"),
    ("node", None, "nowhere.yaml")])
def test_a_start_value_that_cannot_be_taken_is_one_line_and_exit_code_1(
        standin, who, given, named):
    arguments = ["-p", given] if given else ["--params-file", "nowhere.yaml"]
    process = standin.run([*STARTS[who], "--ros-args", *arguments], "refused")
    assert process.wait() == 1
    lines = [line for line in process.text.splitlines() if named in line]
    assert len(lines) == 1 and "ERROR" in lines[0], process.text
    assert "Traceback" not in process.text and "Exception" not in process.text, process.text


def test_whole_numbers_are_taken_where_decimals_are_meant(standin, tmp_path):
    file = tmp_path / "whole.yaml"
    file.write_text("/**:\n  ros__parameters: {image_timeout: 3, reset_after_gap: 10, cameras: "
                    "left}\n")
    _, client = standin.start("--ros-args", "--params-file", str(file), "-p", "overlay_rate:=5",
                              "-p", "depth_slop:=0", "-p", "queue_size:=7.0")
    names = ("image_timeout", "reset_after_gap", "overlay_rate", "depth_slop", "queue_size",
             "cameras")
    assert [client.parameter(name) for name in names] == [3.0, 10.0, 5.0, 0.0, 7, ["left"]]
    assert all(isinstance(client.parameter(name), float) for name in names[:4])
    assert all(result.successful for result in client.set_parameters(overlay_rate=7,
                                                                     cameras="right",
                                                                     leave_frames=2.0))
    assert client.parameter("overlay_rate") == 7.0 and client.parameter("cameras") == ["right"]
    (refused,) = client.set_parameters(overlay_rate=5000)
    assert not refused.successful and "overlay_rate: expected a number" in refused.reason
    (refused,) = client.set_parameters(overlay_rate=True)
    assert not refused.successful and "got True" in refused.reason


def _documented() -> dict[str, tuple[str, str]]:
    """(default, meaning) of each parameter by docs/ros.md."""
    text = (ROOT / "docs" / "ros.md").read_text().partition("\n## Parameters\n")[2]
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\| (.*) \|$", text.partition("\n## ")[0], re.MULTILINE)
    return {name: (default.strip("` "), meaning) for name, default, meaning in rows}


def test_the_documentation_lists_every_parameter_with_its_default():
    documented = _documented()
    assert list(documented) == list(FIELDS)
    for name, item in FIELDS.items():
        default, meaning = documented[name]
        shown = str(list(item.default) if isinstance(item.default, tuple) else item.default)
        assert default == (shown.lower() if isinstance(item.default, bool) else shown), name
        assert meaning.endswith("(live)") == item.metadata["live"], name


def test_compile_without_a_compiler_fails_with_what_to_install(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="apt install g\\+\\+"):
        ModelEngine(NodeParameters(model="nano", seeded=True, device="cpu", engine="compile"))


def test_the_size_that_an_engine_is_prepared_for():
    assert NodeParameters(camera_size="1280x720").camera == (720, 1280)
    for wrong in ("1280", "0x720", "1280x", "1280X720x3"):
        with pytest.raises(ConfigError, match="camera_size: expected WIDTHxHEIGHT"):
            take(FIELDS["camera_size"], wrong)
