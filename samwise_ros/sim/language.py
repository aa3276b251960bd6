"""The whole phrase language of the training split, for a tokeniser that has never seen a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from samwise_ros.sim import vocabulary as words
from samwise_ros.sim.content import allowed_pairs
from samwise_ros.sim.motion_words import MOTION_TEMPLATES
from samwise_ros.sim.phrases import PhraseBook


def iterate_phrases(seed: int) -> Iterator[str]:
    """Endless sentences as the training split words them; equal seeds give equal sentences.

    Every colour, class, relation and motion word appears. Held-out colour and class pairs and
    held-out templates do not.
    """
    rng = np.random.default_rng([0, seed])
    book = PhraseBook("train", rng)
    makers: tuple[Callable[[PhraseBook, np.random.Generator], str], ...] = (
        _attribute,
        _attribute,
        _extreme,
        _pair,
        _motion,
        _motion,
        _union,
    )
    while True:
        yield book.sentence(makers[int(rng.integers(len(makers)))](book, rng))


def _pick(rng: np.random.Generator) -> tuple[str, str]:
    pairs = allowed_pairs("train")
    return pairs[int(rng.integers(len(pairs)))]


def _set(book: PhraseBook, rng: np.random.Generator) -> str:
    colour, name = _pick(rng)
    shown = int(rng.integers(1, 4))  # bit 0: colour, bit 1: class
    return book.set_name(colour if shown & 1 else None, name if shown & 2 else None)


def _attribute(book: PhraseBook, rng: np.random.Generator) -> str:
    colour, name = _pick(rng)
    made = (book.colour(colour), book.class_only(name), book.colour_class(colour, name))
    return made[int(rng.integers(3))]


def _extreme(book: PhraseBook, rng: np.random.Generator) -> str:
    relations = list(words.EXTREME_TEMPLATES)
    templates = words.EXTREME_TEMPLATES[relations[int(rng.integers(len(relations)))]]
    return book.choose(templates).format(set=_set(book, rng))


def _pair(book: PhraseBook, rng: np.random.Generator) -> str:
    others = [book.choose(words.NOUNS[_pick(rng)[1]]) for _ in range(2)]
    slots = {"set": _set(book, rng), "other": f"the {others[0]}", "second": f"the {others[1]}"}
    families = [*words.PAIR_TEMPLATES.values(), words.BETWEEN_TEMPLATES]
    return book.choose(families[int(rng.integers(len(families)))]).format(**slots)


def _motion(book: PhraseBook, rng: np.random.Generator) -> str:
    families = list(MOTION_TEMPLATES.values())
    return book.choose(families[int(rng.integers(len(families)))]).format(set=_set(book, rng))


def _union(book: PhraseBook, rng: np.random.Generator) -> str:
    colour, name = _pick(rng)
    return book.union(colour, None) if rng.random() < 0.5 else book.union(None, name)
