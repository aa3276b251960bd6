"""What goes wrong in every period of an endurance run with trouble. No ROS import.

| share of the period | what happens |
|---|---|
| .05 to .5 | the listener (overlays; label masks, reliably) stands still, as on a sleeping laptop |
| .6 to .9 | the camera is gone; its process has ended |
| .75 on | nobody publishes transforms (`endurance_surroundings`) |

At its start the client gives a storm of commands (`endurance_client`).
"""

import os
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec

from samwise_ros.demos.process_group import ProcessGroup

CAMERA, LISTENER = "camera", "listener"
BASE_FRAME, CAMERA_FRAME = "base_link", "camera_optical_frame"
NO_TRANSFORMS_FROM = 0.75
_STALLED = (0.05, 0.5)
_LOST = (0.6, 0.9)


def node_arguments() -> list[str]:
    """For a node with depth and, where tf2_ros is installed, a target frame."""
    frame = ["-p", f"target_frame:={BASE_FRAME}"] if find_spec("tf2_ros") else []
    return ["-r", "depth:=/camera/depth", "-r", "camera_info:=/camera/camera_info", *frame]


class Trouble:
    """Makes it.

    Args:
        group: Whose processes `camera` and `listener` it happens to; both run.
        start_camera: Starts that process of the group again.
        period: Seconds.
    """

    def __init__(self, group: ProcessGroup, start_camera: Callable[[], None], period: float
                 ) -> None:
        self._group = group
        self._start_camera = start_camera
        self._period = period
        self._start = time.monotonic()
        self._stalled = self._lost = False

    def step(self) -> None:
        """Do what is due now."""
        share = (time.monotonic() - self._start) % self._period / self._period
        stalled, lost = (first <= share < last for first, last in (_STALLED, _LOST))
        if stalled != self._stalled:
            os.kill(self._group.running[LISTENER].pid,
                    signal.SIGSTOP if stalled else signal.SIGCONT)
        if lost and not self._lost:
            self._group.end(CAMERA)
        elif self._lost and not lost:
            self._start_camera()
        self._stalled, self._lost = stalled, lost
