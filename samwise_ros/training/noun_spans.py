"""Where a sentence names its target, kept right while training rewrites the sentence."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from samwise_ros.data.reader import Phrases

Span = tuple[int, int]  # [start, end) characters
Nouns = tuple[Span, Span | None]  # of the target, and of what it is told by


def nouns_of(phrases: Phrases) -> Nouns:
    """The noun that names the target, and the first other one."""
    return phrases.noun, phrases.anchors[0] if phrases.anchors else None


def rewrite(text: str, nouns: Nouns | None,
            change: Callable[[str], str]) -> tuple[str, Nouns | None]:
    """A sentence changed piece by piece, so that the places of its nouns are known afterwards.

    Args:
        text: The sentence. nouns: In it, or None.
        change: Must treat the pieces between nouns as it would the whole (change of case, exchange
            of words).
    """
    if nouns is None:
        return change(text), None
    cuts = sorted({0, len(text), *(place for span in nouns if span is not None for place in span)})
    moved, pieces = {0: 0}, ""
    for start, end in itertools.pairwise(cuts):
        pieces += change(text[start:end])
        moved[end] = len(pieces)
    target, anchor = nouns
    return pieces, ((moved[target[0]], moved[target[1]]),
                    None if anchor is None else (moved[anchor[0]], moved[anchor[1]]))
