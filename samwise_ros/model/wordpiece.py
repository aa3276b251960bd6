"""Sentences to token ids with MiniLM's WordPiece vocabulary, from one local file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from samwise_ros.model.noun_finder import END, PAD, START
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.model.tokenizer import check_texts, refuse_long
from samwise_ros.structures import CheckpointError

Span = tuple[int, int]  # [start, end) characters


class WordPieceTokenizer:
    """Uncased WordPiece, read from a `tokenizer.json`.

    Args:
        file: Of the `tokenizers` library.
        max_tokens: Longest row in tokens, start and end included.

    Raises CheckpointError when the file is no such tokeniser.
    """

    def __init__(self, file: Path, max_tokens: int = 512) -> None:
        self.folder, self.max_tokens = file.parent, max_tokens
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"cannot read the tokeniser {file}: {error}") from error
        ids = [self._tokenizer.token_to_id(token) for token in ("[PAD]", "[CLS]", "[SEP]")]
        if ids != [PAD, START, END]:
            raise CheckpointError(f"{file} has ids {ids} for [PAD], [CLS], [SEP]; expected "
                                  f"{PAD}, {START}, {END}")
        self._tokenizer.no_truncation()
        self._tokenizer.enable_padding(pad_id=PAD)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return self._tokenizer.get_vocab_size()

    def __call__(self, expressions: Sequence[str],
                 nouns: Sequence[tuple[Span, Span | None]] | None = None) -> Tokens:
        """Tokenise N expressions, padded to the longest of them.

        Args:
            expressions: At least one.
            nouns: Per expression the characters of the noun that names the target, and of the one
                that it is told by or None; known in training only.

        Raises CommandError for an empty call, a blank expression, text that is not valid Unicode,
        and an expression longer than `max_tokens`.
        """
        check_texts(expressions)
        batch = self._tokenizer.encode_batch(list(expressions))
        tokens = Tokens(torch.tensor([row.ids for row in batch]),
                        torch.tensor([row.attention_mask for row in batch]).bool())
        refuse_long(expressions, tokens, self.max_tokens)
        if nouns is None:
            return tokens
        kinds = [_kinds(row, pair) for row, pair in zip(batch, nouns, strict=True)]
        return Tokens(tokens.ids, tokens.mask, nouns=torch.stack(kinds))


def _kinds(row: Encoding, spans: tuple[Span, Span | None]) -> Tensor:
    """int64 [L]: 1 and 2 for the tokens inside the first and the second span."""
    kinds = torch.zeros(len(row.ids), dtype=torch.int64)
    for kind, span in enumerate(spans, start=1):
        for place, (start, end) in enumerate(row.offsets):
            if span is not None and span[0] <= start < end <= span[1]:
                kinds[place] = kind
    return kinds
