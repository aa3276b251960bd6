"""The real node around a stand-in for the model, for tests of everything but the network.

The stand-in marks pixels whose red value is above 127, so a test knows which mask to expect, and
starts in a moment, because nothing here imports torch.
Environment: STANDIN_SECONDS per frame, STANDIN_LOADING seconds to load. Targets with these ids make
every frame fail: "fail" (a bug), "tight" (memory is full until some is freed), "full" (for good),
"lost" (the GPU is gone); "exit" raises SystemExit.
"""

import os
import time

import numpy as np

from samwise_ros.ros.node.node import main
from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.streaming.commands import TargetPlan
from samwise_ros.streaming.target_tracker import TargetTracker, TrackSettings
from samwise_ros.structures import Box, Command, FrameResult, TargetResult, TargetState

MAX_TARGETS = 16


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class AcceleratorError(RuntimeError):
    """Named as torch's."""


class RedSession:
    """The interface of StreamingSession, with its plan of targets and its states."""

    def __init__(self, engine: "RedEngine") -> None:
        self.tracking = TrackSettings()
        self._engine = engine
        self._plan = TargetPlan(MAX_TARGETS)
        self._index = 0
        self._trackers: dict[tuple[str, int], TargetTracker] = {}

    @property
    def targets(self) -> tuple[tuple[str, str, int], ...]:
        return tuple((name, planned.expression, planned.command)
                     for name, planned in self._plan.targets.items())

    @property
    def command(self) -> int:
        return self._plan.newest

    def submit(self, command: Command) -> int:
        return self._plan.submit(command)

    def reset(self) -> None:
        self._index = 0
        self._trackers = {}

    def step(self, rgb: np.ndarray, stamp: object = None) -> FrameResult:
        time.sleep(self._engine.seconds)
        self._fail_if_told()
        self._index += 1
        mask = rgb[..., 0] > 127
        score = 2.0 if mask.any() else -2.0
        found = [
            TargetResult(name, expression, command, TargetState.SEARCHING, score, mask,
                         tight_box(mask), int(mask.sum()), False, self._index - 1,
                         np.zeros((4, 4), np.float32))
            for name, expression, command in self.targets]
        return FrameResult(self._index - 1, stamp, rgb.shape[:2], tuple(map(self._judged, found)))

    def _judged(self, target: TargetResult) -> TargetResult:
        tracker = self._trackers.setdefault((target.target_id, target.command), TargetTracker())
        tracker.settings = self.tracking
        return tracker.judge(target)

    def _fail_if_told(self) -> None:
        names = self._plan.targets
        if "fail" in names:
            raise RuntimeError("the stand-in was told to fail")
        if "exit" in names:
            raise SystemExit("the stand-in was told to leave")
        if "full" in names or ("tight" in names and not self._engine.freed):
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if "lost" in names:
            self._engine.lost = True
        if self._engine.lost:
            raise AcceleratorError("CUDA error: an illegal memory access was encountered\n"
                                   "CUDA kernel errors might be asynchronously reported ...")


def tight_box(mask: np.ndarray) -> Box | None:
    """The box by definition."""
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return None
    return Box(*map(int, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)))


class RedEngine:
    """The interface of ModelEngine."""

    description = "stand-in"
    device_memory = None

    def __init__(self, parameters: NodeParameters) -> None:
        if parameters.model == "broken":
            raise ValueError("model: the stand-in was told to fail")
        time.sleep(float(os.environ.get("STANDIN_LOADING", "0")))
        self.seconds = float(os.environ.get("STANDIN_SECONDS", "0"))
        self.freed = self.lost = False

    def new_session(self) -> RedSession:
        return RedSession(self)

    def free_memory(self) -> None:
        self.freed = True

    def close(self) -> None:
        if self.lost:
            raise AcceleratorError("CUDA error: an illegal memory access was encountered")


if __name__ == "__main__":
    raise SystemExit(main(engine_factory=RedEngine))
