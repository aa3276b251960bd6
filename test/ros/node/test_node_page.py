"""The node's page over real DDS, with real HTTP and WebSocket clients; the model is a stand-in."""

import socket

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")
pytest.importorskip("uvicorn", reason="needs the page: pip install 'samwise_ros[live]'")
pytest.importorskip("websockets", reason="needs the page: pip install 'samwise_ros[live]'")

from live_builders import Onlooker, free_port, get
from ros_processes import frame_with_square

from samwise_ros.ros.services.lifecycle_client import LifecycleError

FRAME = frame_with_square(120, 160)


def test_the_page_shows_the_answers_and_commands_as_the_topic_does(standin) -> None:
    port = free_port()
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable",
                                    "-p", f"page:={port}")
    client.lifecycle.run("configure")
    client.wait(lambda: f"the page: http://localhost:{port}/" in process.text, "the log says where")
    assert get(port)[0] == 200 and get(port, Host="robot.example")[0] == 403
    page = Onlooker(port)
    try:
        client.wait(lambda: page.cameras.get("", {}).get("status") == "not active", "its state")
        client.lifecycle.run("activate")
        page.say("the red square")
        client.send_until(lambda: page.cameras[""]["targets"] and page.pictures, FRAME, "an answer")
        (target,) = page.cameras[""]["targets"]
        assert (target["id"], target["command"], target["state"]) == ("target", 1, "TRACKING")
        assert page.replies == [{"accepted": "accepted as command 1"}]
        client.send_until(lambda: page.pictures[0][60, 100].sum() > 300, FRAME, "a painted mask")
        assert np.abs(page.pictures[0][60, 100].astype(int) - FRAME[60, 100]).max() > 40
        assert np.abs(page.pictures[0][60, 20].astype(int) - FRAME[60, 20]).max() < 20

        client.command("add:other: another")  # from elsewhere
        client.send_until(lambda: [t["command"] for t in page.cameras[""]["targets"]] == [1, 2],
                          FRAME, "what others command is seen")
        assert page.cameras[""]["latency"] > 0
        page.say("remove:nothing")
        client.wait(lambda: len(page.replies) == 2, "a reply")
        assert "known are target, other" in page.replies[-1]["refused"]
        client.wait(lambda: "no target 'nothing'" in client.value("refused command"), "diagnostics")
        client.wait(lambda: "no target 'nothing'" in page.cameras[""]["status"], "the page's state")
        page.say("remove:other")
        page.say("stop")
        client.send_until(lambda: not page.cameras[""]["targets"], FRAME, "nothing is left")
        assert [reply.get("accepted") for reply in page.replies[2:]] == [
            "accepted as command 3", "accepted as command 4"]
        assert "command 4: clear" in process.text and "refused: remove" in process.text
        client.lifecycle.run("deactivate")
        client.lifecycle.run("cleanup")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    finally:
        page.close()
    assert process.interrupt() == 0 and "Traceback" not in process.text


def test_a_port_in_use_fails_to_configure_with_the_reason(standin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, client = standin.start("--ros-args", "-p", f"page:={port}")
        with pytest.raises(LifecycleError, match="refused to configure"):
            client.lifecycle.run("configure")
        client.wait(lambda: f"port {port} of localhost is in use" in process.text, "the reason")
        assert client.lifecycle.state() == "unconfigured"
        assert "loading model" not in process.text  # which takes long
    client.lifecycle.run("up")  # free now
    assert get(port)[0] == 200


def test_each_camera_has_a_place_and_a_command_can_be_for_one(standin) -> None:
    port = free_port()
    process, client = standin.start("--ros-args", "-p", "cameras:=['front', 'rear']", "-p",
                                    f"page:={port}", "-p", "page_address:=127.0.0.1")
    client.lifecycle.run("up")
    page = Onlooker(port)
    try:
        page.say("the red square", "rear")
        page.say("the mug")
        client.wait(lambda: len(page.replies) == 2, "replies")
        assert page.replies == [{"accepted": "accepted as command 1 of rear"},
                                {"accepted": "accepted as command 1 of front, command 2 of rear"}]
        assert list(page.cameras) == ["front", "rear"]
        assert "command 2 of rear: 'the mug'" in process.text
    finally:
        page.close()


def test_without_a_port_nothing_listens(standin) -> None:
    process, client = standin.start()
    client.lifecycle.run("up")
    listening = [each for each in psutil.Process(process.pid).net_connections("tcp")
                 if each.status == "LISTEN"]
    assert listening == [] and "the page" not in process.text
