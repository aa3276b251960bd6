"""The same clip in other colours: picture, facts and sentences are changed alike.

Two thousand clips show few pairs of colour and class, and a small network learns those by heart: of
a red mug, never met, it said that there was neither a red mug nor a mug. Three remedies:

* `recolour` gives every colour of a clip another one. All sentences stay true and all near misses
  near misses; eight more colours than the simulator has make the pairs too many to learn one by
  one.
* `paint_freely` gives every object a colour without a name, and keeps the sentences that name none,
  so that shapes have to be told apart in any colour.
* `open_sentences` drops what would teach that a pair held out for the test split cannot be: that
  what is red is no mug.

Pairs held out for the test split are never made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samwise_ros.sim.assets import COLOURS
from samwise_ros.sim.content import HELD_OUT_PAIRS
from samwise_ros.sim.vocabulary import NOUNS, PLURALS

Sentence = tuple[str, str | None, tuple[int, ...]]

MORE_COLOURS = {
    "pink": (0.98, 0.58, 0.74),
    "brown": (0.38, 0.20, 0.09),
    "turquoise": (0.06, 0.74, 0.70),
    "lime": (0.62, 0.92, 0.16),
    "magenta": (0.90, 0.10, 0.58),
    "navy": (0.06, 0.09, 0.36),
    "beige": (0.90, 0.80, 0.62),
    "maroon": (0.42, 0.04, 0.10),
}
PALETTE = {**COLOURS, **MORE_COLOURS}
# Not both in one clip: in the shade nobody could tell them apart.
LOOK_ALIKES = frozenset(frozenset(pair) for pair in (
    ("brown", "orange"), ("brown", "maroon"), ("brown", "black"), ("maroon", "red"),
    ("maroon", "purple"), ("maroon", "black"), ("maroon", "magenta"), ("navy", "blue"),
    ("navy", "black"), ("navy", "purple"), ("magenta", "pink"), ("magenta", "purple"),
    ("magenta", "red"), ("lime", "green"), ("lime", "yellow"), ("beige", "white"),
    ("beige", "yellow"), ("turquoise", "green"), ("pink", "beige")))
TRIES = 30
FREE = 0.25  # least distance of a colour without a name to those of the simulator, RGB 0..1

_COLOUR_WORD = re.compile(rf"\b({'|'.join(COLOURS)})\b")
_CLASS_OF = {word: name for table in (NOUNS, PLURALS) for name, group in table.items()
             for word in group}
_NOUN = re.compile(rf"\b({'|'.join(sorted(_CLASS_OF, key=len, reverse=True))})\b")

# How far a pixel may be from its object's colour in any light and still be painted, in 0..1:
# wheels, eyes and highlights stay as they are.
_NEAR, _FAR = 0.10, 0.22
_DARKEST = 0.25  # a shade this deep shows no colour
_BRIGHTEST = 1.6  # a rim that is brighter is mixed with what lies behind


@dataclass(frozen=True)
class ClipContent:
    """What is changed together.

    Attributes:
        frames: uint8 [T, H, W, 3] RGB. numbers: uint8 [T, H, W], 1-based objects, 0 background.
        objects: Facts of each object; `class` and `colour` are read, `colour` is changed.
        sentences: (sentence, kind, object numbers) each.
    """

    frames: np.ndarray
    numbers: np.ndarray
    objects: Sequence[Mapping[str, Any]]
    sentences: Sequence[Sentence]


def recolour(clip: ClipContent, rng: np.random.Generator) -> ClipContent:
    """The clip in other colours; the clip itself where no choice of colours is allowed."""
    used = {entry["colour"] for entry in clip.objects}
    used |= {word for text, _, _ in clip.sentences for word in _COLOUR_WORD.findall(text.lower())}
    for _ in range(TRIES):
        names = dict(zip(sorted(used), rng.permutation(sorted(PALETTE)).tolist(), strict=False))
        if _allowed(names, clip.objects):
            return _apply(names, clip, rng)
    return clip


def paint_freely(clip: ClipContent, rng: np.random.Generator) -> ClipContent:
    """The clip in colours without names; the clip itself where every sentence names a colour.

    Facts then have None for a colour.
    """
    sentences = [entry for entry in clip.sentences if not _COLOUR_WORD.search(entry[0].lower())]
    if not sentences:
        return clip
    frames = clip.frames.copy()
    shared = {colour: _free_colour(rng) for colour in sorted({e["colour"] for e in clip.objects})}
    for number, entry in enumerate(clip.objects, start=1):
        fresh = shared[entry["colour"]] if rng.random() < 0.5 else _free_colour(rng)
        paint(frames, clip.numbers == number, np.array(PALETTE[entry["colour"]]), fresh)
    objects = [{**entry, "colour": None} for entry in clip.objects]
    return ClipContent(frames, clip.numbers, objects, sentences)


def _free_colour(rng: np.random.Generator) -> np.ndarray:
    named = np.array(list(COLOURS.values()))
    while True:
        colour = rng.uniform(0.03, 1.0, 3)
        if np.linalg.norm(named - colour, axis=1).min() >= FREE:
            return colour


def open_sentences(objects: Sequence[Mapping[str, Any]],
                   sentences: Sequence[Sentence]) -> Sequence[Sentence]:
    """Those that name no class in view of something that has the colour held out for it.

    All of them where none would be left.
    """
    held = {name for colour, name in HELD_OUT_PAIRS
            if colour in {entry.get("colour") for entry in objects}}
    kept = [entry for entry in sentences if not held & classes_named(entry[0].lower())]
    return kept or sentences


def classes_named(text: str) -> set[str]:
    """Classes whose nouns occur in a sentence in lower case."""
    return {_CLASS_OF[word] for word in _NOUN.findall(text)}


def _allowed(names: Mapping[str, str], objects: Sequence[Mapping[str, Any]]) -> bool:
    chosen = set(names.values())
    if any(pair <= chosen for pair in LOOK_ALIKES):
        return False
    return not any((names[entry["colour"]], entry["class"]) in HELD_OUT_PAIRS for entry in objects)


def _apply(names: Mapping[str, str], clip: ClipContent, rng: np.random.Generator) -> ClipContent:
    sentences = [(rename(text, names), kind, answer) for text, kind, answer in clip.sentences]
    # Objects hold no such pair, so only what is absent can name one.
    sentences = [entry for entry in sentences if entry[2] or not names_held_out(entry[0])]
    if not sentences:
        return clip
    frames = clip.frames.copy()
    for number, entry in enumerate(clip.objects, start=1):
        fresh = np.clip(PALETTE[names[entry["colour"]]] + rng.normal(0, 0.02, 3), 0.03, 1.0)
        paint(frames, clip.numbers == number, np.array(PALETTE[entry["colour"]]), fresh)
    objects = [{**entry, "colour": names[entry["colour"]]} for entry in clip.objects]
    return ClipContent(frames, clip.numbers, objects, sentences)


def rename(text: str, names: Mapping[str, str]) -> str:
    """The sentence with every colour word replaced, in lower case."""
    return _COLOUR_WORD.sub(lambda match: names[match.group()], text.lower())


def names_held_out(text: str) -> bool:
    """Whether colour and class of a held-out pair both occur, wherever in the sentence."""
    colours = set(_COLOUR_WORD.findall(text))
    classes = classes_named(text)
    return any(colour in colours and name in classes for colour, name in HELD_OUT_PAIRS)


def paint(frames: np.ndarray, where: np.ndarray, old: np.ndarray, new: np.ndarray) -> None:
    """Exchange the colour of an object and keep its shading; changes `frames` in place.

    Args:
        frames: uint8 [T, H, W, 3]. where: bool [T, H, W], the object.
        old, new: float [3], RGB 0..1 in full light.

    A lit surface is its colour times the light on it. The light is read off by projection onto the
    old colour, and what the projection does not explain decides how much is painted.
    """
    pixels = frames[where].astype(np.float32) / 255
    light = pixels @ old / (old @ old)
    rest = np.abs(pixels - light[:, None] * old).max(1)
    share = (np.clip((_FAR - rest) / (_FAR - _NEAR), 0, 1) * (light < _BRIGHTEST))[:, None]
    # The least light is raised a little: dark paint hides how it is lit.
    painted = np.maximum(light, _DARKEST)[:, None] * new
    mixed = pixels + share * (np.clip(painted, 0, 1) - pixels)
    frames[where] = np.round(mixed * 255).astype(np.uint8)
