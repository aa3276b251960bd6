"""The real node around a stand-in for the model, for tests of everything but the network.

The stand-in marks pixels whose red value is above 127, so a test knows which mask to expect, and
starts in a moment, because nothing here imports torch. It knows a part of the command grammar.
Environment: STANDIN_SECONDS per frame, STANDIN_LOADING seconds to load. Targets with these ids make every frame fail: "fail" (a bug),
"tight" (memory is full until some is freed), "full" (for good), "lost" (the GPU is gone).
"""

import os
import time

import numpy as np

from samwise_ros.ros.node.node import main
from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.structures import Box, CommandError, FrameResult, TargetResult, TargetState


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class AcceleratorError(RuntimeError):
    """Named as torch's."""


class RedSession:
    """The interface of StreamingSession."""

    def __init__(self, engine: "RedEngine") -> None:
        self._engine = engine
        self._commands = 0
        self._index = 0
        self._targets: dict[str, tuple[str, int]] = {}

    @property
    def targets(self) -> tuple[tuple[str, str, int], ...]:
        return tuple((name, *rest) for name, rest in self._targets.items())

    def submit(self, text: str) -> int:
        if text.startswith("remove:"):
            return self._remove(text[7:])
        if text.startswith("add:"):
            name, _, expression = text[4:].partition(": ")
            if not expression:
                raise CommandError(f"command {text!r}: expected 'add:ID: SENTENCE'")
        else:
            self._targets = {}
            name, expression = "target", text
        self._commands += 1
        self._targets = self._targets | {name: (expression, self._commands)}
        return self._commands

    def _remove(self, name: str) -> int:
        if name not in self._targets:
            raise CommandError(f"remove: there is no target {name!r}")
        self._commands += 1
        self._targets = {other: rest for other, rest in self._targets.items() if other != name}
        return self._commands

    def reset(self) -> None:
        self._index = 0

    def step(self, rgb: np.ndarray, stamp: object = None) -> FrameResult:
        time.sleep(self._engine.seconds)
        self._fail_if_told()
        self._index += 1
        mask = rgb[..., 0] > 127
        visible = bool(mask.any())
        state = TargetState.TRACKING if visible else TargetState.SEARCHING
        targets = tuple(
            TargetResult(name, expression, command, state, 2.0 if visible else -2.0, mask,
                         tight_box(mask), int(mask.sum()), False, self._index - 1,
                         np.zeros((4, 4), np.float32))
            for name, expression, command in self.targets)
        return FrameResult(self._index - 1, stamp, rgb.shape[:2], targets)

    def _fail_if_told(self) -> None:
        if "fail" in self._targets:
            raise RuntimeError("the stand-in was told to fail")
        if "full" in self._targets or ("tight" in self._targets and not self._engine.freed):
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if "lost" in self._targets:
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
