"""The text encoder, run by layer ranges, so that adapters can be inserted between its layers.

Official counterpart: the fairseq encoder of models/samwise.py, rebuilt on HF `RobertaModel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from samwise_ros.config import TextConfig
from samwise_ros.model.uploads import upload

PAD_ID = 1


@dataclass(frozen=True)
class Tokens:
    """Tokenised expressions.

    Attributes:
        ids: int64 [N, L], start token first, padded with the tokeniser's pad id.
        mask: bool [N, L], True for real tokens.
        verbs: bool [N, L], True for tokens inside a verb; only for the motion prompt.
        nouns: int64 [N, L], 1 for tokens that name the target, 2 for those that name the object it
            is told by ("left of the cup"), else 0; None: the model finds them
            (`model.noun_finder`).
    """

    ids: Tensor
    mask: Tensor
    verbs: Tensor | None = None
    nouns: Tensor | None = None

    def to(self, device: torch.device | str) -> Tokens:
        """Copy on another device, for which the host does not wait."""
        verbs, nouns = (None if part is None else upload(part, device)
                        for part in (self.verbs, self.nouns))
        return Tokens(upload(self.ids, device), upload(self.mask, device), verbs, nouns)


@dataclass(frozen=True)
class TextState:
    """Text hidden states on their way through the layers.

    Attributes:
        hidden: [N, L, D].
        mask: bool [N, L], True for real tokens.
        verbs: bool [N, L] or None.
        names: [N, 2, D] embeddings of the nouns that name the target and the object it is told by,
            unit length, zero where there is none; None without grounding.
    """

    hidden: Tensor
    mask: Tensor
    verbs: Tensor | None = None
    names: Tensor | None = None

    def with_hidden(self, hidden: Tensor) -> TextState:
        """Same tokens, other hidden states."""
        return replace(self, hidden=hidden)

    def select(self, rows: Tensor) -> TextState:
        """Rows picked by an index tensor [M]."""
        verbs, names = (None if part is None else part[rows] for part in (self.verbs, self.names))
        return TextState(self.hidden[rows], self.mask[rows], verbs, names)


def stack_text(states: Sequence[TextState], rows: int = 0, length: int = 0) -> TextState:
    """Join states into rows of one batch, padded to the longest expression.

    Args:
        states: One or more.
        rows: At least so many rows; those beyond `states` are blank: one token of zeros.
        length: At least so many tokens.
    """
    length = max(length, *(state.mask.shape[1] for state in states))
    blank = max(0, rows - sum(len(state.mask) for state in states))

    def join(parts: Sequence[Tensor], dims: Sequence[int]) -> Tensor:
        grown = [part.new_zeros((len(part), *dims, *part.shape[1 + len(dims):])) for part in parts]
        for new, part in zip(grown, parts, strict=True):
            new[:, : part.shape[1]] = part
        return torch.cat((*grown, grown[0].new_zeros((blank, *grown[0].shape[1:]))))

    mask = join([state.mask for state in states], (length,))
    mask[len(mask) - blank :, 0] = True  # attention to no token at all has no result
    verbs = [state.verbs for state in states if state.verbs is not None]
    names = [state.names for state in states if state.names is not None]
    return TextState(join([state.hidden for state in states], (length,)), mask,
                     join(verbs, (length,)) if verbs else None,
                     join(names, ()) if names else None)


class TextEncoder(nn.Module):
    """Embeddings and layers of which any range can be run.

    Pad keys are masked in every attention, so a row does not depend on its neighbours. Subclasses
    hold the network under the name that its weights have.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def network(self) -> Any:
        """The HF network, with `embeddings` and `encoder.layer`."""
        raise NotImplementedError

    def embed(self, tokens: Tokens) -> TextState:
        """Word and position embeddings; pad positions become zero as in fairseq."""
        hidden = self.network.embeddings(input_ids=tokens.ids)
        hidden = hidden * tokens.mask.unsqueeze(-1).to(hidden.dtype)
        return TextState(hidden, tokens.mask, tokens.verbs)

    def run_layers(self, state: TextState, first: int, last: int) -> TextState:
        """Run layers `first` (0-based) up to, not including, `last`."""
        if first == last:
            return state
        hidden = state.hidden
        bias = torch.zeros_like(state.mask, dtype=hidden.dtype)
        bias = bias.masked_fill(~state.mask, torch.finfo(hidden.dtype).min)[:, None, None, :]
        for layer in self.network.encoder.layer[first:last]:
            output = layer(hidden, attention_mask=bias)
            hidden = output[0] if isinstance(output, tuple) else output  # tuple before v5
        return state.with_hidden(hidden)

    def encode_prefix(self, tokens: Tokens) -> TextState:
        """Run the layers before the first adapter: they depend on the expression alone."""
        return self.run_layers(self.embed(tokens), 0, self.config.fusion_layers[0])


class RobertaEncoder(TextEncoder):
    """RoBERTa, SAMWISE's text encoder."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__(config)
        self.roberta = RobertaModel(RobertaConfig(
            **_sizes(config), type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=PAD_ID,
            bos_token_id=0, eos_token_id=2,
        ), add_pooling_layer=False)
        # fairseq has no token types; HF adds this row to every embedding.
        nn.init.zeros_(self.roberta.embeddings.token_type_embeddings.weight)

    @property
    def network(self) -> nn.Module:
        """The HF network."""
        return self.roberta


class BertEncoder(TextEncoder):
    """BERT, as in MiniLM. Frozen: always in eval mode, no gradient into its weights."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(BertConfig(**_sizes(config)), add_pooling_layer=False)
        self.requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        """The HF network."""
        return self.bert

    def train(self, mode: bool = True) -> BertEncoder:
        """Stay in eval mode: a frozen encoder does not train."""
        return super().train(False)


def _sizes(config: TextConfig) -> dict[str, Any]:
    return {"attn_implementation": "sdpa", "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_layers, "num_attention_heads": config.num_heads,
            "intermediate_size": config.intermediate_size,
            "max_position_embeddings": config.max_positions}


def build_text_encoder(config: TextConfig) -> TextEncoder:
    """The text encoder that a configuration names."""
    return BertEncoder(config) if config.kind == "bert" else RobertaEncoder(config)
