"""What `gpu_check` measures of a stream on a device. All of it runs on a CPU as well."""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from samwise_ros.allocator import give_back_freed_memory
from samwise_ros.model.checkpoint import empty_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import FrameResult

DRAWN_TARGETS = ("the red ball", "the blue ball", "the ball that moves to the right")
FILLED = 16  # frames after which a memory of fifteen is full
_FUSED = {"cuda": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION,
                   SDPBackend.CUDNN_ATTENTION],
          "cpu": [SDPBackend.FLASH_ATTENTION]}


def drawn_clip(count: int, height: int = 240, width: int = 320) -> list[np.ndarray]:
    """uint8 [H, W, 3] frames of a red and a blue ball, which nano knows, on a smooth background."""
    y, x = np.mgrid[:height, :width]
    background = np.stack((120 + 40 * x / width, 110 + 50 * y / height, 100 + 30 * x / width),
                          axis=-1).astype(np.uint8)
    frames = []
    for t in range(count):
        frame = background.copy()
        step = t % 25
        cv2.circle(frame, (60 + 6 * step, 90), 28, (200, 40, 40), -1, cv2.LINE_AA)
        cv2.circle(frame, (250 - 5 * step, 170), 24, (40, 60, 200), -1, cv2.LINE_AA)
        frames.append(frame)
    return frames


def answers(session: StreamingSession, frames: Sequence[np.ndarray],
            sentences: Sequence[str]) -> list[FrameResult]:
    """All answers of a new session."""
    name_targets(session, sentences)
    return [session.step(frame) for frame in frames]


def name_targets(session: StreamingSession, sentences: Sequence[str]) -> None:
    """Look for these, under the ids t0, t1..."""
    for index, sentence in enumerate(sentences):
        session.submit(f"add:t{index}: {sentence}")


def unfused_attention(session: StreamingSession, frames: Sequence[np.ndarray],
                      device: torch.device) -> str:
    """Why a step needs torch's unfused attention; empty where it does not."""
    try:
        with sdpa_kernel(_FUSED[device.type]):
            for frame in frames:
                session.step(frame)
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return ""


def waits_per_frame(session: StreamingSession, frame: np.ndarray) -> int:
    """How often the host waits for the GPU within one frame, by torch's own count.

    Not one of the first frames: tables are made in them.
    """
    for _ in range(FILLED):
        session.step(frame)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            session.step(frame)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def held_bytes(session: StreamingSession, frames: Sequence[np.ndarray], count: int,
               device: torch.device) -> tuple[int, int]:
    """Bytes in use after a tenth of `count` frames, at least `FILLED`, and after all of them."""
    early = 0
    for index in range(count):
        session.step(frames[index % len(frames)])
        if index + 1 == max(FILLED, count // 10):
            early = _bytes_in_use(device)
    return early, _bytes_in_use(device)


def _bytes_in_use(device: torch.device) -> int:
    """Of torch on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def frame_times(session: StreamingSession, frames: Sequence[np.ndarray], count: int,
                device: torch.device) -> tuple[list[float], int]:
    """Seconds of each of `count` frames with a full memory, and the peak bytes meanwhile."""
    for index in range(FILLED):
        session.step(frames[index % len(frames)])
    forget_peak(device)
    times = [seconds(partial(session.step, frames[index % len(frames)]), device)
             for index in range(count)]
    return times, peak_memory(device)


def forget_peak(device: torch.device) -> None:
    """Have `peak_memory` begin anew; on a CPU where Linux and glibc can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    give_back_freed_memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: of torch on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of a call with the work that it puts on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _median(call: Callable[[], object], device: torch.device, repeats: int = 7) -> float:
    call()
    return float(np.median([seconds(call, device) for _ in range(repeats)]))


def ceilings(device: torch.device, side: int) -> dict[str, float]:
    """What the device can do at most: GB/s of a copy, TFLOP/s of a bf16 product of a side."""
    one, other = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    many = torch.randn(side, side, 4, device=device)
    target = torch.empty_like(many)
    copy = _median(lambda: target.copy_(many), device)
    product = _median(lambda: one @ other, device)
    return {"copy_gb_s": 2 * many.nbytes / copy / 1e9,
            "bf16_tflops": 2 * side**3 / product / 1e12}


def attention_forms(device: torch.device, queries: int) -> dict[str, float]:
    """Milliseconds of one memory attention in bf16, values 64 wide or padded to the keys' 256.

    Narrow values cost less arithmetic, wide ones go to the flash kernels.

    Args:
        queries: Cells of the grid; there are six times as many keys.
    """
    query, key = (torch.randn(1, 1, queries * times, 256, device=device).bfloat16()
                  for times in (1, 6))
    narrow = torch.randn(1, 1, queries * 6, 64, device=device).bfloat16()
    wide = F.pad(narrow, (0, 192))
    return {f"values_{value.shape[-1]}_ms": 1e3 * _median(
        partial(F.scaled_dot_product_attention, query, key, value), device)
        for value in (narrow, wide)}


def at_side(model: SamwiseModel, side: int) -> SamwiseModel:
    """The same weights for another input side; new weights would take longer than a measurement."""
    other = empty_model(model.config.replace(image_size=side))
    other.load_state_dict(model.state_dict())
    other.tokenizer = model.tokenizer
    return other.requires_grad_(False).to(model.device)
