"""Hierarchical Selective Attention: each pixel looks at its cell in all frames in sight.

Paper section 3.2; official counterpart: models/CMT_adapter.py; docs/model.md, 1.7. Two ways with
one result: over frames at hand (clips, training), and over a ring of earlier frames (stream mode,
`model.context_ring`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.constants import constant
from samwise_ros.model.context_ring import LONGEST, ContextRing, Sight, write
from samwise_ros.model.matrices import Matrix, projections
from samwise_ros.model.precision import full_precision

_PART = 1 << 19  # numbers in the keys of cells that are attended to at once


@dataclass(frozen=True)
class _RingParts:
    """Constants of HSA through a ring, LayerNorm folded in; M codes, centred like what they meet.

    Attributes:
        time_codes: [M, D] as they are. time: [M, D], place: [P*P, D] centred.
        matrix: [2D, D] of keys and values. mapped_time: [M, 2D], mapped_place: [P*P, 2D].
        out: [D, D] what follows the attention, with the bias that values lack.
    """

    time_codes: Tensor
    time: Tensor
    place: Tensor
    matrix: Matrix
    mapped_time: Tensor
    mapped_place: Tensor
    out: Matrix


class _HsaBlock(nn.Module):
    """Self-attention of HSA and its output projection (official names `hsa.*`)."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, num_heads)
        self.linear = nn.Linear(dim, dim)
        self.dropout = dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None,
                out: Matrix | None = None) -> Tensor:
        """Attention and what follows it, on projected tokens.

        Args:
            query: [M, Lq, D]. key, value: [M, Lk, D].
            seen: bool [M, Lk] keys that may be attended to, or None: all.
            out: From `make_out`, where values lack something.

        Returns:
            [M, Lq, D].
        """
        q, k, v = (x.unflatten(-1, (self.self_attn.num_heads, -1)).transpose(1, 2)
                   for x in (query, key, value))
        mask = None if seen is None else seen[:, None, None]
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0)
        out = out or constant(self, "out", self.out_sources(), self.make_out)
        return out(mixed.transpose(1, 2).flatten(2))

    def make_out(self, value_bias: Tensor | None = None) -> Matrix:
        """Both linear layers after the attention. `value_bias`: [D] what its values lacked."""
        inner, outer = self.self_attn.out_proj, self.linear
        bias = inner.bias if value_bias is None else inner.bias + inner.weight @ value_bias
        return Matrix(outer.weight @ inner.weight, outer.bias + outer.weight @ bias)

    def out_sources(self) -> tuple[Tensor, ...]:
        """The weights behind `make_out`."""
        inner, outer = self.self_attn.out_proj, self.linear
        return inner.weight, inner.bias, outer.weight, outer.bias


def time_code(frames: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Sine code [T, dim] of the positions 1..T, normalised by T (docs/model.md, 1.7).

    Args:
        frames: T. dim: Number of channels, even.

    Channel 2j is the sine, 2j+1 the cosine.
    """
    positions = torch.arange(1, frames + 1, dtype=torch.float32, device=device)
    angle = positions / (frames + 1e-6) * (2 * math.pi)
    j = torch.arange(dim, dtype=torch.float32, device=device)
    phase = angle[:, None] / (10000 ** (2 * torch.div(j, 2, rounding_mode="floor") / dim))
    return torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=2).flatten(1)


def _parts(cells: int, numbers: int, device: torch.device) -> list[slice]:
    """Cells in parts whose keys and values stay in a CPU's cache on the way to the attention.

    Args:
        cells: Of a map. numbers: In the keys of one.
        device: Elsewhere than on a CPU, and in a graph, they are one part.
    """
    whole = device.type != "cpu" or torch.compiler.is_compiling()
    size = cells if whole else max(1, _PART // numbers)
    return [slice(start, start + size) for start in range(0, cells, size)]


def all_time_codes(longest: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Codes [M, dim] of all positions in clips of 1 to `longest` frames, one clip after another."""
    return torch.cat([time_code(frames, dim, device) for frames in range(1, longest + 1)])


class LooksBack(nn.Module):
    """What an adapter does over time; its parameters have the official names.

    Args:
        dim: D, width of projected frames.
        patch_side: Of the cells.
    """

    hsa: _HsaBlock

    def __init__(self, dim: int, patch_side: int) -> None:
        super().__init__()
        self.dim = dim
        self.patch_side = patch_side
        self.use_hsa = False

    def add_hsa(self, num_heads: int) -> None:
        """Give the adapter HSA's weights; without them a frame sees itself only."""
        self.use_hsa = True
        self.hsa = _HsaBlock(self.dim, num_heads, dropout=0.1)
        self.norm_pre_HSA = nn.LayerNorm(self.dim)
        self.spatial_pos_embed = nn.Parameter(torch.zeros(1, 1, 1, self.patch_side**2, self.dim))
        nn.init.trunc_normal_(self.spatial_pos_embed, std=0.02)

    def attend_time(self, seen: Tensor, asking: int) -> Tensor:
        """HSA: every pixel attends to its cell in all frames in sight (docs/model.md, 1.7).

        Args:
            seen: [B, T, h, w, D] projected frames; they carry the time codes 1..T.
            asking: The last so many ask.

        Returns:
            [B, asking, h, w, D], the frames that ask with HSA's result added.
        """
        present = seen[:, -asking:]
        if not self.use_hsa:
            return present
        times = time_code(seen.shape[1], self.dim, seen.device)
        code = times[:, None] + self.spatial_pos_embed[0, 0]
        tokens = self.norm_pre_HSA(self._to_cells(seen) + code)
        mixed = self.hsa(*(project(part).flatten(0, 1).flatten(1, 2) for part, project in zip(
            (tokens[:, :, -asking:], tokens, tokens), projections(self.hsa.self_attn),
            strict=True)))
        batch, _, height, width, _ = seen.shape
        return present + self._from_cells(mixed, (batch, asking, height, width))

    def new_ring(self, rows: int, slots: int, grid: tuple[int, int],
                 like: Tensor) -> ContextRing:
        """An empty ring.

        Args:
            rows, slots: B and S. grid: (h, w) of the adapter's map.
            like: Gives device and type.
        """
        height, width = grid
        frames = like.new_zeros(rows, slots, height, width, self.dim)
        if not self.use_hsa:
            return ContextRing(frames)
        pixels = self.patch_side ** 2
        shape = (rows, height * width // pixels, slots, pixels)
        codes = LONGEST * (LONGEST + 1) // 2
        return ContextRing(frames, like.new_zeros(*shape, 2 * self.dim),
                           like.new_zeros(*shape, codes, dtype=torch.float32))

    def _ring_parts(self) -> _RingParts:
        norm, mha, place, dim = (self.norm_pre_HSA, self.hsa.self_attn, self.spatial_pos_embed,
                                 self.dim)

        def make() -> _RingParts:
            codes = all_time_codes(LONGEST, dim, place.device)
            weight = mha.in_proj_weight[dim:]
            matrix = weight * norm.weight
            times, places = (x - x.mean(dim=-1, keepdim=True) for x in (codes, place[0, 0]))
            bias = F.linear(norm.bias, weight, mha.in_proj_bias[dim:])
            return _RingParts(codes, times, places, Matrix(matrix), F.linear(times, matrix),
                              F.linear(places, matrix), self.hsa.make_out(bias[dim:]))

        sources = (mha.in_proj_weight, mha.in_proj_bias, norm.weight, norm.bias, place,
                   *self.hsa.out_sources())
        return constant(self, "ring", sources, make)

    def remember(self, ring: ContextRing, x: Tensor, slot: Tensor) -> ContextRing:
        """The ring with a newest frame [B, 1, h, w, D]."""
        frames = write(ring.frames, 1, slot, x)
        if ring.mapped is None or ring.scale is None:
            return ContextRing(frames)
        folded = self._ring_parts()
        cells = self._to_cells(x).float()  # a mean that is rounded would stay in the difference
        centred = cells - cells.mean(dim=-1, keepdim=True)
        return ContextRing(frames, write(ring.mapped, 2, slot, folded.matrix(centred)),
                           write(ring.scale, 2, slot, self._scale(centred)))

    def _scale(self, centred: Tensor) -> Tensor:
        """1 / standard deviation of x + code for all codes: [.., P*P, D] -> [.., P*P, codes]."""
        folded = self._ring_parts()
        with full_precision(centred.device):
            centred, time = centred.float(), folded.time
            own = (centred + folded.place).square().mean(dim=-1, keepdim=True)
            cross = F.linear(centred, time * (2 / self.dim))
            both = (folded.place @ time.t()) * (2 / self.dim) + time.square().mean(dim=-1)
            return torch.rsqrt((own + cross + both).clamp(min=0) + self.norm_pre_HSA.eps)

    def attend_ring(self, x: Tensor, ring: ContextRing, sight: Sight) -> Tensor:
        """HSA of a newest frame [B, 1, h, w, D] that the ring already has: [N, 1, h, w, D]."""
        if ring.mapped is None or ring.scale is None:
            return x
        folded = self._ring_parts()
        read = sight.codes.shape[1]
        code = folded.time_codes[sight.newest][:, None] + self.spatial_pos_embed[0, 0]
        now = self.norm_pre_HSA(self._to_cells(x)[:, :, 0] + code[:, None])  # [N, cells, P*P, D]
        query = projections(self.hsa.self_attn)[0](now)
        shape = (*now.shape[:2], read, now.shape[2])
        mapped_code = folded.mapped_time[sight.codes][:, :, None] + folded.mapped_place
        scale = ring.scale[:, :, :read].expand(*shape, -1).gather(
            4, sight.codes[:, None, :, None, None].expand(*shape, 1))
        seen = None if sight.seen is None else sight.seen[:, None, :, None].expand(shape)
        mixed = torch.cat([
            self._attend_cells(query[:, part], ring.mapped[:, part, :read], mapped_code[:, None],
                               scale[:, part], None if seen is None else seen[:, part])
            for part in _parts(shape[1], shape[2] * shape[3] * x.shape[-1], x.device)], dim=1)
        return x + self._from_cells(mixed.flatten(0, 1), (len(now), *x.shape[1:4]))

    def _attend_cells(self, query: Tensor, mapped: Tensor, code: Tensor, scale: Tensor,
                      seen: Tensor | None) -> Tensor:
        """Attention of some cells: [N, cells, P*P, D]; of a ring's slots those that are read."""
        tokens = (mapped + code.to(mapped.dtype)) * scale.to(mapped.dtype)
        key, value = tokens.flatten(0, 1).flatten(1, 2).chunk(2, dim=-1)
        mask = None if seen is None else seen.flatten(0, 1).flatten(1, 2)
        mixed = self.hsa(query.flatten(0, 1), key, value, mask, self._ring_parts().out)
        return mixed.unflatten(0, query.shape[:2])

    def _to_cells(self, x: Tensor) -> Tensor:
        """[B, T, h, w, E] -> [B, cells, T, P*P, E], cells and pixels row-major."""
        batch, frames, height, width, channels = x.shape
        side = self.patch_side
        x = x.view(batch, frames, height // side, side, width // side, side, channels)
        x = x.permute(0, 2, 4, 1, 3, 5, 6)
        return x.reshape(batch, -1, frames, side * side, channels)

    def _from_cells(self, x: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
        """[B*cells, T*P*P, D] -> [B, T, h, w, D]; `shape` is (B, T, h, w)."""
        batch, frames, height, width = shape
        side = self.patch_side
        x = x.view(batch, height // side, width // side, frames, side, side, -1)
        return x.permute(0, 3, 1, 4, 2, 5, 6).reshape(*shape, -1)
