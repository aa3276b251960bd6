"""States of sentences under a frozen text encoder, each computed once in a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, stack_text
from samwise_ros.training.noun_spans import Nouns

LIMIT = 20_000  # sentences, about 20 KiB each

_Key = tuple[str, Nouns | None]


class FrozenTexts:
    """Cache in front of `SamwiseModel.encode_text`.

    Args:
        model: Its text encoder does not train.
    """

    def __init__(self, model: SamwiseModel) -> None:
        self._model = model
        self._states: dict[_Key, TextState] = {}

    @torch.no_grad()
    def __call__(self, expressions: Sequence[str], nouns: Sequence[Nouns | None]) -> TextState:
        """States of N sentences.

        Args:
            expressions: N. nouns: Where they name their targets; None: the model finds it. Empty:
                it does for all.
        """
        keys = list(zip(expressions, nouns or (None,) * len(expressions), strict=True))
        if len(self._states) > LIMIT:
            self._states.clear()
        told = [key for key in dict.fromkeys(keys) if key[1] is not None]
        self._states |= self._read([key for key in told if key not in self._states])
        # What the model finds changes while it learns: not kept.
        found = self._read([key for key in dict.fromkeys(keys) if key[1] is None])
        return stack_text([found[key] if key[1] is None else self._states[key] for key in keys])

    def _read(self, keys: Sequence[_Key]) -> dict[_Key, TextState]:
        """States of sentences of which all nouns are known, or none are."""
        if not keys:
            return {}
        nouns = None if keys[0][1] is None else [spans for _, spans in keys]
        state = self._model.encode_text(self._model.tokenizer([text for text, _ in keys], nouns))
        return {key: _row(state, row) for row, key in enumerate(keys)}


def _row(state: TextState, row: int) -> TextState:
    """One row without its padding."""
    one = state.select(torch.tensor([row], device=state.mask.device))
    count = int(one.mask.sum())
    return replace(one, hidden=one.hidden[:, :count], mask=one.mask[:, :count])
