"""Conditional Memory Encoder (paper section 3.3): has the tracker locked on to the wrong object?

It compares the object pointer predicted with memory with the early token predicted without memory.
Official counterpart: models/conditional_memory_encoder.py; docs/model.md, 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from samwise_ros.config import CmeConfig, SwitchMode
from samwise_ros.model.cmt import fused_attention


class _Block(nn.Module):
    """Post-norm transformer block with the official names; `norm2` exists but is never used."""

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, num_heads)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, C] -> [N, 3, C]."""
        rate = self.dropout.p if self.training else 0.0
        x = self.norm1(x + self.dropout(fused_attention(self.self_attn, x, x, x, dropout=rate)))
        hidden = self.dropout(torch.relu(self.linear1(x)))
        return self.norm3(x + self.dropout(self.linear2(hidden)))


class ConditionalMemoryEncoder(nn.Module):
    """Decides per row whether what goes into memory is replaced."""

    def __init__(self, dim: int, num_heads: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        self.transformerBlock = _Block(dim, num_heads, dim // 2, dropout)
        self.decision_token = nn.Embedding(1, dim)
        self.decision_class_head = nn.Linear(dim, 2)

    def forward(self, pointer: Tensor, early: Tensor) -> Tensor:
        """Decision logits [N, 2]; class 1 means switch. Inputs are detached.

        Args:
            pointer: [N, C] object pointer with memory. early: [N, C] early token without memory.
        """
        token = self.decision_token.weight.expand_as(pointer)
        sequence = torch.stack((token, pointer.detach(), early.detach()), dim=1)
        return self.decision_class_head(self.transformerBlock(sequence)[:, 0])


def may_switch(age: int, last_switch: int, config: CmeConfig) -> bool:
    """Whether the CME acts on frame `age` (t), given the frame of the last switch (0: never)."""
    window = config.decision_window
    return config.enabled and age > window and age - last_switch >= window - 1


def rows_that_may_switch(ages: Tensor, last_switch: Tensor, config: CmeConfig) -> Tensor:
    """bool [N]: `may_switch` of N rows, without the question whether there is a CME."""
    window = config.decision_window
    return (ages > window) & (ages - last_switch >= window - 1)


def replace_logits(memory: Tensor, free: Tensor, mode: SwitchMode) -> Tensor:
    """Mask logits to memorise after a switch.

    Args:
        memory: [N, H, W] logits predicted with memory. free: [N, H, W] without memory.
        mode: "reweight" overwrites where the memory-less mask is positive, with ten times its
            logit; "all_mask" takes the memory-less logits; "avg" the mean of both.
    """
    if mode == "reweight":
        return torch.where(free > 0, 10 * free, memory)
    if mode == "all_mask":
        return free
    return (memory + free) / 2
