"""Speed of stream mode beside clip mode fp32, both from one run, interleaved, as medians.

The memory of both is filled before measuring by repeating the first frame's memory, so that every
measured frame pays for six spatial memories and fifteen pointers.
"""

from __future__ import annotations

import dataclasses
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from samwise_ros.config import MemoryConfig, SessionConfig
from samwise_ros.evaluation.gpu_measure import forget_peak, name_targets, peak_memory
from samwise_ros.evaluation.speed_parts import (
    added_share,
    count_flops,
    grid_cells,
    measure_parts,
    timed,
)
from samwise_ros.model.context_ring import ContextRing
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.padding import PaddedStages
from samwise_ros.model.precision import resolve_precision
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.clip_runner import ClipRunner, ClipState
from samwise_ros.streaming.image_ops import input_size, prepare_frame, restore_logits
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.streaming.stream_state import StreamState

_AGE = 100  # frames; more than any memory holds
_EXPRESSION = "the object that moves to the left"


@dataclass(frozen=True)
class BenchmarkReport:
    """Figures of one run. Times are medians in milliseconds per frame.

    Attributes:
        machine: Processor, threads, device, torch version.
        model: Size, input (height, width), fit, precision, weights.
        stream_fps, reference_fps: Frames per second of stream mode and of clip mode fp32.
        ratio: stream_fps / reference_fps.
        stream_ms, reference_ms: The medians behind them.
        parts_ms, parts_share: Time per part of a streaming frame; the rest is "other".
        gflops: Per part, of a streaming frame, two per multiply-add; "total" included.
        added_flops_share: FLOPs of CMT, CME and its memory-less decoder pass over plain SAM 2's.
        peak_memory_bytes: Of the process (CPU) or of the allocator (CUDA), stream mode alone.
        session_bytes_mid, session_bytes_end: Bytes that the session keeps.
        lookahead_frames: Later frames that an answer waits for: 0.
        frames, targets: Measured frames per mode and targets of the session.
    """

    machine: dict[str, Any]
    model: dict[str, Any]
    stream_fps: float
    reference_fps: float
    ratio: float
    stream_ms: float
    reference_ms: float
    parts_ms: dict[str, float]
    parts_share: dict[str, float]
    gflops: dict[str, float]
    added_flops_share: float
    peak_memory_bytes: int
    session_bytes_mid: int
    session_bytes_end: int
    lookahead_frames: int
    frames: int
    targets: int

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return dataclasses.asdict(self)


def run_benchmark(model: SamwiseModel, config: SessionConfig, *,
                  camera: tuple[int, int] = (480, 854), targets: int = 1, frames: int = 16,
                  weights: str = "given",
                  progress: Callable[[str], None] = lambda _: None) -> BenchmarkReport:
    """Measure a model.

    Args:
        model: In eval mode, with a tokenizer.
        config: Of the streaming session; clip mode always runs fp32.
        camera: (H, W) of the synthetic camera frames.
        targets: Targets of the session; clip mode runs one expression per target, as published.
        frames: Measured frames per mode, rounded up to whole windows of eight.
        weights: What to say about the weights.
        progress: Called with a line of text now and then.
    """
    window = model.config.cmt.clip_window
    rounds = max(1, -(-frames // window))
    images = moving_noise(camera, window + 1)
    session = filled(StreamingSession(model, config), images[-1], [_EXPRESSION] * targets)
    progress("warming up")
    forget_peak(model.device)  # copies that filling made are no part of a stream
    session.step(images[0])
    peak = peak_memory(model.device)  # before clip mode, which holds a window of frames
    reference = _ReferenceRun(model, images[:window], targets)
    stream_times, reference_times, held = [], [], []
    for index in range(rounds):
        progress(f"round {index + 1} of {rounds}")
        reference_times.append(timed(model, reference.window) / window)
        for image in images[:window]:
            stream_times.append(timed(model, partial(session.step, image)))
        held.append(session.nbytes)
    progress("parts")
    parts = measure_parts(model, session, images)
    flops = count_flops(session, images[0])
    stream, plain = statistics.median(stream_times), statistics.median(reference_times)
    return BenchmarkReport(
        machine=describe_machine(model), model=_describe(model, config, camera, weights),
        stream_fps=1 / stream, reference_fps=1 / plain, ratio=plain / stream,
        stream_ms=1e3 * stream, reference_ms=1e3 * plain, parts_ms=_with_rest(parts),
        parts_share=_shares(_with_rest(parts)), gflops=flops,
        added_flops_share=added_share(flops, model, grid_cells(model, camera)),
        peak_memory_bytes=peak, session_bytes_mid=held[(len(held) - 1) // 2],
        session_bytes_end=held[-1], lookahead_frames=0, frames=rounds * window, targets=targets)


def moving_noise(camera: tuple[int, int], count: int) -> list[np.ndarray]:
    """Frames of a smooth random texture that moves: content does not change the cost."""
    noise = np.random.default_rng(0).integers(0, 255, (*camera, 3), dtype=np.uint8)
    return [np.ascontiguousarray(np.roll(noise, 3 * i, axis=1)) for i in range(count)]


def filled(session: StreamingSession, image: np.ndarray,
           sentences: Sequence[str]) -> StreamingSession:
    """A new session that looks for these, its memory and context full, from one frame repeated."""
    name_targets(session, sentences)
    session.step(image)
    memory = session.memory
    frames = dataclasses.replace(memory.frames, clock=_AGE, state=_full_state(memory.frames.state),
                                 ages=(_AGE,) * len(memory.frames.ages))
    session.memory = dataclasses.replace(memory, frames=frames)
    return session


def _full_state(state: StreamState | None) -> StreamState:
    """A state as after many frames, from that of one: each ring holds its first slot throughout."""
    assert state is not None  # a frame was answered

    def spread(ring: Any, dim: int) -> Any:
        return None if ring is None else ring.narrow(dim, 0, 1).expand_as(ring).clone()

    def rings(parts: tuple[ContextRing, ...]) -> tuple[ContextRing, ...]:
        return tuple(dataclasses.replace(
            ring, frames=spread(ring.frames, 1), mapped=spread(ring.mapped, 2),
            scale=spread(ring.scale, 2)) for ring in parts)

    return dataclasses.replace(
        state, clock=torch.full_like(state.clock, _AGE), ages=torch.full_like(state.ages, _AGE),
        spatial=spread(state.spatial, 1), pointers=spread(state.pointers, 1),
        shared=rings(state.shared), rows=rings(state.rows))


def _full_bank(bank: MemoryBank, limits: MemoryConfig) -> MemoryBank:
    """A bank as after many frames, from that of one."""
    if bank.spatial is None or bank.pointers is None:
        return bank
    return MemoryBank(bank.spatial.repeat(1, limits.num_spatial, 1, 1),
                      bank.pointers.repeat(1, limits.num_pointers, 1), _AGE, bank.peak)


class _ReferenceRun:
    """Clip mode on one window with a full memory, fp32, one expression after the other."""

    def __init__(self, model: SamwiseModel, images: list[np.ndarray], targets: int) -> None:
        self.runner, self.images, self.targets = ClipRunner(model), images, targets
        self.tokens = model.tokenizer([_EXPRESSION]).to(model.device)
        self.padding: PaddedStages | None = None
        self.state = self._full_state()

    def _full_state(self) -> ClipState:
        config = self.runner.model.config
        with torch.inference_mode():
            pixels, size = prepare_frame(self.images[0], config, device=self.runner.model.device)
            self.padding = self.runner.padded_stages(size)
            window = self.runner.segment_window(pixels[None, None], self.tokens, ClipState())
            return ClipState(_full_bank(next(window)[1].bank, config.memory), 0)

    @torch.inference_mode()
    def window(self) -> None:
        """Preprocess, encode and segment a window, masks back at camera size, per target."""
        model = self.runner.model
        for _ in range(self.targets):
            prepared = [prepare_frame(f, model.config, device=model.device) for f in self.images]
            pixels = torch.stack([p for p, _ in prepared]).unsqueeze(0)
            for segmentation, _ in self.runner.segment_window(
                    pixels, self.tokens, self.state, self.padding):
                (restore_logits(segmentation.high_res, prepared[0][1]) > 0).cpu()


def _with_rest(parts: dict[str, float]) -> dict[str, float]:
    rest = parts["total"] - sum(v for name, v in parts.items() if name != "total")
    return {**{name: v for name, v in parts.items() if name != "total"}, "other": max(0.0, rest)}


def _shares(parts: dict[str, float]) -> dict[str, float]:
    total = sum(parts.values())
    return {name: value / total for name, value in parts.items()}


def describe_machine(model: SamwiseModel) -> dict[str, Any]:
    """Processor, threads, device, torch version."""
    device = str(model.device)
    if model.device.type == "cuda":
        device = torch.cuda.get_device_name(model.device)
    return {"processor": _processor(), "threads": torch.get_num_threads(), "device": device,
            "torch": torch.__version__}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _describe(model: SamwiseModel, config: SessionConfig, camera: tuple[int, int],
              weights: str) -> dict[str, Any]:
    size = input_size(camera, model.config.image_size, model.config.fit)
    return {"name": model.config.name, "input": list(size.padded), "camera": list(camera),
            "fit": model.config.fit, "weights": weights,
            "precision": resolve_precision(config.precision, model.device),
            "context_frames": config.context_frames}
