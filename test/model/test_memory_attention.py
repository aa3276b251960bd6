"""Memory attention, rearranged, gives what sam2's own forward gives with the same weights."""

import copy

import pytest
import torch
import torch.nn.functional as F
from model_builders import TINY
from sam2.modeling.position_encoding import compute_axial_cis
from torch import Tensor

from samwise_ros.model import attention, memory_attention
from samwise_ros.model.attention import attend
from samwise_ros.model.memory_attention import attend_memory, rope_table, rotate
from samwise_ros.model.samwise import SamwiseModel

pytestmark = pytest.mark.usefixtures("one_thread")
POINTER_TOKENS = 5 * (TINY.hidden_dim // TINY.memory.dim)


def inputs(rows: int, memories: int, height: int, width: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(rows * 100 + memories)
    tokens = memories * height * width + POINTER_TOKENS
    shapes = {"vision": (rows, TINY.hidden_dim, height, width),
              "position": (1, TINY.hidden_dim, height, width),
              "memory": (rows, tokens, TINY.memory.dim),
              "memory_position": (1, tokens, TINY.memory.dim)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def sam2_forward(model: SamwiseModel, values: dict[str, Tensor]) -> Tensor:
    """The package's own forward, sequence first."""
    vision, rows = values["vision"], values["vision"].shape[0]
    out = model.sam.memory_attention(
        curr=vision.flatten(2).permute(2, 0, 1),
        curr_pos=values["position"].flatten(2).permute(2, 0, 1).expand(-1, rows, -1),
        memory=values["memory"].transpose(0, 1),
        memory_pos=values["memory_position"].transpose(0, 1).expand(-1, rows, -1),
        num_obj_ptr_tokens=POINTER_TOKENS)
    return out.permute(1, 2, 0).unflatten(2, vision.shape[-2:])


@pytest.mark.parametrize(("rows", "memories", "side"), [(1, 1, 8), (2, 6, 8), (1, 3, 20)])
def test_the_result_is_sam2s_on_a_square_grid(
        tiny_model: SamwiseModel, rows: int, memories: int, side: int) -> None:
    values = inputs(rows, memories, side, side)
    ours = attend_memory(tiny_model.sam.memory_attention, *values.values(), POINTER_TOKENS)
    torch.testing.assert_close(ours, sam2_forward(tiny_model, values), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
def test_blocks_of_queries_do_not_change_the_result(
        tiny_model: SamwiseModel, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    values = inputs(2, 2, 8, 8)
    before = attend_memory(tiny_model.sam.memory_attention, *values.values(), POINTER_TOKENS)
    monkeypatch.setattr(attention, "_CHUNK", chunk)
    after = attend_memory(tiny_model.sam.memory_attention, *values.values(), POINTER_TOKENS)
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)


def test_the_path_with_gradients_gives_the_same_result(tiny_model: SamwiseModel) -> None:
    values = inputs(1, 2, 8, 8)
    expected = attend_memory(tiny_model.sam.memory_attention, *values.values(), POINTER_TOKENS)
    values["memory"].requires_grad_(True)
    with_grad = attend_memory(tiny_model.sam.memory_attention, *values.values(), POINTER_TOKENS)
    torch.testing.assert_close(with_grad, expected, atol=1e-5, rtol=1e-5)
    with_grad.sum().backward()
    assert values["memory"].grad.abs().sum() > 0


@pytest.mark.parametrize("widths", [(16, 16), (64, 16), (16, 40)])
def test_attention_takes_values_of_any_width(widths: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, n, widths[0], generator=generator) for n in (300, 50))
    value = torch.randn(2, 50, widths[1], generator=generator)
    expected = F.softmax(query @ key.transpose(1, 2) / widths[0] ** 0.5, dim=-1) @ value
    torch.testing.assert_close(attend(query, key, value), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (9, 16), (16, 9)])
def test_the_rotary_table_is_sam2s(height: int, width: int) -> None:
    expected = compute_axial_cis(TINY.hidden_dim, width, height)
    cos, sin = rope_table(height, width, TINY.hidden_dim, torch.device("cpu"))
    torch.testing.assert_close(cos, expected.real, atol=1e-6, rtol=0)
    torch.testing.assert_close(sin, expected.imag, atol=1e-6, rtol=0)


def test_rotation_uses_each_pixels_own_place_on_a_rectangle(tiny_model: SamwiseModel) -> None:
    """Attention over one pixel's memories is largest where the memory has the pixel's own code."""
    height, width, dim = 3, 5, TINY.hidden_dim
    table = rope_table(height, width, dim, torch.device("cpu"))
    same = torch.randn(1, 1, dim, generator=torch.Generator().manual_seed(0))
    rotated = rotate(same.expand(1, height * width, dim), table)
    scores = rotated[0] @ rotated[0].T
    assert torch.equal(scores.argmax(dim=1), torch.arange(height * width))


def test_a_rectangular_grid_runs_and_keeps_its_shape(tiny_model: SamwiseModel) -> None:
    values = inputs(2, 3, 4, 9)
    out = attend_memory(tiny_model.sam.memory_attention, *values.values(), POINTER_TOKENS)
    assert out.shape == (2, TINY.hidden_dim, 4, 9) and out.isfinite().all()


def test_training_works_after_inference_on_the_same_grid(tiny_model: SamwiseModel) -> None:
    """Constants made in inference mode must not end up in the autograd graph."""
    values = inputs(1, 1, 6, 7)
    rope_table.cache_clear()
    memory_attention._evens_first.cache_clear()
    with torch.inference_mode():
        attend_memory(tiny_model.sam.memory_attention, *values.values(), POINTER_TOKENS)
    module = copy.deepcopy(tiny_model.sam.memory_attention).requires_grad_(True)
    values["vision"].requires_grad_(True)
    attend_memory(module, *values.values(), POINTER_TOKENS).sum().backward()
    assert values["vision"].grad.isfinite().all()
    assert module.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
