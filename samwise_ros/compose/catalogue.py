"""What may be pasted on what: cut-outs with names, kinds and colours, backgrounds, and the splits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from samwise_ros.compose.words import SYNONYMS

ASSETS = Path(__file__).parents[1] / "assets" / "compose"
SPLITS = ("train", "val_stamps", "val_names", "test_stamps", "test_names")


@dataclass(frozen=True)
class Label:
    """What a person would call an object.

    Args:
        name: everyday name, singular unless the thing is a plural ("scissors").
        kind: what it is one of ("bird"), None without a common word.
        colour: the one colour of it, None for several.
        tints: every colour that covers a good part of it.
    """

    name: str
    kind: str | None = None
    colour: str | None = None
    tints: tuple[str, ...] = ()

    @cached_property
    def nouns(self) -> frozenset[str]:
        """All nouns that mean it: name, synonyms, kinds."""
        kinds = {self.kind} if self.kind else set()
        kinds |= {wider for kind in kinds for wider in WIDER_KINDS.get(kind, ())}
        return frozenset({self.name, *SYNONYMS.get(self.name, ()), *kinds})

    def might_be(self, noun: str) -> bool:
        """A person could use this noun for it, rightly or nearly so."""
        if noun in self.nouns or self.name == self.kind and noun in FAMILIES.get(self.kind, ()):
            return True
        last = {word.rpartition(" ")[2] for word in self.nouns}
        return noun in last or noun.rpartition(" ")[2] in self.nouns

    def might_have(self, colour: str) -> bool:
        """A person could use this colour word for it."""
        near = {colour, *NEAR_COLOURS.get(colour, ())}
        return self.colour in near or colour in self.tints


WIDER_KINDS = {"bird": ("animal",), "fish": ("animal",), "big cat": ("animal",),
               "insect": ("animal",)}
NEAR_COLOURS = {
    "red": ("orange", "pink", "brown"), "orange": ("red", "yellow", "brown"),
    "yellow": ("orange",), "brown": ("orange", "red"), "pink": ("purple", "red"),
    "purple": ("pink", "blue"), "blue": ("purple",), "gray": ("white", "black"),
    "white": ("gray",), "black": ("gray",),
}
FAMILIES: dict[str, frozenset[str]] = {}  # kind -> names of that kind; filled by `load_catalogue`


@dataclass(frozen=True)
class CutOut:
    """A cut-out: its path in the library, its label and its split."""

    path: str
    label: Label
    split: str


@dataclass(frozen=True)
class Background:
    """A picture to paste on.

    Args:
        path: in the library.
        split: "train", "val" or "test".
        photograph: a photograph, not a drawing.
        contents: nouns of what may be seen in it; no sentence asks for these.
    """

    path: str
    split: str
    photograph: bool
    contents: frozenset[str]


@dataclass(frozen=True)
class Pool:
    """What the scenes of one split are made of.

    Args:
        targets: cut-outs that sentences may mean.
        fillers: others that stand beside them.
        backgrounds: pictures below.
    """

    targets: tuple[CutOut, ...]
    fillers: tuple[CutOut, ...]
    backgrounds: tuple[Background, ...]


@dataclass(frozen=True)
class Catalogue:
    """All cut-outs and backgrounds."""

    cut_outs: tuple[CutOut, ...]
    backgrounds: tuple[Background, ...]

    def pool(self, split: str) -> Pool:
        """What a split may use: its own cut-outs, train's beside them, its own backgrounds.

        Raises ValueError for an unknown split.
        """
        if split not in SPLITS:
            raise ValueError(f"expected a split of {', '.join(SPLITS)}, got {split!r}")
        side = split.partition("_")[0]
        return Pool(
            targets=tuple(item for item in self.cut_outs if item.split == split),
            fillers=tuple(item for item in self.cut_outs if item.split == "train"),
            backgrounds=tuple(item for item in self.backgrounds if item.split == side))


def load_catalogue(folder: Path = ASSETS) -> Catalogue:
    """The catalogue that ships, or one in another folder (`cut_outs.json`, `backgrounds.json`)."""
    rows = _rows(folder / "cut_outs.json")
    cut_outs = tuple(
        CutOut(row["path"], Label(row["name"], row["kind"], row["colour"], tuple(row["tints"])),
               row["split"]) for row in rows)
    _learn_families(cut_outs)
    backgrounds = tuple(
        Background(row["path"], row["split"], row["photograph"], frozenset(row["contents"]))
        for row in _rows(folder / "backgrounds.json"))
    return Catalogue(cut_outs, backgrounds)


def _learn_families(cut_outs: Sequence[CutOut]) -> None:
    families: dict[str, set[str]] = {}
    for item in cut_outs:
        if item.label.kind:
            families.setdefault(item.label.kind, set()).add(item.label.name)
    FAMILIES.update({kind: frozenset(names) for kind, names in families.items()})


def _rows(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["rows"]
