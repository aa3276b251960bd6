"""What CUDA allows while a step is captured, checked without a GPU on the meta device."""

from collections.abc import Callable, Iterator

import pytest
import torch
from model_builders import MICRO, make_model
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from samwise_ros.config import SessionConfig
from samwise_ros.engines.flat_step import StepInputs, example_inputs
from samwise_ros.engines.static_step import StaticStep
from samwise_ros.model.checkpoint import load_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.frame_step import FrameStep
from samwise_ros.streaming.image_ops import input_size
from samwise_ros.streaming.steps import StepShape

CONFIGS = {"micro": MICRO, "motion": MICRO.replace(
    motion_lag=2, cmt={"fusion_stages": (2, 3), "hsa_patch_sides": (4, 2)},
    text={"fusion_layers": (1, 3)})}


class NothingFromTheHost(TorchDispatchMode):
    """Fails where a tensor of the host is read for one of the device: a capture refuses that."""

    def __torch_dispatch__(self, func: Callable, types: tuple, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        """Run the operation and look at what went in and came out."""
        result = func(*args, **(kwargs or {}))
        devices = [{leaf.device.type for leaf in pytree.tree_leaves(part)
                    if isinstance(leaf, torch.Tensor)} for part in ((args, kwargs), result)]
        assert not ("cpu" in devices[0] and "meta" in devices[1]), f"{func} reads from the host"
        return result


def on_meta(model: SamwiseModel) -> tuple[FrameStep, StepInputs]:
    """A step of two rows and its inputs, all on the meta device, once run."""
    size = input_size((96, 128), model.config.image_size, model.config.fit)
    inputs = example_inputs(model, StepShape(size, 2, 16), SessionConfig())
    inputs = pytree.tree_map(lambda tensor: tensor.to("meta"), inputs)
    step = FrameStep(model.to("meta"), size, SessionConfig())
    with torch.no_grad():
        step(*inputs)  # makes the tables, as the runs before a capture do
    return step, inputs


def models(tokenizer: ExpressionTokenizer) -> Iterator[SamwiseModel]:
    yield from (make_model(config, tokenizer) for config in CONFIGS.values())
    yield load_model("nano", device="cpu")


def test_a_step_reads_nothing_from_the_host(tiny_tokenizer: ExpressionTokenizer) -> None:
    for model in models(tiny_tokenizer):
        step, inputs = on_meta(model)
        with torch.no_grad(), NothingFromTheHost():
            step(*inputs)


def test_the_guard_notices_what_a_capture_refuses() -> None:
    with NothingFromTheHost(), pytest.raises(AssertionError, match="reads from the host"):
        torch.tensor([1.0, 2.0], device="cpu").to("meta")


def test_the_buffers_of_a_step_are_written_in_place(tiny_tokenizer: ExpressionTokenizer) -> None:
    """Rings come back as the tensors they were: a captured graph finds them in the next frame."""
    model = make_model(CONFIGS["motion"], tiny_tokenizer)
    size = input_size((96, 128), model.config.image_size, model.config.fit)
    inputs = example_inputs(model, StepShape(size, 2, 16), SessionConfig())
    step = StaticStep(lambda held: FrameStep(model, size, SessionConfig())(*held), inputs)
    _, state = step(*example_inputs(model, StepShape(size, 2, 16), SessionConfig()))
    for name in ("spatial", "pointers"):
        assert getattr(state, name) is getattr(inputs.state, name)
    for ring, held in zip((*state.shared, *state.rows),
                          (*inputs.state.shared, *inputs.state.rows), strict=True):
        assert all(one is two for one, two in zip(ring.parts, held.parts, strict=True))
