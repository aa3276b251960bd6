"""What to do when the device that the model runs on is gone or full. No import of torch or ROS.

Torch's classes are recognised by name, because the node must not import torch before it is told to
load a model, and because older releases raise a plain RuntimeError.
"""

import time
from collections.abc import Callable
from enum import Enum

import numpy as np

from samwise_ros.ros.node.engine import Engine, Session
from samwise_ros.structures import FrameResult, SamwiseError

_FULL_CLASSES = {"OutOfMemoryError", "MemoryError"}
_FULL_TEXTS = ("cuda out of memory", "cuda error: out of memory",
               "cuda driver error: out of memory", "_status_alloc_failed", "defaultcpuallocator: ")
# After these the CUDA context answers nothing any more (driver API, cudaError_enum).
_LOST_TEXTS = ("illegal memory access", "illegal instruction", "misaligned address",
               "invalid program counter", "hardware stack error", "launch failure",
               "launch timed out", "device-side assert", "uncorrectable", "unknown error",
               "no cuda gpus are available", "no cuda-capable device", "gpu is lost")
# These say that one call was wrong: another frame, of another shape perhaps, is well.
_HARMLESS_TEXTS = ("_status_not_supported", "_status_bad_param", "_status_invalid_value",
                   "_status_arch_mismatch", "invalid argument", "invalid configuration argument",
                   "too many resources requested", "operation not supported")
_DEVICE_CLASSES = {"AcceleratorError"}
_DEVICE_TEXTS = ("cuda error", "cuda driver error", "cublas_status_", "cudnn_status_",
                 "cusolver_status_", "no cuda gpus are available")
_MOST_IN_A_ROW = 3
_PAUSE = 1.0  # seconds between two tries while memory is full
_REMEDY = "then deactivate, clean up, configure and activate the node"


class Fault(Enum):
    """What an exception says about the device."""

    FULL = "full"  # helps itself when memory returns
    LOST = "lost"
    # a library fails inside: for want of memory, by chance, or because it is lost
    UNSURE = "unsure"


_FULL_ADVICE = ("the memory of the model's device is full, even after what was cached has been "
                "freed: end other programs on it or choose a smaller model or image_size; tried "
                "again every second")
_LOST_ADVICE = ("the GPU does not answer: look at nvidia-smi and dmesg, "
                f"{_REMEDY}; where configuring fails, restart its process")


class DeviceError(SamwiseError):
    """The device failed: no frame is answered until `DeviceGuard.ready`."""


def fault_of(error: BaseException) -> Fault | None:
    """What an exception says about the device; None for one that concerns a single frame."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower() if isinstance(error, RuntimeError) else ""

    def says(texts: tuple[str, ...]) -> bool:
        return any(part in text for part in texts)

    if names & _FULL_CLASSES or says(_FULL_TEXTS):
        return Fault.FULL
    if says(_HARMLESS_TEXTS) or not (names & _DEVICE_CLASSES or says(_DEVICE_TEXTS)):
        return None
    return Fault.LOST if says(_LOST_TEXTS) else Fault.UNSURE


class DeviceGuard:
    """Steps the sessions of one engine and stands between them and a failing device.

    Args:
        engine: Whose memory is freed when it is full.
        warn: Takes a line for the log.
        clock: Steady time in seconds; a test can pass its own.

    Attributes:
        fault: What is wrong and what to do; empty while frames can be answered.
        final: Whether only configuring anew helps.
        retries: Frames that were answered on a second try, after freeing memory.
    """

    def __init__(self, engine: Engine, warn: Callable[[str], None],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.fault = ""
        self.final = False
        self.retries = 0
        self._engine = engine
        self._warn = warn
        self._clock = clock
        self._failures = 0  # in a row
        self._due = 0.0  # when a full device is tried again

    @property
    def ready(self) -> bool:
        """Whether a frame may be tried now."""
        return not self.fault or not self.final and self._clock() >= self._due

    def step(self, session: Session, rgb: np.ndarray, stamp: object) -> FrameResult:
        """Answer a frame, see `Session.step`; when memory is full, free some and try once more.

        What may pass (full memory, a library's inner error) costs the frame, and several in a row
        set `fault`. Full memory is tried again then, and all is well once a frame was answered.

        Raises:
            DeviceError: The device has failed; `fault` is set.
        """
        try:
            result = self._step(session, rgb, stamp)
        except Exception as error:
            self._judge(error)
            raise
        if self.fault and not self.final:
            self.fault = ""
            self._warn("there is memory again: frames are answered")
        self._failures = 0
        return result

    def give_up(self, reason: str) -> None:
        """Take note of what ended inference for good, although the device may be well."""
        self.final = True
        self.fault = f"inference has ended ({reason}): see the log, {_REMEDY}"

    def _step(self, session: Session, rgb: np.ndarray, stamp: object) -> FrameResult:
        try:
            return session.step(rgb, stamp)
        except Exception as error:
            if fault_of(error) is not Fault.FULL:
                raise
            self._warn(f"out of memory, trying once more after freeing some: {_first_line(error)}")
        # Outside of the handler: its exception holds the tensors of the frame that failed.
        self._engine.free_memory()
        result = session.step(rgb, stamp)
        self.retries += 1
        return result

    def _judge(self, error: Exception) -> None:
        """Raise DeviceError when the device has failed."""
        fault = fault_of(error)
        if fault is None:
            return
        self._failures += 1
        if fault is not Fault.LOST and self._failures < _MOST_IN_A_ROW:
            return
        self.final = fault is not Fault.FULL
        self._due = self._clock() + _PAUSE
        advice = _LOST_ADVICE if self.final else _FULL_ADVICE
        self.fault = f"{advice} ({type(error).__name__}: {_first_line(error)})"
        raise DeviceError(self.fault) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
