"""Cross-Modal Temporal adapter with Hierarchical Selective Attention (paper section 3.2).

Official counterpart: models/CMT_adapter.py and models/layers.py. Differences in form, not in
result: maps are channels-last, BatchNorm folds into the 1x1 projections in eval mode, attention is
fused, and pad tokens are masked so that rows of one batch do not see each other's length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import CmtConfig


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
    heads = [F.linear(x, w, b).unflatten(-1, (mha.num_heads, -1)).transpose(1, 2)
             for x, w, b in zip((query, key, value), weights, biases, strict=True)]
    mask = None if key_mask is None else key_mask[:, None, None, :]
    out = F.scaled_dot_product_attention(*heads, attn_mask=mask, dropout_p=dropout)
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

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """[M, Lq, D] queries over [M, Lk, D] keys -> [M, Lq, D]."""
        dropout = self.dropout if self.training else 0.0
        return self.linear(fused_attention(self.self_attn, query, keys, keys, dropout=dropout))


def time_code(positions: Tensor, total: int | Tensor, dim: int) -> Tensor:
    """Sine code of frame positions, normalised by the number of frames (A.6 of the model spec).

    Args:
        positions: float [K], 1-based.
        total: Number of frames T that the positions refer to.
        dim: Number of channels, even.

    Returns:
        [K, dim]; channel 2j is the sine, 2j+1 the cosine.
    """
    angle = positions / (total + 1e-6) * (2 * math.pi)
    j = torch.arange(dim, dtype=torch.float32, device=positions.device)
    phase = angle[:, None] / (10000 ** (2 * torch.div(j, 2, rounding_mode="floor") / dim))
    return torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=2).flatten(1)


@dataclass(frozen=True)
class TimeWindow:
    """Which time codes the frames in sight carry.

    Attributes:
        first: 1-based position of the oldest frame in sight.
        total: Number T that positions are divided by.
    """

    first: int
    total: int


def _fold(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Matrix [out, in] and bias of a bias-free 1x1 convolution followed by eval BatchNorm."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return weight * scale[:, None], norm.bias - norm.running_mean * scale


class CmtAdapter(nn.Module):
    """One adapter between an image stage of `channels` and a text layer of `text_dim`."""

    def __init__(self, config: CmtConfig, channels: int, text_dim: int, patch_side: int) -> None:
        super().__init__()
        dim = config.dim
        self.patch_side = patch_side
        self.use_hsa = config.hsa
        self.proj_vis_down = nn.Sequential(
            nn.Conv2d(channels, dim, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU())
        self.proj_vis_up = nn.Sequential(
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

    def project_down(self, v: Tensor) -> Tensor:
        """Map [M, h, w, C] -> x [M, h, w, D], D the adapter width (A.5 step 1)."""
        conv, norm, relu = self.proj_vis_down
        if self.training:
            return relu(_channels_last(norm, F.linear(v, conv.weight.flatten(1))))
        return relu(F.linear(v, *_fold(conv.weight.flatten(1), norm)))

    def project_up(self, a: Tensor) -> Tensor:
        """[M, h, w, D] -> residual dv [M, h, w, C], never negative (A.5 step 6)."""
        conv, norm, relu = self.proj_vis_up
        weight = conv.weight.flatten(1).t()  # transposed convolutions store [in, out]
        if self.training:
            return relu(_channels_last(norm, F.linear(a, weight)))
        return relu(F.linear(a, *_fold(weight, norm)))

    def attend_time(self, x: Tensor, past: Tensor | None, window: TimeWindow) -> Tensor:
        """HSA: every pixel attends to its cell in all frames in sight, and is added to `x`.

        Args:
            x: [B, T, h, w, D], the frames that ask; all of them are also attended to.
            past: [B, K, h, w, D], earlier frames that are only attended to.
            window: Time codes of the K + T frames.

        Returns:
            [B, T, h, w, D] (A.6).
        """
        if not self.use_hsa:
            return x
        batch, frames, height, width, dim = x.shape
        seen = x if past is None else torch.cat((past, x), dim=1)
        keys = self.norm_pre_HSA(self._cells(seen, window))  # [B, cells, K+T, P*P, D]
        cells = keys.shape[1]
        query = keys[:, :, seen.shape[1] - frames :].flatten(0, 1).flatten(1, 2)
        mixed = self.hsa(query, keys.flatten(0, 1).flatten(1, 2))
        side = self.patch_side
        rows, columns = height // side, width // side
        mixed = mixed.view(batch, rows, columns, frames, side, side, dim)
        assert cells == rows * columns
        return x + mixed.permute(0, 3, 1, 4, 2, 5, 6).reshape(x.shape)

    def _cells(self, x: Tensor, window: TimeWindow) -> Tensor:
        """[B, T, h, w, D] -> [B, cells, T, P*P, D] with time and position codes added."""
        batch, frames, height, width, dim = x.shape
        side = self.patch_side
        x = x.view(batch, frames, height // side, side, width // side, side, dim)
        x = x.permute(0, 2, 4, 1, 3, 5, 6).reshape(batch, -1, frames, side * side, dim)
        positions = torch.arange(frames, dtype=torch.float32, device=x.device) + window.first
        code = time_code(positions, window.total, dim).to(x.dtype)
        return x + (code[:, None] + self.spatial_pos_embed[0, 0])

    def fuse(self, a: Tensor, mean: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange between image and text (A.5 steps 2, 4, 5, 6, 7).

        Args:
            a: [N, T, h, w, D], output of `attend_time`.
            mean: [N, h, w, D], mean over the frames in sight of `project_down`'s result.
            text: [N, L, Dt] text hidden states.
            mask: bool [N, L], True for real tokens.

        Returns:
            dv [N, T, h, w, C] and dt [N, L, Dt], both to be added by the caller.
        """
        words = self.proj_text_down(text)
        flat = a.flatten(1, 3)  # the text keys are the same for all frames of a row
        injected = flat * fused_attention(self.ca_V2T.multihead_attn, flat, words, words, mask)
        pixels = mean.flatten(1, 2)
        words = words * fused_attention(self.ca_T2V.multihead_attn, words, pixels, pixels)
        dv = self.project_up(injected.view_as(a).flatten(0, 1))
        return dv.unflatten(0, a.shape[:2]), self.proj_text_up(words)


def _channels_last(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply BatchNorm2d to a [M, h, w, C] map."""
    return norm(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
