"""Attention over many tokens without ever holding all scores."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from samwise_ros.model.matrices import Matrix, pays

_CHUNK = 256  # queries per block on the CPU: a block of scores stays near the cache
_LONG = 1 << 24  # multiply-adds of the scores from which on keys are arranged for oneDNN


def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0,
           seen: Tensor | None = None) -> Tensor:
    """softmax(QK / sqrt(d)) V with V of any width.

    Fused kernels take tensors with a head axis only. On CUDA those of unequal widths run in the
    memory-efficient kernel; the flash kernels, there and on the CPU, ask for equal ones.

    Args:
        query: [N, Lq, D]. key: [N, Lk, D]. value: [N, Lk, E].
        dropout: Probability on the attention weights (training).
        seen: bool [N, Lk] keys that may be attended to, at least one a row; None: all.

    Returns:
        [N, Lq, E].
    """
    on_cpu = query.device.type == "cpu" and not (
        query.requires_grad or key.requires_grad or dropout > 0)
    if on_cpu and is_long(query, key):
        return _attend_rows(query, key, value, seen)
    if not on_cpu or query.shape[-1] == value.shape[-1]:
        mask = None if seen is None else seen[:, None, None]
        return F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], mask,
                                              dropout)[:, 0]
    # Blocks of queries: torch would make the whole score matrix here.
    key = key.transpose(1, 2)
    query = query * (1.0 / math.sqrt(query.shape[-1]))
    value = value.to(query.dtype)  # autocast leaves `out=` alone, and memories are fp32
    bias = None if seen is None else _bias(seen, query)[:, None]
    return torch.cat([_attend_block(block, key, value, bias)
                      for block in query.split(_CHUNK, dim=1)], dim=1)


def is_long(query: Tensor, key: Tensor) -> bool:
    """Whether keys [N, Lk, D] meet so many queries [N, Lq, D] on a CPU that `Matrix` pays."""
    return pays(query[0], key[0], _LONG)


def _bias(seen: Tensor, like: Tensor) -> Tensor:
    """What is added to scores: 0 for keys that count, -inf for others."""
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, -torch.inf)


def _attend_rows(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
    """Row by row, keys and values as matrices: twice as quick as torch's kernel."""
    query = query * (1.0 / math.sqrt(query.shape[-1]))
    rows = []
    for row in range(len(query)):
        scores = Matrix(key[row], None if seen is None else _bias(seen[row], query))
        mix = Matrix(value[row].t())
        rows.append(torch.cat([mix(scores(block).softmax(dim=-1))
                               for block in query[row].split(_CHUNK)]))
    return torch.stack(rows)


def _attend_block(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Scaled queries [N, B, D], keys [N, D, K], values [N, K, E], bias [N, 1, K] -> [N, B, E]."""
    scores = torch.bmm(query, key) if bias is None else torch.baddbmm(bias, query, key)
    return torch.bmm(scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype), value)
