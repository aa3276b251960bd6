"""The SROS2 policy names what the node really has, and containers do not run as root."""

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "config" / "security" / "policy.xml"
# What the node of the test lacks but the policy has to allow: other transports and settings.
SOMETIMES = {"publish": {"/samwise/label_info", "/samwise/detections", "/samwise/detections_3d",
                         "/samwise/predicted_pose", "/samwise/targets", "/samwise/status"},
             "subscribe": {"/image/compressed", "/clock", "/tf", "/tf_static", "/prompt/box"},
             "reply": {"/samwise/get_type_description",  # after Humble
                       "/samwise/list_targets"},  # of our own messages, like the next
             "execute": {"/samwise/track_target"}}
CAMERA = {"/camera/image_raw": "/image", "/camera/image_raw/compressed": "/image/compressed",
          "/camera/depth": "/depth", "/camera/camera_info": "/camera_info"}  # remapped in launch


def allowed(enclave: str, kind: str, verb: str) -> set[str]:
    """Full names of an enclave's topics, services or actions (`kind`) that it may `verb`."""
    names = set()
    for profile in ElementTree.parse(POLICY).iterfind(f".//enclave[@path='{enclave}']//profile"):
        node = f"/{profile.get('node')}"
        for group in profile.iterfind(f"{kind}[@{verb}='ALLOW']"):
            for entry in group:
                name = entry.text.replace("~", node, 1)
                names.add(name if name.startswith("/") else f"/{name}")
    return names


def names_of(entries: Iterable[tuple[str, list[str]]]) -> set[str]:
    """Names of a graph query; parts of an action are no topics or services of their own."""
    return {name for name, _ in entries if "/_action/" not in name}


def test_only_the_node_reads_commands_and_only_the_commander_gives_them() -> None:
    enclaves = [entry.get("path") for entry in ElementTree.parse(POLICY).iterfind(".//enclave")]
    for topic in ("/command", "/prompt/point", "/prompt/box", "/prompt/mask"):
        assert {path for path in enclaves if topic in allowed(path, "topics", "subscribe")} == {
            "/samwise"}
        assert {path for path in enclaves if topic in allowed(path, "topics", "publish")} == {
            "/commander"}
    assert {path for path in enclaves if "/cmd_vel" in allowed(path, "topics", "publish")} == {
        "/follower"}
    assert {path for path in enclaves if allowed(path, "actions", "call")} == {"/commander"}
    assert {path for path in enclaves if any(
        "set_parameters" in name for name in allowed(path, "services", "request"))} == set()


def graph(node) -> dict[str, set[str]]:
    """What DDS says that /samwise has, by the verbs of the policy."""
    from rclpy.action import get_action_server_names_and_types_by_node

    where = ("samwise", "/")
    return {"publish": names_of(node.get_publisher_names_and_types_by_node(*where)),
            "subscribe": names_of(node.get_subscriber_names_and_types_by_node(*where)),
            "reply": names_of(node.get_service_names_and_types_by_node(*where)),
            "execute": names_of(get_action_server_names_and_types_by_node(node, *where))}


def test_the_policy_is_that_of_the_running_node(standin) -> None:
    """Nothing that it has is left out, and nothing is allowed that it never has."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")
    policy = {
        "publish": allowed("/samwise", "topics", "publish"),
        "subscribe": {CAMERA.get(name, name) for name in allowed("/samwise", "topics", "subscribe")
                      if not name.startswith("/samwise/")},  # launch hears the transitions
        "reply": {name for name in allowed("/samwise", "services", "reply")
                  if not name.startswith("/launch_ros_")},
        "execute": allowed("/samwise", "actions", "execute")}
    _, client = standin.start("--ros-args", "-p", "overlay_rate:=5.0")
    client.lifecycle.run("up")
    client.wait(lambda: all(names - SOMETIMES[verb] <= graph(client.node)[verb]
                            for verb, names in policy.items()), "the node has what is allowed")
    for verb, names in graph(client.node).items():
        assert names <= policy[verb], verb
    assert allowed("/viewer", "topics", "subscribe") <= policy["publish"]


def test_without_the_security_that_is_asked_for_nothing_starts(standin, tmp_path) -> None:
    """Files that are no certificates, or a middleware that is built without security."""
    enclave = tmp_path / "keystore" / "enclaves" / "samwise"
    enclave.mkdir(parents=True)
    for name in ("identity_ca.cert.pem", "cert.pem", "key.pem", "permissions_ca.cert.pem",
                 "governance.p7s", "permissions.p7s"):
        (enclave / name).write_text("nothing")
    for keystore in (tmp_path / "keystore", tmp_path):
        node = standin.run(
            ["test/helpers/ros_standin_node.py"], f"node_{keystore.name}",
            ROS_SECURITY_ENABLE="true", ROS_SECURITY_STRATEGY="Enforce",
            ROS_SECURITY_KEYSTORE=str(keystore), ROS_SECURITY_ENCLAVE_OVERRIDE="/samwise")
        assert node.wait() == 1 and "Traceback" not in node.text
        assert "[ERROR]" in node.text and "security" in node.text.lower()


@pytest.mark.parametrize("file", sorted((ROOT / "docker").glob("Dockerfile*")),
                         ids=lambda file: file.name)
def test_containers_do_not_run_as_root(file: Path) -> None:
    text = file.read_text()
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users and users[-1] not in ("root", "0")
    assert re.search(rf"useradd .*\b{users[-1]}$", text, re.MULTILINE)
    assert text.rindex("USER ") < text.index("ENTRYPOINT")
