"""A projection: what a frame of stream mode may take on a Jetson Orin, from its FLOPs and bytes.

Nothing here was measured on an Orin. FLOPs and bytes are those of the step itself, counted on
tensors without data. The share of the peak that a network reaches is taken from the only published
figures of SAM 2 per stage on an Orin NX (base_plus at 512, TensorRT fp16: image encoder 43 ms,
memory attention and decoder 20 ms, 68 ms in all): 21 % of the peak over the frame, 24 % in the
encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from samwise_ros.config import SessionConfig
from samwise_ros.model.checkpoint import empty_model
from samwise_ros.model.padding import PaddedStages
from samwise_ros.model.text_encoder import TextState, Tokens
from samwise_ros.sizes import model_config
from samwise_ros.streaming.frame_step import FULL, FrameStep
from samwise_ros.streaming.image_ops import input_size
from samwise_ros.streaming.stream_state import start_state

SHARES = (0.24, 0.21)  # of the peak, as published
UNPROVEN = 0.40  # no SAM 2 on an Orin has been shown to reach it
_HALF = 2  # bytes of a number in fp16 and bf16
_TOKENS = 12


@dataclass(frozen=True)
class Board:
    """Peaks of a board: dense fp16 products [TFLOP/s] and memory [GB/s]."""

    name: str
    tflops: float
    gb_s: float


BOARDS = (Board("AGX Orin 64 GB", 42.5, 204.8), Board("Orin NX 16 GB", 15.0, 102.4))


@dataclass(frozen=True)
class StepCost:
    """What one frame costs, in half precision.

    Attributes:
        flops: Two per multiply-add.
        least: Bytes of weights and state, each touched once: all that a perfectly fused step moves.
        most: Bytes that all operations read and write if none is fused with another.
    """

    flops: float
    least: float
    most: float

    def milliseconds(self, board: Board, share: float) -> float:
        """At a share of the board's peak of products, and never below what memory allows."""
        return 1e3 * max(self.flops / (share * board.tflops * 1e12),
                         self.least / (board.gb_s * 1e9))


class _Traffic(TorchDispatchMode):
    """Counts the numbers that operations read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        """Pass the call on and add the sizes of its tensors."""
        result = func(*args, **(kwargs or {}))
        returned = func._schema.returns
        alias = returned[0].alias_info if returned else None
        if alias is None or alias.is_write:
            self.numbers += sum(leaf.numel() for leaf in tree_leaves((args, kwargs, result))
                                if isinstance(leaf, Tensor))
        return result


def step_cost(size: str, side: int, fit: str = "pad", targets: int = 1,
              camera: tuple[int, int] = (720, 1280)) -> StepCost:
    """Count one frame of stream mode with a full memory.

    Args:
        size: A named size. side, fit: Of the input. targets: Rows.
        camera: (H, W) of the frames.
    """
    config = model_config(size, image_size=side, fit=fit)
    model, frame = empty_model(config).requires_grad_(False), input_size(camera, side, config.fit)
    with torch.no_grad():
        ids = torch.zeros(targets, _TOKENS, dtype=torch.int64)
        text = model.encode_text(Tokens(ids, torch.ones_like(ids, dtype=torch.bool)))
        step = FrameStep(model, frame, SessionConfig())
    model.to("meta")
    verbs, names = (None if part is None else part.to("meta")
                    for part in (text.verbs, text.names))
    text = TextState(text.hidden.to("meta"), text.mask.to("meta"), verbs, names)
    if step.padding is not None:
        step.padding = PaddedStages(step.padding.height, step.padding.width,
                                    tuple(part.to("meta") for part in step.padding.maps))
    pixels = torch.empty(3, *frame.padded, device="meta")
    state = start_state(model, pixels, targets, SessionConfig().context_frames)
    weights = sum(weight.numel() for name, weight in model.named_parameters()
                  if "embeddings" not in name)
    with torch.no_grad(), torch.device("meta"):
        step(pixels, text, state, FULL)  # constants of the weights are made here
        with FlopCounterMode(display=False) as flops, _Traffic() as traffic:
            step(pixels, text, state, FULL)
    held = sum(part.numel() for part in state.tensors)
    return StepCost(flops.get_total_flops(), _HALF * (weights + held), _HALF * traffic.numbers)


def projection(cases: Sequence[tuple[str, int, str]],
               progress: Callable[[str], None] = lambda _: None) -> str:
    """A Markdown table of projected times for (size, side, fit), marked as projections."""
    columns = ["model, input", "GFLOP", "moved, least", "moved, unfused"]
    for board in BOARDS:
        columns += [f"{board.name}, projected at 24 to 21 %", "at 40 %, unproven"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for size, side, fit in cases:
        progress(f"{size} {side} {fit}")
        cost = step_cost(size, side, fit)
        cells = [f"{size}, {side} {fit}", f"{cost.flops / 1e9:.0f}", f"{cost.least / 1e9:.2f} GB",
                 f"{cost.most / 1e9:.1f} GB"]
        for board in BOARDS:
            quick, slow, best = (f"{float(f'{cost.milliseconds(board, share):.2g}'):g}"
                                 for share in (*SHARES, UNPROVEN))
            cells += [f"{quick} to {slow} ms", f"{best} ms"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
