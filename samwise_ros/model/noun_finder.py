"""Which words of a sentence name the target, and which the object that it is told by.

"the small red cup left of the bottle": "cup" is looked for by the similarity map, "bottle" by a
second query, and the rest goes through the text layers as "the small red object left of the
object". So names reach the picture by their queries alone: a network that reads them would learn
the names of its training data by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.text_encoder import TextEncoder, TextState, Tokens
from samwise_ros.model.uploads import upload

NOUN_KINDS = 3  # none, target, anchor
READ_LAYER = 3  # of the six: states that know the sentence's structure

# Ids of MiniLM's vocabulary, the same for every BERT that is not cased.
PAD, START, END = 0, 101, 102
A_PHOTO_OF_A = (1037, 6302, 1997, 1037)
OBJECT = 4874


class NounFinder(nn.Module):
    """Reads token states: kinds of words, supervised with spans.

    Args:
        width: Of the token states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, NOUN_KINDS))

    def forward(self, encoder: TextEncoder, tokens: Tokens) -> Tensor:
        """Logits [N, L, 3] of each token: names nothing, the target, or the anchor."""
        with torch.no_grad():
            state = encoder.run_layers(encoder.embed(tokens), 0, READ_LAYER)
        return self.head(state.hidden)

    def find(self, encoder: TextEncoder, tokens: Tokens) -> Tensor:
        """int64 [N, L] kinds of the tokens; each row has at least one that names the target."""
        logits = self(encoder, tokens)
        words = (tokens.ids != START) & (tokens.ids != END) & tokens.mask
        kinds = logits.argmax(dim=2) * words
        best = logits[..., 1].masked_fill(~words, -torch.inf).argmax(dim=1, keepdim=True)
        named = (kinds == 1).any(dim=1, keepdim=True)
        return kinds.scatter(1, best, torch.where(named, kinds.gather(1, best), 1))


def read_sentences(encoder: TextEncoder, finder: NounFinder, tokens: Tokens) -> TextState:
    """Text states of sentences without their nouns, and the nouns' embeddings beside them.

    The host waits once for the device, to read which words are nouns.

    Args:
        encoder, finder: On one device. tokens: There or, better, on the host.
    """
    device = next(finder.parameters()).device
    nouns = finder.find(encoder, tokens.to(device)) if tokens.nouns is None else tokens.nouns
    pairs = [(row[:sum(mask)], kind[:sum(mask)]) for row, kind, mask in zip(
        tokens.ids.tolist(), nouns.tolist(), tokens.mask.tolist(), strict=True)]
    names = [[START, *A_PHOTO_OF_A, *(i for i, k in zip(*pair, strict=True) if k == wanted), END]
             for pair in pairs for wanted in (1, 2)]
    there = torch.tensor([[len(name) > len(A_PHOTO_OF_A) + 2] for name in names])
    embedded = embed_sentences(encoder, padded(names).to(device)) * upload(there, device)
    state = encoder.encode_prefix(padded([neutral(*pair) for pair in pairs]).to(device))
    return replace(state, names=embedded.unflatten(0, (-1, 2)))


def embed_sentences(encoder: TextEncoder, tokens: Tokens) -> Tensor:
    """[N, D] unit sentence embeddings: the mean over all token states, as MiniLM was trained."""
    state = encoder.run_layers(encoder.embed(tokens), 0, encoder.config.num_layers)
    weight = state.mask[..., None].to(state.hidden.dtype)
    return F.normalize((state.hidden * weight).sum(1) / weight.sum(1), dim=1)


def neutral(ids: Sequence[int], kinds: Sequence[int]) -> list[int]:
    """A sentence with "object" for each noun."""
    kept = []
    for place, (token, kind) in enumerate(zip(ids, kinds, strict=True)):
        if kind == 0:
            kept.append(token)
        elif place == 0 or kinds[place - 1] != kind:
            kept.append(OBJECT)
    return kept


def padded(rows: Sequence[Sequence[int]]) -> Tokens:
    """Token ids of any length as one batch on the host."""
    length = max(map(len, rows))
    ids = torch.tensor([[*row, *[PAD] * (length - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return Tokens(ids, torch.arange(length) < lengths[:, None])
