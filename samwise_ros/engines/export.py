"""A model's step and text prefix as files, and how far they are from the step as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from samwise_ros.config import GraphPrecision, SessionConfig
from samwise_ros.engines.flat_step import example_inputs
from samwise_ros.engines.graph_step import GraphStep, onnx_runtime
from samwise_ros.engines.onnx_graph import (
    export_step,
    export_text,
    halve_products,
    write_description,
)
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import stack_text
from samwise_ros.streaming.frame_step import FrameStep
from samwise_ros.streaming.image_ops import input_size, prepare_frame
from samwise_ros.streaming.steps import StepShape
from samwise_ros.streaming.stream_state import StreamState, start_state
from samwise_ros.user_files import claim_outputs

FILES = ("step.onnx", "step.onnx.data", "step.json", "text.onnx", "text.onnx.data", "text.json")


@dataclass(frozen=True)
class GraphErrors:
    """Largest differences between graph and step over a video.

    Attributes:
        frames: Compared.
        score: Of object scores, logits.
        mask_logits: Of the mask logits, all rows; constant where a target is called absent.
        memory: Of what is remembered after each frame, relative to a tensor's largest value where
            that is above one.
        mask_iou: Smallest IoU of two masks, 1 where both are empty.
        masks: Of graph or step that are not empty; without any `mask_iou` says nothing.
    """

    frames: int
    score: float
    mask_logits: float
    memory: float
    mask_iou: float
    masks: int

    def within(self, tolerance: float, mask_iou: float = 0.999) -> bool:
        """Whether all but masks agree to `tolerance`, and masks to an IoU of `mask_iou`."""
        worst = max(self.score, self.mask_logits, self.memory)
        return worst <= tolerance and self.mask_iou >= mask_iou


def export_model(model: SamwiseModel, folder: Path, *, camera: tuple[int, int], targets: int,
                 tokens: int, precision: GraphPrecision = "fp32") -> GraphStep:
    """Write step.onnx and a JSON beside it, and the same of text.onnx.

    A model with a noun finder has no text.onnx: it takes sentences apart in Python.

    Args:
        model: On the CPU, fp32, in eval mode.
        folder: Made if need be; what another program wrote there is not overwritten.
        camera: (H, W) of the frames; input and answers have that size.
        targets: R. tokens: Longest sentence.
        precision: Of the step's products, see `onnx_graph.halve_products`; the text stays fp32.

    Returns:
        The step graph in ONNX Runtime.

    Raises:
        ConfigError: The folder holds files of these names that are not ours.
    """
    claim_outputs(folder, FILES)
    config, size = SessionConfig(), input_size(
        camera, model.config.image_size, model.config.fit)
    inputs = example_inputs(model, StepShape(size, targets, tokens), config)
    step = FrameStep(model, size, config).eval()
    description = export_step(step, inputs, folder / FILES[0]) | {
        "camera": list(camera), "input": list(inputs.pixels.shape[-2:]),
        "targets": targets, "tokens": tokens, "precision": precision}
    if precision == "fp16":
        halve_products(folder / FILES[0])
    write_description(folder / "step.json", description)
    if model.noun_finder is None:
        write_description(folder / "text.json", export_text(model, tokens, folder / "text.onnx"))
    return GraphStep(onnx_runtime(folder / FILES[0], torch.get_num_threads()), inputs)


@torch.no_grad()
def compare(model: SamwiseModel, graph: GraphStep, frames: Iterable[np.ndarray],
            sentences: list[str], tokens: int) -> GraphErrors:
    """Run step and graph side by side, each with its own memory.

    Args:
        model: That the graph was made from. graph: Of `export_model`.
        frames: uint8 [H, W, 3] of the camera's size. sentences: One per row.
        tokens: Of the graph.
    """
    score, logits, memory, iou, masks, count = 0.0, 0.0, 0.0, 1.0, 0, 0
    streams: list[StreamState] = []
    text = stack_text([model.encode_text(model.tokenizer([sentence])) for sentence in sentences],
                      length=tokens)
    for frame in frames:
        pixels, size = prepare_frame(frame, model.config)
        if not streams:
            step = FrameStep(model, size, SessionConfig()).eval()
            first = start_state(model, pixels, len(sentences), SessionConfig().context_frames)
            streams = [first, first.copied()]
        expected, streams[0] = step(pixels, text, streams[0])
        found, streams[1] = graph(pixels, text, streams[1])
        score = max(score, _difference(expected.scores, found.scores))
        logits = max(logits, _difference(expected.low_res, found.low_res))
        memory = max(memory, _memory_difference(*streams))
        iou = min(iou, _smallest_iou(expected.masks, found.masks))
        masks += int((expected.masks | found.masks).any(dim=(1, 2)).sum())
        count += 1
    return GraphErrors(count, score, logits, memory, iou, masks)


def _difference(one: Tensor, two: Tensor) -> float:
    """Largest of all; infinite where one of them is no number."""
    return float((one - two).abs().nan_to_num(nan=float("inf")).max())


def _memory_difference(one: StreamState, two: StreamState) -> float:
    """Largest difference of two states, whose tensors with values above one are scaled to one."""
    return max(_difference(a.float(), b.float()) / max(1.0, float(a.abs().max()))
               for a, b in zip(one.tensors, two.tensors, strict=True))


def _smallest_iou(one: Tensor, two: Tensor) -> float:
    """Of bool [R, H, W]; two empty masks agree."""
    union = (one | two).flatten(1).sum(dim=1)
    both = (one & two).flatten(1).sum(dim=1)
    return float(torch.where(union > 0, both / union.clamp(min=1), 1.0).min())
