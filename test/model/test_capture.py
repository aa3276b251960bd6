"""A step can be captured: no graph breaks, no wait for the device, constant shapes."""

from collections.abc import Callable

import pytest
import torch
from model_builders import MICRO, make_model, pixels_of, set_object_score
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from samwise_ros.config import ModelConfig
from samwise_ros.model.features import CausalContext, extend_context
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, Tokens

pytestmark = pytest.mark.usefixtures("one_thread")
State = tuple[Tensor, ...]
CONFIGS = {"full": MICRO, "no cme": MICRO.replace(cme={"enabled": False}),
           "conv stem": MICRO.replace(hiera={"stem": "conv"}),
           "two adapters": MICRO.replace(
               cmt={"fusion_stages": (2, 3), "hsa_patch_sides": (4, 2)},
               text={"fusion_layers": (1, 2)})}


def text_of(model: SamwiseModel, rows: int) -> TextState:
    ids = torch.tensor([[0, 33, 44, 2]] * rows)
    return model.encode_text(Tokens(ids, torch.ones_like(ids, dtype=torch.bool)))


def make_step(model: SamwiseModel, text: TextState) -> Callable[[Tensor, State], tuple]:
    """One whole frame as a pure function of tensors: pixels and state in, answer and state out."""
    rows = len(text.mask)

    def step(pixels: Tensor, state: State) -> tuple[State, State]:
        spatial, pointers, shared, *contexts = state
        bank = MemoryBank(spatial, pointers, 15)
        old = CausalContext((shared,), tuple(contexts))
        encoded, new = model.encode(pixels, text, old)
        eligible = None
        if model.config.cme.enabled:
            eligible = torch.ones(rows, dtype=torch.bool, device=pixels.device)
        features = encoded.frame(0)
        out = model.segment_frame(features, bank, eligible)
        memory = model.encode_memory(features.vision, out.memorised)
        bank = bank.append(memory, out.prediction.pointer, model.config.memory)
        context = extend_context(old, new, 7)
        return ((out.high_res, out.prediction.object_score, out.switched),
                (bank.spatial, bank.pointers, *context.shared, *context.rows))

    return step


def full_state(model: SamwiseModel, text: TextState) -> State:
    """State after so many frames that all of it has its final size."""
    pixels = pixels_of(model.config, 1)
    encoded, new = model.encode(pixels, text)
    first = model.segment_frame(encoded.frame(0), MemoryBank())
    memory = model.encode_memory(encoded.frame(0).vision, first.memorised)
    spatial = memory[:, None].repeat(1, 6, 1, 1)
    pointers = first.prediction.pointer[:, None].repeat(1, 15, 1)
    return (spatial, pointers, *(part.repeat(1, 7, 1, 1, 1) for part in (*new.shared, *new.rows)))


class NoSync(TorchDispatchMode):
    """Fails on operations that would make the host wait for a device."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero",
                 "equal.default")

    def __torch_dispatch__(self, func: Callable, types: tuple, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        """Pass the call on unless it is a forbidden one."""
        name = str(func)
        if any(word in name for word in self.FORBIDDEN) or (
                "index.Tensor" in name and any(t is not None and t.dtype == torch.bool
                                               for t in args[1])):
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))


def test_the_guard_catches_what_it_should() -> None:
    x = torch.arange(3.0)
    for sync in (lambda: float(x[0]), lambda: x[x > 1], lambda: torch.nonzero(x),
                 lambda: bool((x > 0).any())):
        with pytest.raises(AssertionError, match="waits"), NoSync():
            sync()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("rows", [1, 2])
def test_a_step_never_waits_for_the_device(config: ModelConfig, rows: int) -> None:
    model = make_model(config)
    text = text_of(model, rows)
    state = full_state(model, text)
    with torch.inference_mode(), NoSync():
        make_step(model, text)(pixels_of(config, 1), state)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_shapes_are_constant_once_the_memory_is_full(config: ModelConfig) -> None:
    model = make_model(config)
    text = text_of(model, 2)
    state, step, seen = full_state(model, text), make_step(model, text), set()
    with torch.inference_mode():
        for seed in range(3):
            seen.add(tuple(part.shape for part in state))
            answer, state = step(pixels_of(config, 1, seed), state)
            seen.add(tuple(part.shape for part in state))
    assert len(seen) == 1 and answer[0].shape == (2, 64, 64)


def test_a_step_is_traced_as_one_graph_with_the_same_result() -> None:
    config = CONFIGS["full"]
    model = make_model(config)
    set_object_score(model, 1.0)
    text = text_of(model, 2)
    state, step = full_state(model, text), make_step(model, text)
    torch._dynamo.reset()
    with torch.no_grad():
        pixels = pixels_of(config, 1, 5)
        expected = step(pixels, state)
        traced = torch.compile(step, backend="eager", fullgraph=True)(pixels, state)
        for one, other in zip((*traced[0], *traced[1]), (*expected[0], *expected[1]),
                              strict=True):
            torch.testing.assert_close(one.float(), other.float(), atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()
