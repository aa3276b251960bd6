"""Cross-Modal Temporal adapter with Hierarchical Selective Attention (paper section 3.2).

Official counterpart: models/CMT_adapter.py and models/layers.py. Differences in form, not in
result: maps are channels-last, BatchNorm folds into the 1x1 projections in eval mode, attention is
fused, and pad tokens are masked so that rows of one batch do not see each other's length.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import CmtConfig
from samwise_ros.model.constants import constant


def fused_attention(mha: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor,
                    key_mask: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Multi-head attention with the weights of `mha`, never materialising attention maps.

    Args:
        mha: Holds the parameters.
        query: [B, Lq, D]. key, value: [B, Lk, D].
        key_mask: bool [B, Lk], True for keys that may be attended to.
        dropout: Probability on the attention weights (training only).

    Returns:
        [B, Lq, D].
    """
    weights = mha.in_proj_weight.chunk(3)
    biases = mha.in_proj_bias.chunk(3)
    q, k, v = (F.linear(x, w, b).unflatten(-1, (mha.num_heads, -1)).transpose(1, 2)
               for x, w, b in zip((query, key, value), weights, biases, strict=True))
    mask = None if key_mask is None else key_mask[:, None, None, :]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return mha.out_proj(out.transpose(1, 2).flatten(2))


class _Attention(nn.Module):
    """Keeps the official parameter names `….multihead_attn.*`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(dim, num_heads)


class _HsaBlock(nn.Module):
    """Self-attention of HSA and its output projection (official names `hsa.*`)."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, num_heads)
        self.linear = nn.Linear(dim, dim)
        self.dropout = dropout

    def project_query(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        mha, dim = self.self_attn, x.shape[-1]
        return F.linear(x, mha.in_proj_weight[:dim], mha.in_proj_bias[:dim])

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Projected queries [M, Lq, D], keys and values [M, Lk, D] -> [M, Lq, D]."""
        q, k, v = (x.unflatten(-1, (self.self_attn.num_heads, -1)).transpose(1, 2)
                   for x in (query, key, value))
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.linear(self.self_attn.out_proj(out.transpose(1, 2).flatten(2)))


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


def _fold(block: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Matrix [out, in] and bias of a bias-free 1x1 convolution followed by eval BatchNorm."""
    conv: Any = block[0]
    norm: Any = block[1]

    def make() -> tuple[Tensor, Tensor]:
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return _matrix(conv) * scale[:, None], norm.bias - norm.running_mean * scale

    sources = (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return constant(block, "folded", sources, make)


def _matrix(conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """[out, in] of a 1x1 convolution; transposed ones store [in, out]."""
    weight = conv.weight.flatten(1)
    return weight.t() if isinstance(conv, nn.ConvTranspose2d) else weight


class CmtAdapter(nn.Module):
    """One adapter between an image stage and a text layer.

    Args:
        config: Widths.
        channels: Of the stage. text_dim: Of the layer.
        patch_side: Of HSA's cells.
        narrow: Channels to which the map is narrowed first, with dropout; 0: it is read as it is.
        matches: Channels of the similarity maps that are added after HSA; 0: there are none.
    """

    def __init__(self, config: CmtConfig, channels: int, text_dim: int, patch_side: int,
                 narrow: int = 0, matches: int = 0) -> None:
        super().__init__()
        self.dim = dim = config.dim
        self.patch_side = patch_side
        self.use_hsa = config.hsa
        self.narrow = nn.Sequential(nn.Linear(channels, narrow), nn.Dropout(config.dropout)
                                    ) if narrow else None
        self.proj_match = nn.Linear(matches, dim) if matches else None
        self.proj_vis_down: Any = nn.Sequential(
            nn.Conv2d(narrow or channels, dim, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU())
        self.proj_vis_up: Any = nn.Sequential(
            nn.ConvTranspose2d(dim, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.proj_text_down = nn.Sequential(nn.Linear(text_dim, dim, bias=False))
        self.proj_text_up = nn.Sequential(nn.Linear(dim, text_dim, bias=False))
        self.ca_V2T = _Attention(dim, config.num_heads)
        self.ca_T2V = _Attention(dim, config.num_heads)
        if config.hsa:
            self.hsa = _HsaBlock(dim, config.num_heads, dropout=0.1)
            self.norm_pre_HSA = nn.LayerNorm(dim)
            self.spatial_pos_embed = nn.Parameter(torch.zeros(1, 1, 1, patch_side**2, dim))
            nn.init.trunc_normal_(self.spatial_pos_embed, std=0.02)

    def forward(self, v: Tensor, text: Tensor, mask: Tensor, past: Tensor | None = None,
                ) -> tuple[Tensor, Tensor, Tensor]:
        """The whole adapter on frames of N rows.

        Args:
            v: [N, T, h, w, C] map. text: [N, L, Dt]. mask: bool [N, L], True for real tokens.
            past: [N, K, h, w, E] what earlier calls returned, or None.

        Returns:
            dv [N, T, h, w, C] and dt [N, L, Dt], both to be added by the caller, and what later
            frames need of these ones, [N, T, h, w, E].
        """
        projected, attended, mean = self.look_back(v, past)
        return *self.fuse(attended, mean, text, mask), projected

    def look_back(self, v: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What does not depend on the text: project a map [M, T, h, w, C] down and run HSA.

        Returns the projection [M, T, h, w, E], HSA's result [M, T, h, w, D], the mean [M, h, w, D].
        """
        projected = self.project_frames(self.project_down(v.flatten(0, 1))
                                        .unflatten(0, v.shape[:2]))
        return projected, *self.attend(projected, past)

    def attend(self, projected: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """HSA's result [M, T, h, w, D] and the mean [M, h, w, D] over all frames in sight."""
        dim = self.dim
        return self.attend_time(projected, past), _mean_in_sight(projected, past, dim)

    def project_down(self, v: Tensor) -> Tensor:
        """Map [M, h, w, C] -> x [M, h, w, D], D the adapter width (docs/model.md, 1.6 step 1)."""
        conv, norm, relu = self.proj_vis_down
        if self.narrow is not None:
            v = self.narrow(v)
        if self.training:
            return relu(_channels_last(norm, F.linear(v, _matrix(conv))))
        return relu(F.linear(v, *_fold(self.proj_vis_down)))

    def project_up(self, a: Tensor) -> Tensor:
        """[M, h, w, D] -> residual dv [M, h, w, C], never negative (docs/model.md, 1.6 step 6)."""
        conv, norm, relu = self.proj_vis_up
        if self.training:
            return relu(_channels_last(norm, F.linear(a, _matrix(conv))))
        return relu(F.linear(a, *_fold(self.proj_vis_up)))

    def project_frames(self, x: Tensor) -> Tensor:
        """What later frames need of `x`: [..., D] -> [..., 3D], or `x` itself without HSA.

        Keys and values of a frame are linear maps of LayerNorm(x + code), and the code of a kept
        frame changes whenever the window slides. The map of `x` alone is computed here, once; the
        code and the statistics are put in by `_keys_and_values`, without another product per pixel.
        """
        if not self.use_hsa:
            return x
        return torch.cat((x, F.linear(x, self._key_value_parts()[0])), dim=-1)

    def attend_time(self, present: Tensor, past: Tensor | None) -> Tensor:
        """HSA: every pixel attends to its cell in all frames in sight (docs/model.md, 1.7), added to `x`.

        Args:
            present: [B, T, h, w, 3D] from `project_frames`, the frames that ask; all of them are
                also attended to.
            past: [B, K, h, w, 3D], earlier frames that are only attended to.

        The K + T frames carry the time codes 1..K + T.

        Returns:
            [B, T, h, w, D].
        """
        if not self.use_hsa:
            return present
        batch, frames, height, width, _ = present.shape
        dim = self.norm_pre_HSA.normalized_shape[0]
        seen = present if past is None else torch.cat((past, present), dim=1)
        cells = self._to_cells(seen)
        code, mapped_code = (part.to(seen.dtype) for part in self._codes(seen.shape[1]))
        now = cells[:, :, -frames:, :, :dim] + code[-frames:]
        query = self.hsa.project_query(self.norm_pre_HSA(now))
        key, value = self._keys_and_values(cells, code, mapped_code)
        mixed = self.hsa(*(part.flatten(0, 1).flatten(1, 2) for part in (query, key, value)))
        return present[..., :dim] + self._from_cells(mixed, (batch, frames, height, width))

    def _key_value_parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Key and value projections of HSA with its LayerNorm folded in.

        Returns their matrix [2D, D], its row sums [2D] and their bias [2D].
        """
        norm, mha = self.norm_pre_HSA, self.hsa.self_attn
        dim = norm.normalized_shape[0]

        def make() -> tuple[Tensor, Tensor, Tensor]:
            weight = mha.in_proj_weight[dim:]
            matrix = weight * norm.weight
            return matrix, matrix.sum(dim=1), F.linear(norm.bias, weight, mha.in_proj_bias[dim:])

        sources = (mha.in_proj_weight, mha.in_proj_bias, norm.weight, norm.bias)
        return constant(self, "key value", sources, make)

    def _keys_and_values(self, cells: Tensor, code: Tensor,
                         mapped_code: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, cells, T, P*P, D] of LayerNorm(x + code), from x and both maps."""
        dim, (_, row_sums, bias) = code.shape[-1], self._key_value_parts()
        x, mapped = cells.split((dim, 2 * dim), dim=-1)
        variance, mean = torch.var_mean((x + code).float(), dim=-1, correction=0, keepdim=True)
        scale = torch.rsqrt(variance + self.norm_pre_HSA.eps)
        centred = mapped + mapped_code - mean * row_sums
        return (centred * scale + bias).to(cells.dtype).chunk(2, dim=-1)

    def _codes(self, frames: int) -> tuple[Tensor, Tensor]:
        """Time plus position codes [T, P*P, D] of the frames in sight, and their map [T, P*P, 2D]."""
        place, mha = self.spatial_pos_embed, self.hsa.self_attn

        def make() -> tuple[Tensor, Tensor]:
            code = time_code(frames, place.shape[-1], place.device)[:, None] + place[0, 0]
            return code, F.linear(code, self._key_value_parts()[0])

        sources = (place, mha.in_proj_weight, self.norm_pre_HSA.weight)
        return constant(self, ("codes", frames), sources, make)

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

    def fuse(self, a: Tensor, mean: Tensor, text: Tensor, mask: Tensor,
             matches: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Exchange between image and text (docs/model.md, 1.6 steps 2, 4 to 7).

        Args:
            a: [N, T, h, w, D], output of `attend_time`.
            mean: [N, h, w, D], mean over the frames in sight of `project_down`'s result.
            text: [N, L, Dt] text hidden states.
            mask: bool [N, L], True for real tokens.
            matches: [N, T, h, w, K] similarity maps, or None.

        Returns:
            dv [N, T, h, w, C] and dt [N, L, Dt], both to be added by the caller.
        """
        if matches is not None and self.proj_match is not None:
            a = a + self.proj_match(matches)
        words = self.proj_text_down(text)
        flat = a.flatten(1, 3)  # the text keys are the same for all frames of a row
        injected = flat * fused_attention(self.ca_V2T.multihead_attn, flat, words, words, mask)
        pixels = mean.flatten(1, 2)
        words = words * fused_attention(self.ca_T2V.multihead_attn, words, pixels, pixels)
        dv = self.project_up(injected.view_as(a).flatten(0, 1))
        return dv.unflatten(0, a.shape[:2]), self.proj_text_up(words)


def _mean_in_sight(present: Tensor, past: Tensor | None, dim: int) -> Tensor:
    """Mean over past and present frames of the first D channels: [B, T, h, w, E] -> [B, h, w, D]."""
    if past is None:
        return present[..., :dim].mean(dim=1)
    total = present[..., :dim].sum(dim=1) + past[..., :dim].sum(dim=1)
    return total / (present.shape[1] + past.shape[1])


def _channels_last(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply BatchNorm2d to a [M, h, w, C] map."""
    return norm(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
