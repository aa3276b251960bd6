"""What to do when the device that the model runs on is gone or full. No import of torch or ROS.

Torch's classes are recognised by name, because the node must not import torch before it is told to
load a model, and because older releases raise a plain RuntimeError.
"""

from collections.abc import Callable
from enum import Enum

import numpy as np

from samwise_ros.ros.node.engine import Engine, Session
from samwise_ros.structures import FrameResult, SamwiseError

_FULL_CLASSES = {"OutOfMemoryError"}
_FULL_TEXTS = ("cuda out of memory", "cuda error: out of memory")
_LOST_CLASSES = {"AcceleratorError"}
_LOST_TEXTS = ("cuda error", "cuda driver error", "cublas_status_", "cudnn_status_",
               "device-side assert", "no cuda gpus are available")
_REMEDY = "then deactivate, clean up, configure and activate the node"


class Fault(Enum):
    """What is wrong with the device; the value says what to do."""

    FULL = ("the GPU's memory is full, even after what was cached has been freed: end other "
            f"programs on it or choose a smaller model or image_size, {_REMEDY}")
    LOST = ("the GPU does not answer: look at nvidia-smi and dmesg, "
            f"{_REMEDY}; where configuring fails, restart its process")


class DeviceError(SamwiseError):
    """The device failed; no frame is answered until the model is loaded anew."""


def fault_of(error: BaseException) -> Fault | None:
    """What an exception says about the device; None for one that concerns a single frame."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    if names & _FULL_CLASSES or (isinstance(error, RuntimeError)
                                 and any(part in text for part in _FULL_TEXTS)):
        return Fault.FULL
    if names & _LOST_CLASSES or (isinstance(error, RuntimeError)
                                 and any(part in text for part in _LOST_TEXTS)):
        return Fault.LOST
    return None


class DeviceGuard:
    """Steps the sessions of one engine and stands between them and a failing device.

    Args:
        engine: Whose memory is freed when it is full.
        warn: Takes a line for the log.

    Attributes:
        fault: What is wrong and what to do; empty while frames can be answered.
        retries: Frames that were answered on a second try, after freeing memory.
    """

    def __init__(self, engine: Engine, warn: Callable[[str], None]) -> None:
        self.fault = ""
        self.retries = 0
        self._engine = engine
        self._warn = warn

    def step(self, session: Session, rgb: np.ndarray, stamp: object) -> FrameResult:
        """Answer a frame, see `Session.step`; when memory is full, free some and try once more.

        Raises:
            DeviceError: The device has failed; `fault` is set.
        """
        try:
            return session.step(rgb, stamp)
        except Exception as error:
            if fault_of(error) is not Fault.FULL:
                self._judge(error)
                raise
            self._warn(f"out of memory, trying once more after freeing some: {_first_line(error)}")
        # Outside of the handler: its exception holds the tensors of the frame that failed.
        try:
            self._engine.free_memory()
            result = session.step(rgb, stamp)
        except Exception as error:
            self._judge(error)
            raise
        self.retries += 1
        return result

    def give_up(self, reason: str) -> None:
        """Take note of what ended inference for good, although the device may be well."""
        self.fault = f"inference has ended ({reason}): see the log, {_REMEDY}"

    def _judge(self, error: Exception) -> None:
        """Raise DeviceError when the device has failed."""
        fault = fault_of(error)
        if fault is not None:
            self.fault = f"{fault.value} ({type(error).__name__}: {_first_line(error)})"
            raise DeviceError(self.fault) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
