"""The ROS lines of `samwise doctor`. rclpy is only imported where it is asked for (ros/)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from importlib.util import find_spec

from samwise_ros.cli.doctor_checks import Check, Status

_APT = "apt install ros-$ROS_DISTRO-{}"
# module, what is lost without it, how to get it
MESSAGE_PACKAGES = (
    ("samwise_ros.msg", "~/targets and ~/status", "make setup, or colcon build"),
    ("vision_msgs.msg", "~/detections, ~/detections_3d and ~/label_info",
     _APT.format("vision-msgs")),
    ("tf2_ros", "poses in another frame than the camera's (target_frame)",
     _APT.format("tf2-ros-py")),
    ("launch_ros", "ros2 launch", _APT.format("launch-ros")),
)
SUPERFLUOUS = ("cv_bridge",)  # used where installed, replaced where not


def check_ros(required: bool) -> Check:
    """Whether rclpy can be imported, of which distribution, in which domain.

    Args:
        required: Whether its absence is a failure (topics were asked for).
    """
    distro = os.environ.get("ROS_DISTRO")
    source = f"source /opt/ros/{distro or 'DISTRO'}/setup.bash, or pip install 'samwise_ros[ros]'"
    try:
        importlib.import_module("rclpy")
    except (ImportError, OSError) as error:  # built for another Python, or a library is missing
        status = Status.FAIL if required else Status.WARN
        return Check("ros", status, f"rclpy cannot be imported ({error}); the library and "
                     "`samwise` work without it, the node does not",
                     f"{source}; the virtual environment needs the same Python as ROS and "
                     "--system-site-packages")
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    middleware = os.environ.get("RMW_IMPLEMENTATION", "the default")
    return Check("ros", Status.OK, f"{distro or 'from PyPI (ROS_DISTRO is not set)'}, "
                 f"domain {domain}, middleware {middleware}")


def check_messages(packages: Sequence[tuple[str, str, str]] = MESSAGE_PACKAGES) -> list[Check]:
    """One line per optional ROS package."""
    checks = []
    for module, lost, remedy in packages:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            detail = f"not importable ({error}): no {lost}"
            checks.append(Check(module, Status.WARN, detail, remedy))
        else:
            checks.append(Check(module, Status.OK, "importable"))
    there = [name for name in SUPERFLUOUS if find_spec(name) is not None]
    checks.append(Check("may be absent", Status.OK, f"{', '.join(SUPERFLUOUS)} "
                        f"({', '.join(there) + ' installed' if there else 'not installed'})"))
    return checks


def check_topics(names: Sequence[str], seconds: float) -> list[Check]:
    """Watch topics of a running system; one line for each."""
    from samwise_ros.ros.health.topic_probe import probe_topics

    checks = []
    for report in probe_topics(names, seconds):
        problem, advice = report.problem(), report.advice()
        if problem:
            checks.append(Check("topic", Status.FAIL, report.describe(), problem))
        elif advice:
            checks.append(Check("topic", Status.WARN, report.describe(), advice))
        else:
            checks.append(Check("topic", Status.OK, report.describe()))
    return checks
