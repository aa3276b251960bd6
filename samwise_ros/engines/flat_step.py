"""A step as a function of named tensors, which is what graphs, and those who load them, know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_structure, tree_unflatten

from samwise_ros.config import SessionConfig
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, stack_text
from samwise_ros.streaming.frame_step import Answer, FrameStep
from samwise_ros.streaming.steps import StepShape
from samwise_ros.streaming.stream_state import StreamState, start_state
from samwise_ros.structures import SamwiseError


class StepInputs(NamedTuple):
    """What a step takes: see `FrameStep.forward`."""

    pixels: Tensor
    text: TextState
    state: StreamState


def example_inputs(model: SamwiseModel, shape: StepShape, config: SessionConfig,
                   dtype: torch.dtype = torch.float32) -> StepInputs:
    """The inputs of a first frame, black, with one sentence and blank rows.

    Args:
        model: On whose device they are. shape: What the step is made for.
        config: Gives the number of context frames. dtype: Of projected frames.
    """
    with torch.inference_mode(False), torch.no_grad():  # as tensors that can be written to later
        pixels = torch.zeros(3, *shape.size.padded, device=model.device)
        text = stack_text([model.encode_text(model.tokenizer(["the target"]))], shape.rows,
                          shape.tokens)
        return StepInputs(pixels, text, start_state(
            model, pixels, shape.rows, config.context_frames, dtype))


def named_tensors(record: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a record of records, with dotted names, in the order of their fields."""
    if isinstance(record, Tensor):
        yield name, record
    elif is_dataclass(record):
        for field in fields(record):
            yield from named_tensors(getattr(record, field.name), f"{name}.{field.name}")
    elif isinstance(record, tuple):
        for index, part in enumerate(record):
            yield from named_tensors(part, f"{name}.{index}")


class FlatStep(nn.Module):
    """A step whose inputs and outputs are tensors in a row.

    Args:
        step: In eval mode.
        inputs: An example; shapes are those of the graph.

    Attributes:
        input_names: "pixels", "text.hidden", "state.clock", "state.shared.0.frames", ...
        output_names: "answer.masks", ..., and the state's names with "next" for "state".
    """

    def __init__(self, step: FrameStep, inputs: StepInputs) -> None:
        super().__init__()
        self.step = step
        self._spec = tree_structure(inputs)
        self.input_names = [name for name, _ in named_inputs(inputs)]
        self.output_names = [f"answer.{field.name}" for field in fields(Answer)] + [
            name for name, _ in named_tensors(inputs.state, "next")]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors in the order of `input_names` -> tensors in the order of `output_names`."""
        answer, after = self.step(*tree_unflatten(tensors, self._spec))
        return tuple(tensor for record in (answer, after)
                     for _, tensor in named_tensors(record, ""))


def named_inputs(inputs: StepInputs) -> list[tuple[str, Tensor]]:
    """The tensors of a step's inputs with their names."""
    return [pair for name, record in zip(inputs._fields, inputs, strict=True)
            for pair in named_tensors(record, name)]


def check_shapes(given: StepInputs, made_for: StepInputs) -> None:
    """Raise SamwiseError when a tensor has another shape than that of the example."""
    for (name, tensor), (_, example) in zip(named_inputs(given), named_inputs(made_for),
                                            strict=True):
        if tensor.shape != example.shape:
            raise SamwiseError(f"the step takes {name} of shape {list(example.shape)}, not "
                               f"{list(tensor.shape)}: it was made for another size or number "
                               "of targets")


def read_outputs(state: StreamState, tensors: Iterator[Tensor]) -> tuple[Answer, StreamState]:
    """Records of a graph's outputs, for a state that was its input."""
    answer = Answer(*(next(tensors) for _ in fields(Answer)))
    return answer, tree_unflatten(tensors, tree_structure(state))
