"""When memory is reset, and what counts as a failed device. No ROS, no node."""

import gc
import weakref

import numpy as np
import pytest
import torch

from samwise_ros.ros.node.faults import DeviceError, DeviceGuard, Fault, fault_of
from samwise_ros.streaming.reset_policy import ResetPolicy
from samwise_ros.structures import CommandError, FrameError

SIZE = (48, 64)
FRAME = np.zeros((*SIZE, 3), np.uint8)


def reasons(policy: ResetPolicy, *stamps: float, size: tuple[int, int] = SIZE) -> list[str]:
    """Why memory is reset before each of these images, all of them answered."""
    return [policy.judge(size, policy.received(stamp)) for stamp in stamps]


def test_a_steady_stream_is_never_reset():
    assert not any(reasons(ResetPolicy(gap=1.0), *(1000 + 0.033 * step for step in range(100))))


def test_sizes_jumps_and_gaps_are_named_once():
    policy = ResetPolicy(gap=5.0)
    assert reasons(policy, 100.0) == [""]
    assert reasons(policy, 100.1, 100.2, size=(64, 48)) == [
        "images changed from 64x48 to 48x64 pixels", ""]
    assert reasons(policy, 40.0, 40.1, 46.0, 46.1, size=(64, 48)) == [
        "stamps jumped back by 60.2 s", "", "no image for 5.9 s by the stamps", ""]


def test_frames_that_overtook_each_other_and_missing_stamps_are_no_jump():
    assert not any(reasons(ResetPolicy(gap=5.0), 10.0, 10.2, 10.1, 10.3, 10.0))
    assert not any(reasons(ResetPolicy(gap=5.0), *[0.0] * 5))


def test_without_a_gap_any_pause_is_fine():
    assert reasons(ResetPolicy(gap=0.0), 0.0, 1e6) == ["", ""]


def test_the_gap_is_between_images_that_came_not_between_those_that_were_answered():
    policy = ResetPolicy(gap=1.0)
    scenes = [policy.received(0.2 * step) for step in range(100)]
    assert not any(policy.judge(SIZE, scene) for scene in scenes[::10])


def test_a_break_that_falls_on_an_unanswered_image_is_told_with_the_next_answer():
    policy = ResetPolicy(gap=1.0)
    policy.judge(SIZE, policy.received(50.0))
    policy.received(10.0)
    assert reasons(policy, 10.1, 10.2) == ["stamps jumped back by 40.0 s", ""]


def test_frames_that_wait_are_judged_by_what_came_before_them_not_after():
    policy = ResetPolicy(gap=1.0)
    before, after = policy.received(10.0), policy.received(20.0)
    assert policy.judge(SIZE, before) == ""
    assert policy.judge(SIZE, after) == "no image for 10.0 s by the stamps"


def test_a_pause_that_was_asked_for_is_no_gap_but_a_jump_back_stays_one():
    policy = ResetPolicy(gap=1.0)
    assert not any(reasons(policy, 10.0, 10.5))
    policy.pause()
    assert reasons(policy, 99.0, 101.0) == ["", "no image for 2.0 s by the stamps"]
    policy.pause()
    assert reasons(policy, 5.0) == ["stamps jumped back by 96.0 s"]


ACCELERATOR_ERROR = getattr(torch, "AcceleratorError", RuntimeError)  # from 2.8


@pytest.mark.parametrize("error, fault", [
    (torch.cuda.OutOfMemoryError("Allocation on device"), Fault.FULL),
    (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), Fault.FULL),
    (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), Fault.FULL),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), Fault.LOST),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
     Fault.FULL),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), Fault.FULL),
    (ACCELERATOR_ERROR("CUDA error: out of memory"), Fault.FULL),
    (MemoryError(), Fault.FULL),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate "
                  "memory: you tried to allocate 8 bytes"), Fault.FULL),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), Fault.UNSURE),
    (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
     Fault.UNSURE),
    (ACCELERATOR_ERROR("CUDA error: resource already mapped"), Fault.UNSURE),
    (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if"), None),
    (ACCELERATOR_ERROR("CUDA error: invalid configuration argument"), None),
    (RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"), None),
    (RuntimeError("No CUDA GPUs are available"), Fault.LOST),
    (ACCELERATOR_ERROR("CUDA error: device-side assert triggered"), Fault.LOST),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
    (FrameError("frame: expected uint8, got float32"), None),
    (CommandError("command 'what is a cuda error': ..."), None),
    (ValueError("CUDA error"), None),
])
def test_errors_of_the_device_are_told_from_others(error, fault):
    assert fault_of(error) is fault


class Engine:
    """Counts how often memory is freed; a Session's failures are given in advance."""

    freed = 0

    def free_memory(self) -> None:
        self.freed += 1


class Session:
    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)

    def step(self, rgb: np.ndarray, stamp: object) -> object:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return "answer"


FULL = RuntimeError("CUDA out of memory")
LOST = RuntimeError("CUDA error: unspecified launch failure\nfor debugging consider ...")


def test_full_memory_is_freed_and_the_frame_tried_once_more():
    engine, lines = Engine(), []
    guard = DeviceGuard(engine, lines.append)
    assert guard.step(Session(FULL), FRAME, None) == "answer"
    assert (engine.freed, guard.retries, guard.fault, len(lines)) == (1, 1, "", 1)


UNSURE = RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`")


def test_a_lost_device_is_a_fault_at_once_and_for_good():
    guard = DeviceGuard(Engine(), lambda line: None)
    with pytest.raises(DeviceError, match="GPU does not answer"):
        guard.step(Session(LOST), FRAME, None)
    assert guard.final and not guard.ready and "clean up" in guard.fault
    assert "\n" not in guard.fault


def test_full_memory_costs_a_frame_and_several_in_a_row_the_right_to_try_at_once():
    now, lines = [100.0], []
    guard = DeviceGuard(Engine(), lines.append, lambda: now[0])
    session = Session(*[FULL] * 6, None, *[FULL] * 4)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="CUDA out of memory"):
            guard.step(session, FRAME, None)
        assert guard.ready and not guard.fault
    with pytest.raises(DeviceError, match="memory of the model's device is full"):
        guard.step(session, FRAME, None)
    assert guard.fault and not guard.final and not guard.ready
    now[0] += 1.0
    assert guard.ready
    assert guard.step(session, FRAME, None) == "answer"  # another program has ended
    assert not guard.fault and lines[-1] == "there is memory again: frames are answered"
    for _ in range(2):  # counted anew
        with pytest.raises(RuntimeError, match="CUDA out of memory"):
            guard.step(session, FRAME, None)


def test_a_library_s_inner_error_costs_the_frame_and_three_in_a_row_are_a_lost_device():
    guard = DeviceGuard(Engine(), lambda line: None)
    session = Session(UNSURE, None, UNSURE, UNSURE, UNSURE)
    with pytest.raises(RuntimeError, match="EXECUTION_FAILED"):
        guard.step(session, FRAME, None)
    assert guard.step(session, FRAME, None) == "answer"
    for _ in range(2):
        with pytest.raises(RuntimeError, match="EXECUTION_FAILED"):
            guard.step(session, FRAME, None)
    with pytest.raises(DeviceError, match="GPU does not answer"):
        guard.step(session, FRAME, None)
    assert guard.final


def test_other_errors_pass_and_are_no_fault():
    guard = DeviceGuard(Engine(), lambda line: None)
    with pytest.raises(FrameError):
        guard.step(Session(FrameError("too dark")), FRAME, None)
    with pytest.raises(ZeroDivisionError):
        guard.step(Session(FULL, ZeroDivisionError()), FRAME, None)
    assert guard.fault == ""


def test_the_frame_that_did_not_fit_is_released_before_the_second_try():
    """Its tensors hang on the traceback; kept, they would be what fills the memory."""
    alive = []

    class Tensors:
        pass

    class Greedy:
        kept: weakref.ref | None = None

        def step(self, rgb: np.ndarray, stamp: object) -> object:
            if self.kept is None:
                big = Tensors()
                self.kept = weakref.ref(big)
                raise RuntimeError("CUDA out of memory")
            gc.collect()
            alive.append(self.kept() is not None)
            return "answer"

    DeviceGuard(Engine(), lambda line: None).step(Greedy(), FRAME, None)
    assert alive == [False]
