"""Cross-Modal Temporal adapter (paper section 3.2).

Official counterpart: models/CMT_adapter.py and models/layers.py. Differences in form, not in
result: maps are channels-last, BatchNorm folds into the 1x1 projections in eval mode, attention is
fused, and pad tokens are masked so that rows of one batch do not see each other's length.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import CmtConfig
from samwise_ros.model.constants import constant
from samwise_ros.model.context_ring import ContextRing, RingView
from samwise_ros.model.hsa import LooksBack
from samwise_ros.model.matrices import Matrix, pays, projections

Past = Tensor | RingView | None
Kept = Tensor | ContextRing


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
    if _are_few(mha, query, key) and dropout == 0:
        return _attend_few(mha, query, key, value, key_mask)
    if _are_few(mha, key, query) and key is value and key_mask is None and dropout == 0:
        return _ask_few(mha, query, key)
    q, k, v = (project(x).unflatten(-1, (mha.num_heads, -1)).transpose(1, 2)
               for x, project in zip((query, key, value), projections(mha), strict=True))
    mask = None if key_mask is None else key_mask[:, None, None, :]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return mha.out_proj(out.transpose(1, 2).flatten(2))


def _are_few(mha: nn.MultiheadAttention, many: Tensor, few: Tensor) -> bool:
    """Whether `few` [N, L, D] are, over all heads, less than D, and `many` really many on a CPU."""
    return mha.num_heads * few.shape[1] < few.shape[2] and pays(
        many[0], mha.in_proj_weight, 1 << 26)


def _attend_few(mha: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor,
                key_mask: Tensor | None) -> Tensor:
    """`fused_attention` with both projections of the queries carried over to the keys and values.

    A head's scores are q W K^T, its part of the result is P V W'; W K^T and V W' are small.
    """
    heads, dim = mha.num_heads, query.shape[2]
    _, to_key, to_value = projections(mha)
    keys = to_key(key).unflatten(-1, (heads, -1)) * (dim // heads) ** -0.5
    values = to_value(value).unflatten(-1, (heads, -1))
    weight, bias = (x[:dim].unflatten(0, (heads, -1))
                    for x in (mha.in_proj_weight, mha.in_proj_bias))
    asked = torch.einsum("nlhd,hdc->nhlc", keys, weight).flatten(1, 2)
    offset = torch.einsum("nlhd,hd->nhl", keys, bias)
    if key_mask is not None:
        offset = offset.masked_fill(~key_mask[:, None], -torch.inf)
    given = torch.einsum("nlhd,ohd->nohl", values,
                         mha.out_proj.weight.unflatten(1, (heads, -1))).flatten(2)
    rows = []
    for row, tokens in enumerate(query):
        scores = Matrix(asked[row], offset[row].flatten())(tokens).unflatten(-1, (heads, -1))
        rows.append(Matrix(given[row], mha.out_proj.bias)(scores.softmax(dim=-1).flatten(-2)))
    return torch.stack(rows)


def _ask_few(mha: nn.MultiheadAttention, query: Tensor, tokens: Tensor) -> Tensor:
    """`fused_attention` of few queries, with both projections of its many tokens carried over.

    A head's scores are (Q W) X^T, its result (P X) W'. The key's bias adds the same to all scores
    of a query; the value's is added afterwards, since weights sum to one.
    """
    heads, dim = mha.num_heads, query.shape[2]
    asked = projections(mha)[0](query).unflatten(-1, (heads, -1)) * (dim // heads) ** -0.5
    _, to_key, to_value = mha.in_proj_weight.unflatten(0, (3, heads, -1))
    asked = torch.einsum("nlhd,hdc->nhlc", asked, to_key).flatten(1, 2)
    mixed = (asked @ tokens.transpose(1, 2)).softmax(dim=-1) @ tokens
    mixed = torch.einsum("nhlc,hdc->nlhd", mixed.unflatten(1, (heads, -1)), to_value)
    return mha.out_proj(mixed.flatten(2) + mha.in_proj_bias[2 * dim :])


class _Attention(nn.Module):
    """Keeps the official parameter names `….multihead_attn.*`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(dim, num_heads)


def _fold(block: nn.Sequential) -> Matrix:
    """Product of a bias-free 1x1 convolution followed by eval BatchNorm."""
    conv: Any = block[0]
    norm: Any = block[1]

    def make() -> Matrix:
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return Matrix(_matrix(conv) * scale[:, None], norm.bias - norm.running_mean * scale)

    sources = (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return constant(block, "folded", sources, make)


def _matrix(conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """[out, in] of a 1x1 convolution; transposed ones store [in, out]."""
    weight = conv.weight.flatten(1)
    return weight.t() if isinstance(conv, nn.ConvTranspose2d) else weight


class CmtAdapter(LooksBack):
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
        super().__init__(config.dim, patch_side)
        dim = config.dim
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
            self.add_hsa(config.num_heads)

    def forward(self, v: Tensor, text: Tensor, mask: Tensor, past: Past = None,
                ) -> tuple[Tensor, Tensor, Kept]:
        """The whole adapter on frames of N rows.

        Args:
            v: [N, T, h, w, C] map. text: [N, L, Dt]. mask: bool [N, L], True for real tokens.
            past: As for `look_back`.

        Returns:
            dv [N, T, h, w, C] and dt [N, L, Dt], both to be added by the caller, and what later
            frames need of these ones.
        """
        kept, attended, mean = self.look_back(v, past)
        return *self.fuse(attended, mean, text, mask), kept

    def look_back(self, v: Tensor, past: Past) -> tuple[Kept, Tensor, Tensor]:
        """What does not depend on the text: project a map [M, T, h, w, C] down and run HSA.

        Args:
            v: The frames that ask; all of them are also attended to.
            past: [M, K, h, w, D] projections of the frames before them, None where there are none,
                or the ring that has them (stream mode; T is 1 then).

        Returns:
            What later frames need, the projection [M, T, h, w, D] or the ring with it; HSA's result
            [N, T, h, w, D]; the mean [N, h, w, D] over the frames in sight. N is M, or the number
            of rows that look through the ring.
        """
        x = self.project_down(v.flatten(0, 1)).unflatten(0, v.shape[:2])
        if isinstance(past, RingView):
            ring = self.remember(past.ring, x, past.sight.slot)
            return ring, self.attend_ring(x, ring, past.sight), past.mean(ring.frames)
        seen = x if past is None else torch.cat((past, x), dim=1)
        return x, self.attend_time(seen, x.shape[1]), seen.mean(dim=1)

    def project_down(self, v: Tensor) -> Tensor:
        """Map [M, h, w, C] -> x [M, h, w, D], D the adapter width (docs/model.md, 1.6 step 1)."""
        conv, norm, relu = self.proj_vis_down
        if self.narrow is not None:
            v = self.narrow(v)
        if self.training:
            return relu(_channels_last(norm, F.linear(v, _matrix(conv))))
        return relu(_fold(self.proj_vis_down)(v))

    def project_up(self, a: Tensor) -> Tensor:
        """[M, h, w, D] -> residual dv [M, h, w, C], never negative (docs/model.md, 1.6 step 6)."""
        conv, norm, relu = self.proj_vis_up
        if self.training:
            return relu(_channels_last(norm, F.linear(a, _matrix(conv))))
        return relu(_fold(self.proj_vis_up)(a))

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


def _channels_last(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply BatchNorm2d to a [M, h, w, C] map."""
    return norm(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
