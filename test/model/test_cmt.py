"""The adapter against a literal reading of docs/model.md, 1.6 and 1.7: nothing fused, nothing
folded, torch's own attention and BatchNorm, loops over cells."""

import math

import pytest
import torch
from model_builders import TINY
from torch import Tensor

from samwise_ros.model.cmt import CmtAdapter, fused_attention
from samwise_ros.model.context_ring import RingView, look_at
from samwise_ros.model.hsa import time_code
from samwise_ros.model.samwise import SamwiseModel

pytestmark = pytest.mark.usefixtures("one_thread")


def literal_code(frames: int, dim: int) -> Tensor:
    code = torch.zeros(frames, dim)
    for k in range(1, frames + 1):
        angle = k / (frames + 1e-6) * 2 * math.pi
        for j in range(dim // 2):
            frequency = 10000 ** (2 * (2 * j // 2) / dim)
            code[k - 1, 2 * j] = math.sin(angle / frequency)
            frequency = 10000 ** (2 * ((2 * j + 1) // 2) / dim)
            code[k - 1, 2 * j + 1] = math.cos(angle / frequency)
    return code


def literal_down(adapter: CmtAdapter, v: Tensor) -> Tensor:
    """[T, h, w, C] -> [T, h, w, D] through the modules themselves."""
    return adapter.proj_vis_down(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def literal_hsa(adapter: CmtAdapter, x: Tensor) -> Tensor:
    """x + HSA(x) of one clip [T, h, w, D], cell by cell."""
    frames, height, width, dim = x.shape
    side, out = adapter.patch_side, x.clone()
    code = literal_code(frames, dim)
    for top in range(0, height, side):
        for left in range(0, width, side):
            window = (slice(None), slice(top, top + side), slice(left, left + side))
            cell = x[window].reshape(frames, side * side, dim)
            cell = cell + code[:, None] + adapter.spatial_pos_embed[0, 0]
            sequence = adapter.norm_pre_HSA(cell.reshape(-1, 1, dim))  # [(T*P*P), 1, D]
            mixed, _ = adapter.hsa.self_attn(sequence, sequence, sequence)
            mixed = adapter.hsa.linear(mixed).reshape(frames, side, side, dim)
            out[window] = out[window] + mixed
    return out


def literal_fuse(adapter: CmtAdapter, x: Tensor, a: Tensor,
                 text: Tensor) -> tuple[Tensor, Tensor]:
    """Steps 2, 4, 5, 6, 7 for one clip: x, a [T, h, w, D], text [L, Dt] -> dv, dt."""
    frames, dim = x.shape[0], x.shape[-1]
    s = adapter.proj_text_down(text)[:, None]  # [L, 1, D]
    flat = a.reshape(frames, -1, dim).transpose(0, 1)  # [hw, T, D]
    repeated = s.repeat_interleave(frames, dim=1)
    injected = flat * adapter.ca_V2T.multihead_attn(flat, repeated, repeated)[0]
    m = x.mean(dim=0).reshape(-1, 1, dim)  # [hw, 1, D]
    s = s * adapter.ca_T2V.multihead_attn(s, m, m)[0]
    injected = injected.transpose(0, 1).reshape(a.shape).permute(0, 3, 1, 2)
    dv = adapter.proj_vis_up(injected).permute(0, 2, 3, 1)
    return dv, adapter.proj_text_up(s[:, 0])


def maps(adapter: CmtAdapter, frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    channels = adapter.proj_vis_down[0].in_channels
    return torch.randn(frames, height, width, channels, generator=generator)


@pytest.mark.parametrize("frames", [1, 2, 7, 8])
def test_time_codes_are_normalised_by_the_number_of_frames(frames: int) -> None:
    code = time_code(frames, 32)
    torch.testing.assert_close(code, literal_code(frames, 32), atol=1e-5, rtol=0)


def test_the_same_position_gets_another_code_in_a_shorter_clip() -> None:
    assert not torch.allclose(time_code(4, 32)[0], time_code(8, 32)[0], atol=1e-2)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("grid", [(16, 16), (8, 24)])
def test_projection_hsa_and_fusion_follow_the_official_code(
        tiny_model: SamwiseModel, index: int, grid: tuple[int, int]) -> None:
    adapter = tiny_model.cmt_adapters[index]
    v = maps(adapter, 3, *grid)
    text = torch.randn(5, TINY.text.hidden_size, generator=torch.Generator().manual_seed(1))
    x = adapter.project_down(v)
    expected_x = literal_down(adapter, v)
    torch.testing.assert_close(x, expected_x, atol=1e-5, rtol=1e-5)
    a = adapter.attend_time(x[None], 3)
    expected_a = literal_hsa(adapter, expected_x)
    torch.testing.assert_close(a[0], expected_a, atol=1e-5, rtol=1e-5)
    _, _, mean = adapter.look_back(v[None], None)
    mask = torch.ones(1, 5, dtype=torch.bool)
    dv, dt = adapter.fuse(a, mean, text[None], mask)
    expected_dv, expected_dt = literal_fuse(adapter, expected_x, expected_a, text)
    torch.testing.assert_close(dv[0], expected_dv, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(dt[0], expected_dt, atol=1e-5, rtol=1e-4)
    assert (dv >= 0).all() and dv.abs().max() > 0.01
    whole = adapter(v[None], text[None], mask)
    for one, part in zip(whole, (dv, dt, x[None]), strict=True):
        assert torch.equal(one, part)


@pytest.mark.parametrize("index", [0, 2])
def test_the_newest_frame_over_kept_frames_equals_the_last_of_a_clip(
        tiny_model: SamwiseModel, index: int) -> None:
    adapter = tiny_model.cmt_adapters[index]
    frames = adapter.project_down(maps(adapter, 6, 8, 8))[None]
    clip = adapter.attend_time(frames, 6)
    alone = adapter.attend_time(frames, 1)
    torch.testing.assert_close(alone[:, 0], clip[:, 5], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("slots", [1, 3, 8])
def test_a_ring_gives_what_its_frames_give(tiny_model: SamwiseModel, index: int,
                                           slots: int) -> None:
    """Rows of every age, before the ring is full and after it has gone round."""
    adapter = tiny_model.cmt_adapters[index]
    v = maps(adapter, 11, 8, 16)[None]
    x = adapter.project_down(v[0])[None]
    ring = adapter.new_ring(1, slots, (8, 16), x)
    for t in range(11):
        ages = torch.arange(t + 1)
        sight = look_at(torch.tensor([t]), ages, slots, slots, even=False)
        ring, attended, mean = adapter.look_back(v[:, t : t + 1], RingView(ring, sight))
        for age in ages.tolist():
            seen = x[:, t - min(age, slots - 1) : t + 1]
            torch.testing.assert_close(attended[age : age + 1], adapter.attend_time(seen, 1),
                                       atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(mean[age : age + 1], seen.mean(dim=1), atol=1e-6, rtol=1e-5)
        if t + 1 >= slots:
            even = look_at(torch.tensor([t]), ages[-1:], slots, slots, even=True)
            _, again, _ = adapter.look_back(v[:, t : t + 1], RingView(ring, even))
            torch.testing.assert_close(again, attended[-1:], atol=1e-6, rtol=1e-5)


def test_a_cell_sees_no_other_cell(tiny_model: SamwiseModel) -> None:
    adapter = tiny_model.cmt_adapters[0]
    side = adapter.patch_side
    x = adapter.project_down(maps(adapter, 2, 2 * side, 3 * side))[None]
    other = x.clone()
    other[:, :, :side, side : 2 * side] += 1.0
    one, two = (adapter.attend_time(each, 2) for each in (x, other))
    same = torch.isclose(one, two, atol=1e-6).all(dim=-1)[0, 0]
    assert not same[:side, side : 2 * side].any()
    same[:side, side : 2 * side] = True
    assert same.all()


def test_pad_tokens_change_nothing(tiny_model: SamwiseModel) -> None:
    adapter = tiny_model.cmt_adapters[1]
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(1, 2, 4, 4, TINY.cmt.dim, generator=generator)
    text = torch.randn(1, 4, TINY.text.hidden_size, generator=generator)
    padded = torch.cat((text, torch.full((1, 3, TINY.text.hidden_size), 9.0)), dim=1)
    mask = torch.arange(7)[None] < 4
    dv, dt = adapter.fuse(a, a[:, 0], text, mask[:, :4])
    other_dv, other_dt = adapter.fuse(a, a[:, 0], padded, mask)
    torch.testing.assert_close(other_dv, dv, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(other_dt[:, :4], dt, atol=1e-6, rtol=1e-5)


def test_fused_attention_equals_torchs_with_a_mask(tiny_model: SamwiseModel) -> None:
    mha = tiny_model.cmt_adapters[0].ca_V2T.multihead_attn
    generator = torch.Generator().manual_seed(4)
    query, key = (torch.randn(2, length, TINY.cmt.dim, generator=generator)
                  for length in (9, 5))
    keep = torch.tensor([[True] * 5, [True, True, False, False, False]])
    expected, _ = mha(*(x.transpose(0, 1) for x in (query, key, key)), key_padding_mask=~keep)
    torch.testing.assert_close(fused_attention(mha, query, key, key, keep),
                               expected.transpose(0, 1), atol=1e-5, rtol=1e-5)


def test_batchnorm_uses_batch_statistics_in_training_only(tiny_model: SamwiseModel) -> None:
    adapter = CmtAdapter(TINY.cmt, 24, TINY.text.hidden_size, 4)
    v = torch.randn(2, 4, 4, 24) * 3 + 1
    trained = adapter.train().project_down(v)
    expected = adapter.proj_vis_down(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(trained, expected, atol=1e-5, rtol=1e-5)
    assert adapter.proj_vis_down[1].num_batches_tracked == 2
    evaluated = adapter.eval().project_down(v)
    assert not torch.allclose(evaluated, trained, atol=1e-2)


@pytest.mark.parametrize("index", [0, 2])
def test_in_bf16_a_large_mean_costs_hsa_no_bits(tiny_model: SamwiseModel, index: int) -> None:
    """LayerNorm takes means out; what is computed before it must not round them into the result."""
    adapter, found = tiny_model.cmt_adapters[index], []
    generator = torch.Generator().manual_seed(7)
    x = (64 + 4 * torch.randn(1, 6, 8, 8, TINY.cmt.dim, generator=generator)).bfloat16()
    ring = adapter.new_ring(1, 8, (8, 8), x)
    with adapter.hsa.register_forward_hook(lambda *args: found.append(args[2].float())), \
            torch.no_grad():
        for t in range(6):
            sight = look_at(torch.tensor([t]), torch.tensor([t]), 8, 8, even=False)
            with torch.autocast("cpu", torch.bfloat16):
                ring = adapter.remember(ring, x[:, t : t + 1], sight.slot)
                adapter.attend_ring(x[:, t : t + 1], ring, sight)
                adapter.attend_time(x[:, : t + 1], 1)
        adapter.attend_time(x.float(), 1)
    through_ring, whole, exact = found[-3:]
    for rough in (through_ring, whole):
        assert (rough - exact).abs().mean() < 0.005 * exact.std()
