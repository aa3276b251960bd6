"""RoBERTa run by layer ranges, so that adapters can be inserted between its layers.

Official counterpart: the fairseq encoder of models/samwise.py, rebuilt on HF `RobertaModel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from samwise_ros.config import TextConfig

PAD_ID = 1


@dataclass(frozen=True)
class Tokens:
    """Tokenised expressions.

    Attributes:
        ids: int64 [N, L], `<s>` first, padded with id 1.
        mask: bool [N, L], True for real tokens.
        verbs: bool [N, L], True for tokens inside a verb; only for the motion prompt.
    """

    ids: Tensor
    mask: Tensor
    verbs: Tensor | None = None

    def to(self, device: torch.device | str) -> Tokens:
        """Copy on another device."""
        verbs = None if self.verbs is None else self.verbs.to(device)
        return Tokens(self.ids.to(device), self.mask.to(device), verbs)


@dataclass(frozen=True)
class TextState:
    """Text hidden states on their way through the layers.

    Attributes:
        hidden: [N, L, D].
        mask: bool [N, L], True for real tokens.
        verbs: bool [N, L] or None.
    """

    hidden: Tensor
    mask: Tensor
    verbs: Tensor | None = None

    def with_hidden(self, hidden: Tensor) -> TextState:
        """Same tokens, other hidden states."""
        return replace(self, hidden=hidden)

    def select(self, rows: Tensor) -> TextState:
        """Rows picked by an index tensor [M]."""
        verbs = None if self.verbs is None else self.verbs[rows]
        return TextState(self.hidden[rows], self.mask[rows], verbs)


def stack_text(states: Sequence[TextState]) -> TextState:
    """Join states into rows of one batch, padded to the longest expression."""
    if len(states) == 1:
        return states[0]
    length = max(state.mask.shape[1] for state in states)

    def pad(tensor: Tensor) -> Tensor:
        grown = tensor.new_zeros((tensor.shape[0], length, *tensor.shape[2:]))
        grown[:, : tensor.shape[1]] = tensor
        return grown

    verbs = None
    if states[0].verbs is not None:
        verbs = torch.cat([pad(state.verbs) for state in states])
    return TextState(torch.cat([pad(state.hidden) for state in states]),
                     torch.cat([pad(state.mask) for state in states]), verbs)


class TextEncoder(nn.Module):
    """Frozen RoBERTa of which any range of layers can be run.

    Pad keys are masked in every attention, so a row does not depend on its neighbours.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.roberta = RobertaModel(RobertaConfig(
            vocab_size=config.vocab_size, hidden_size=config.hidden_size,
            num_hidden_layers=config.num_layers, num_attention_heads=config.num_heads,
            intermediate_size=config.intermediate_size, type_vocab_size=1,
            max_position_embeddings=config.max_positions, layer_norm_eps=1e-5,
            pad_token_id=PAD_ID, bos_token_id=0, eos_token_id=2, attn_implementation="sdpa",
        ), add_pooling_layer=False)
        # fairseq has no token types; HF adds this row to every embedding.
        nn.init.zeros_(self.roberta.embeddings.token_type_embeddings.weight)

    def embed(self, tokens: Tokens) -> TextState:
        """Word and position embeddings; pad positions become zero as in fairseq."""
        hidden = self.roberta.embeddings(input_ids=tokens.ids)
        hidden = hidden * tokens.mask.unsqueeze(-1).to(hidden.dtype)
        return TextState(hidden, tokens.mask, tokens.verbs)

    def run_layers(self, state: TextState, first: int, last: int) -> TextState:
        """Run layers `first` (0-based) up to, not including, `last`."""
        hidden = state.hidden
        bias = torch.zeros_like(state.mask, dtype=hidden.dtype)
        bias = bias.masked_fill(~state.mask, torch.finfo(hidden.dtype).min)[:, None, None, :]
        for layer in self.roberta.encoder.layer[first:last]:
            output = layer(hidden, attention_mask=bias)
            hidden = output[0] if isinstance(output, tuple) else output  # tuple before v5
        return state.with_hidden(hidden)

    def encode_prefix(self, tokens: Tokens) -> TextState:
        """Run the layers before the first adapter: they depend on the expression alone."""
        return self.run_layers(self.embed(tokens), 0, self.config.fusion_layers[0])
