"""What the parts of a streaming frame cost: milliseconds and FLOPs.

Parts are timed from outside by wrapping public functions of the model during a separate pass: the
model carries no timers.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from math import prod
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from samwise_ros.model import samwise as samwise_module
from samwise_ros.model.cme import ConditionalMemoryEncoder
from samwise_ros.model.cmt import CmtAdapter
from samwise_ros.model.efficientnet import Lite0Trunk
from samwise_ros.model.fused_encoder import FusedEncoder
from samwise_ros.model.grounding import Grounding
from samwise_ros.model.matrices import ONEDNN
from samwise_ros.model.motion_branch import MotionBranch
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextEncoder
from samwise_ros.model.trunk import HieraTrunk
from samwise_ros.streaming import frame_step as frame_step_module
from samwise_ros.streaming import session as session_module
from samwise_ros.streaming.image_ops import input_size
from samwise_ros.streaming.session import StreamingSession

# Public functions by part. They nest: a part costs what its functions take without those inside.
_PARTS: tuple[tuple[object, str, str], ...] = (
    (session_module, "prepare_frame", "preprocessing"),
    *((trunk, method, "image_encoder") for trunk in (HieraTrunk, Lite0Trunk)
      for method in ("embed", "run_stage")),
    (MotionBranch, "forward", "motion"),
    (FusedEncoder, "encode_rows", "fpn"),  # what is left of it without adapters, trunk and text
    (TextEncoder, "run_layers", "text"),
    (Grounding, "look", "grounding"),
    (Grounding, "forward", "grounding"),
    (CmtAdapter, "look_back", "cmt"),
    (CmtAdapter, "fuse", "cmt"),
    (SamwiseModel, "segment_frame", "decoder"),
    (samwise_module, "attend_memory", "memory_attention"),
    (ConditionalMemoryEncoder, "forward", "cme"),
    (SamwiseModel, "encode_memory", "memory_encoder"),
    (frame_step_module, "answer_of", "mask_restore"),
    (session_module, "fetch_rows", "mask_restore"),
)
# What torch's counter doesn't know: fused attention on a CPU, oneDNN's products and convolutions.
CPU_COUNTS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
        lambda query, key, value, *_, out_shape=None, **__: sdpa_flop_count(query, key, value),
    **({} if ONEDNN is None else {
        ONEDNN._linear_pointwise:
            lambda x, *_, out_shape, **__: 2 * prod(x) * out_shape[-1],
        ONEDNN._convolution_pointwise:
            lambda _, weight, *__, out_shape, **___: 2 * prod(out_shape) * prod(weight[1:])})}


def synchronise(model: SamwiseModel) -> None:
    """Wait for the GPU, if the model is on one."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def timed(model: SamwiseModel, call: Callable[[], object]) -> float:
    """Seconds that a call takes, its GPU work included."""
    synchronise(model)
    start = time.perf_counter()
    call()
    synchronise(model)
    return time.perf_counter() - start


@contextmanager
def _metered(read: Callable[[], float]) -> Iterator[dict[str, float]]:
    """What each part adds to a running total (time, FLOPs), without the parts inside it."""
    spent: dict[str, float] = defaultdict(float)
    inside = [0.0]  # of each part that runs: what its inner parts took

    def metered(original: Callable[..., Any], part: str) -> Callable[..., Any]:
        def replacement(*args: Any, **kwargs: Any) -> Any:
            start = read()
            inside.append(0.0)
            result = original(*args, **kwargs)
            whole = read() - start
            spent[part] += whole - inside.pop()
            inside[-1] += whole
            return result

        return replacement

    with ExitStack() as stack:
        for owner, name, part in _PARTS:
            stack.enter_context(
                patch.object(owner, name, metered(getattr(owner, name), part)))
        yield spent


def measure_parts(model: SamwiseModel, session: StreamingSession,
                  images: list[np.ndarray]) -> dict[str, float]:
    """Median milliseconds per part, and of the whole frame under "total"."""
    def clock() -> float:
        synchronise(model)
        return 1e3 * time.perf_counter()

    frames = []
    for image in images[:3]:
        with _metered(clock) as spent:
            total = 1e3 * timed(model, partial(session.step, image))
        frames.append({**spent, "total": total})
    names = sorted(set().union(*frames))
    return {name: statistics.median(frame.get(name, 0.0) for frame in frames) for name in names}


def count_flops(session: StreamingSession, image: np.ndarray) -> dict[str, float]:
    """GFLOP per part of one streaming frame."""
    with FlopCounterMode(display=False, custom_mapping=CPU_COUNTS) as counter:
        with _metered(lambda: counter.get_total_flops() / 1e9) as spent:
            session.step(image)
        return {**spent, "total": counter.get_total_flops() / 1e9}


def added_share(flops: dict[str, float], model: SamwiseModel, grid: int) -> float:
    """FLOPs of CMT, CME and its decoder pass over those of SAM 2 as the sam2 package computes it.

    That package attends with projected values: per layer Lq * Lk * (C - Cm) more multiply-adds for
    weights times values, and the projection of Lk rather than Lq rows.

    Args:
        grid: Number of stride-16 cells, Lq.
    """
    config, memory = model.config, model.config.memory
    passes = 2 if config.cme.enabled and memory.num_spatial else 1
    second_pass = flops.get("decoder", 0.0) * (passes - 1) / passes
    added = flops.get("cmt", 0.0) + flops.get("cme", 0.0) + second_pass
    keys = memory.num_spatial * grid + memory.num_pointers * config.hidden_dim // memory.dim
    values = grid * keys * (config.hidden_dim - memory.dim)
    projection = (keys - grid) * memory.dim * config.hidden_dim if keys else 0
    unfolded = 2 * memory.attention_layers * (values + projection) / 1e9
    return added / (flops["total"] - added - flops.get("text", 0.0) + unfolded)


def grid_cells(model: SamwiseModel, camera: tuple[int, int]) -> int:
    """Number of stride-16 cells of the input for a camera of (height, width)."""
    size = input_size(camera, model.config.image_size, model.config.fit)
    return size.padded[0] * size.padded[1] // 256
