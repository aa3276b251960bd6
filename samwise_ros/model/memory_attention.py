"""SAM 2's memory attention, rearranged without changing its result.

Works on the weights of sam2's `MemoryAttention`. Three rearrangements: rotary codes are real-valued
(no complex tensors, so it exports and compiles), keys of all memory frames are rotated by one
broadcast, and values stay `memory.dim` wide during attention and are projected afterwards, since
softmax(QK)(MW + b) = (softmax(QK) M) W + b. Any rectangular grid is allowed.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor

from samwise_ros.model.attention import attend
from samwise_ros.model.constants import constant
from samwise_ros.model.matrices import Matrix


@lru_cache(maxsize=32)
def rope_table(height: int, width: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine [h*w, dim/2] of the axial rotary code (sam2 `compute_axial_cis`).

    The first dim/4 columns turn with x, the others with y. Constants, cached per grid.
    """
    with torch.inference_mode(False):  # kept for all callers: training may be the next one
        frequency = 1.0 / (10000.0 ** (torch.arange(0, dim, 4)[: dim // 4].float() / dim))
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        angle = torch.cat([torch.outer(axis.flatten().float(), frequency) for axis in (x, y)],
                          dim=1)
        return angle.cos().to(device), angle.sin().to(device)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate [..., h*w, D] whose channels are ordered evens first, then odds."""
    cos, sin = table
    even, odd = x.float().chunk(2, dim=-1)
    return torch.cat((even * cos - odd * sin, even * sin + odd * cos), dim=-1).to(x.dtype)


def _project(x: Tensor, linear: torch.nn.Linear, order: Tensor) -> Tensor:
    """Linear layer with its output channels reordered."""
    return constant(linear, "reordered", (linear.weight, linear.bias),
                    lambda: Matrix(linear.weight[order], linear.bias[order]))(x)


@lru_cache(maxsize=8)
def _evens_first(dim: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.cat((torch.arange(0, dim, 2), torch.arange(1, dim, 2))).to(device)


def _self_attention(attention: RoPEAttention, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    order = _evens_first(attention.internal_dim, x.device)
    query = rotate(_project(x, attention.q_proj, order), table)
    key = rotate(_project(x, attention.k_proj, order), table)
    dropout = attention.dropout_p if attention.training else 0.0
    return attention.out_proj(attend(query, key, attention.v_proj(x), dropout))


def _cross_attention(attention: RoPEAttention, x: Tensor, memory: Tensor, keys: Tensor,
                     num_pointer_tokens: int, table: tuple[Tensor, Tensor],
                     seen: Tensor | None, places: Tensor | None) -> Tensor:
    """x [N, hw, C] attends to memory tokens [N, M*hw + P, Cm]; pointers are not rotated."""
    order = _evens_first(attention.internal_dim, x.device)
    query = rotate(_project(x, attention.q_proj, order), table)
    key = _project(keys, attention.k_proj, order)
    spatial = key[:, : key.shape[1] - num_pointer_tokens]
    pointers = key[:, key.shape[1] - num_pointer_tokens :]
    if places is None:
        spatial = rotate(spatial.unflatten(1, (-1, x.shape[1])), table).flatten(1, 2)
    else:
        spatial = rotate(spatial, (table[0][places], table[1][places]))
    key = torch.cat((spatial, pointers), dim=1)
    dropout = attention.dropout_p if attention.training else 0.0
    if dropout > 0:  # rows no longer sum to one, so the value bias cannot be added afterwards
        return attention.out_proj(attend(query, key, attention.v_proj(memory), dropout, seen))
    return attention.out_proj(attention.v_proj(attend(query, key, memory, seen=seen)))


def _layer(layer: MemoryAttentionLayer, x: Tensor, memory: Tensor, keys: Tensor,
           num_pointer_tokens: int, table: tuple[Tensor, Tensor], seen: Tensor | None,
           places: Tensor | None) -> Tensor:
    x = x + layer.dropout1(_self_attention(layer.self_attn, layer.norm1(x), table))
    x = x + layer.dropout2(_cross_attention(layer.cross_attn_image, layer.norm2(x), memory, keys,
                                            num_pointer_tokens, table, seen, places))
    hidden = layer.dropout(layer.activation(layer.linear1(layer.norm3(x))))
    return x + layer.dropout3(layer.linear2(hidden))


def attend_memory(module: MemoryAttention, vision: Tensor, position: Tensor, memory: Tensor,
                  memory_position: Tensor, num_pointer_tokens: int,
                  seen: Tensor | None = None, places: Tensor | None = None) -> Tensor:
    """Condition image features on memory (docs/model.md, 2.1).

    Args:
        module: Weights.
        vision: [N, C, h, w] stride-16 features. position: [1, C, h, w] their sine code.
        memory: [N, M*h*w + P, Cm], spatial memories oldest first, then pointer tokens.
        memory_position: Broadcastable to `memory`.
        num_pointer_tokens: P.
        seen: bool [N, M*h*w + P] tokens that count, or None: all.
        places: int64 [N, M*K] cell of each spatial token, where only K of each memory are given in
            `memory`, `memory_position` and `seen`; None: all h*w.

    Returns:
        [N, C, h, w].
    """
    height, width = vision.shape[-2:]
    x = (vision + 0.1 * position).flatten(2).transpose(1, 2)
    table = rope_table(height, width, module.d_model, vision.device)
    keys = memory + memory_position
    for layer in module.layers:
        x = _layer(layer, x, memory, keys, num_pointer_tokens, table, seen, places)
    return module.norm(x).transpose(1, 2).unflatten(2, (height, width))
