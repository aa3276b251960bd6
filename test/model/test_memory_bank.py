"""Pruning is exact: the bounded bank answers as a bank that keeps everything."""

import pytest
import torch
from model_builders import TINY, pixels_of

from samwise_ros.config import MemoryConfig
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel

pytestmark = pytest.mark.usefixtures("one_thread")


def grown(frames: int, config: MemoryConfig, rows: int = 2) -> MemoryBank:
    bank = MemoryBank()
    for t in range(frames):
        bank = bank.append(torch.full((rows, 4, 3), float(t)), torch.full((rows, 6), float(t)),
                           config)
    return bank


@pytest.mark.parametrize("frames", [0, 1, 5, 6, 7, 15, 16, 40])
def test_it_keeps_the_newest_six_memories_and_fifteen_pointers(frames: int) -> None:
    bank = grown(frames, MemoryConfig())
    assert bank.age == frames and bank.is_empty == (frames == 0)
    if frames:
        newest = list(map(float, range(frames)))
        assert bank.spatial[0, :, 0, 0].tolist() == newest[-6:]
        assert bank.pointers[0, :, 0].tolist() == newest[-15:][::-1]


@pytest.mark.parametrize(("spatial", "pointers"), [(1, 1), (6, 2), (2, 15), (0, 0)])
def test_other_bounds_hold_too(spatial: int, pointers: int) -> None:
    bank = grown(20, MemoryConfig(num_spatial=spatial, num_pointers=pointers))
    if spatial == 0:
        assert bank.is_empty and bank.age == 20
        return
    assert bank.spatial.shape[1] == spatial and bank.pointers.shape[1] == pointers


def test_appending_leaves_the_old_bank_alone() -> None:
    bank = grown(3, MemoryConfig())
    before = bank.spatial.clone(), bank.pointers.clone()
    bank.append(torch.ones(2, 4, 3), torch.ones(2, 6), MemoryConfig())
    assert torch.equal(bank.spatial, before[0]) and torch.equal(bank.pointers, before[1])


def literal_memory(model: SamwiseModel, kept: dict[int, tuple], t: int,
                   side: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Tokens, positions, number of pointer tokens (docs/model.md, 2.1); the bank keeps
    everything."""
    sam, dim = model.sam, model.config.memory.dim
    sine = sam.memory_encoder.position_encoding(torch.empty(1, dim, side, side))
    sine = sine.flatten(2).permute(2, 0, 1)  # [hw, 1, Cm]
    tokens, positions = [], []
    for age in range(6, 0, -1):
        if t - age in kept:
            tokens.append(kept[t - age][0].transpose(0, 1))
            positions.append(sine + sam.maskmem_tpos_enc[age - 1].reshape(1, 1, dim))
    pointers = [kept[t - age][1] for age in range(1, min(t, 15) + 1)]
    split = torch.cat([p.reshape(1, -1, dim).transpose(0, 1) for p in pointers])
    tokens.append(split)
    positions.append(torch.zeros(split.shape[0], 1, dim))
    return torch.cat(tokens), torch.cat(positions), split.shape[0]


@pytest.mark.parametrize("t", [1, 4, 6, 7, 15, 16, 20])
def test_reading_the_bounded_bank_equals_reading_a_bank_that_keeps_everything(
        tiny_model: SamwiseModel, t: int) -> None:
    """sam2's own forward, on tokens put together as the official code does from all frames."""
    side, generator = TINY.image_size // 16, torch.Generator().manual_seed(t)
    kept, bank = {}, MemoryBank()
    for frame in range(t):
        memory = torch.randn(1, side * side, TINY.memory.dim, generator=generator)
        pointer = torch.randn(1, TINY.hidden_dim, generator=generator)
        kept[frame] = (memory, pointer)
        bank = bank.append(memory, pointer, TINY.memory)
    vision = torch.randn(1, TINY.hidden_dim, side, side, generator=generator)
    tokens, positions, count = literal_memory(tiny_model, kept, t, side)
    code = tiny_model.sam.image_encoder.neck.position_encoding(vision)
    expected = tiny_model.sam.memory_attention(
        curr=vision.flatten(2).permute(2, 0, 1), curr_pos=code.flatten(2).permute(2, 0, 1),
        memory=tokens, memory_pos=positions, num_obj_ptr_tokens=count)
    ours = tiny_model._read_memory(vision, bank)
    torch.testing.assert_close(ours.flatten(2).permute(2, 0, 1), expected, atol=1e-5, rtol=1e-5)


def test_the_spatial_memory_is_sam2s(tiny_model: SamwiseModel) -> None:
    vision = pixels_of(TINY, 1)[0, :, :1, :8, :8].expand(1, TINY.hidden_dim, 8, 8)
    high = torch.randn(1, 128, 128, generator=torch.Generator().manual_seed(0)) * 5
    expected = tiny_model.sam.memory_encoder(
        vision, torch.sigmoid(high)[:, None] * 20 - 10, skip_mask_sigmoid=True)
    ours = tiny_model.encode_memory(vision, high)
    torch.testing.assert_close(ours, expected["vision_features"].flatten(2).transpose(1, 2))
