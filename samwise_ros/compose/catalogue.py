"""What may be pasted on what: cut-outs with their names and colours, backgrounds, splits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

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
        family: names of the other things of its kind, if `name` is no more than the kind.
    """

    name: str
    kind: str | None = None
    colour: str | None = None
    tints: tuple[str, ...] = ()
    family: frozenset[str] = frozenset()

    @cached_property
    def nouns(self) -> frozenset[str]:
        """All nouns that mean it: name, synonyms, kinds."""
        kinds = {self.kind} if self.kind else set()
        kinds |= {wider for kind in kinds for wider in WIDER_KINDS.get(kind, ())}
        return frozenset({self.name, *SYNONYMS.get(self.name, ()), *kinds})

    def might_be(self, noun: str) -> bool:
        """A person could use this noun for it, rightly or nearly so."""
        if noun in self.nouns or noun in self.family:
            return True
        last = {word.rpartition(" ")[2] for word in self.nouns}
        return noun in last or noun.rpartition(" ")[2] in self.nouns

    def might_have(self, colour: str) -> bool:
        """A person could use this colour word for it."""
        near = {colour, *NEAR_COLOURS.get(colour, ())}
        return self.colour in near or colour in self.tints


WIDER_KINDS = {"bird": ("animal",), "fish": ("animal",), "big cat": ("animal",),
               "insect": ("animal",), "tree": ("plant",), "flower": ("plant",),
               "fruit": ("food",), "vegetable": ("food",), "nut": ("food",)}
NEAR_COLOURS = {
    "red": ("orange", "pink", "brown"), "orange": ("red", "yellow", "brown"),
    "yellow": ("orange",), "brown": ("orange", "red"), "pink": ("purple", "red"),
    "purple": ("pink", "blue"), "blue": ("purple",), "gray": ("white", "black"),
    "white": ("gray",), "black": ("gray",),
}


@dataclass(frozen=True)
class CutOut:
    """A cut-out: its path in the library, its label, its split.

    `rendered`: drawn by a computer, not photographed.
    """

    path: str
    label: Label
    split: str
    rendered: bool = False


@dataclass(frozen=True)
class Native:
    """A thing that a photograph shows.

    Args:
        label: what it is.
        whole: not cut by the border.
        outline: polygons [n, 2] of column and row in parts of width and height; even-odd rule.
    """

    label: Label
    whole: bool
    outline: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Background:
    """A picture to paste on.

    Args:
        path: in the library.
        split: "train", "val" or "test"; of a photograph with natives one of SPLITS.
        photograph: a photograph, not a drawing.
        contents: nouns of what may be seen in it; no sentence asks for these.
        natives: things in it whose pixels are known, the later before the earlier.
    """

    path: str
    split: str
    photograph: bool
    contents: frozenset[str]
    natives: tuple[Native, ...] = ()


def native_labels(background: Background, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W] of `size`: number from 1 of the native that is seen, 0 elsewhere."""
    labels = np.zeros(size, np.uint8)
    extent = np.array(size[::-1]) * 16  # in sixteenths of a pixel
    for number, native in enumerate(background.natives, start=1):
        corners = [np.round(part * extent - 8).astype(np.int32) for part in native.outline]
        cv2.fillPoly(labels, corners, number, shift=4)
    return labels


@dataclass(frozen=True)
class Pool:
    """What the scenes of one split are made of.

    Args:
        targets: cut-outs that sentences may mean.
        fillers: others that stand beside them.
        backgrounds: pictures below.
        photographs: pictures below that bring objects of their own.
    """

    targets: tuple[CutOut, ...]
    fillers: tuple[CutOut, ...]
    backgrounds: tuple[Background, ...]
    photographs: tuple[Background, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """All cut-outs, backgrounds, and photographs with things of known outline in them."""

    cut_outs: tuple[CutOut, ...]
    backgrounds: tuple[Background, ...]
    photographs: tuple[Background, ...] = ()

    def vocabulary(self, split: str) -> dict[str, str | None]:
        """Names that scenes of a split may ask for, with their kinds; the kinds are among them."""
        pool = self.pool(split)
        labels = [item.label for item in (*pool.targets, *pool.fillers)]
        return {**{label.kind: None for label in labels if label.kind},
                **{label.name: label.kind for label in labels}}

    def pool(self, split: str) -> Pool:
        """What a split may use: its own cut-outs, train's beside them, its own backgrounds.

        Rendered cut-outs are for training only. Raises ValueError for an unknown split.
        """
        if split not in SPLITS:
            raise ValueError(f"expected a split of {', '.join(SPLITS)}, got {split!r}")
        side = split.partition("_")[0]
        return Pool(
            targets=tuple(item for item in self.cut_outs if item.split == split),
            fillers=tuple(item for item in self.cut_outs
                          if item.split == "train" and (split == "train" or not item.rendered)),
            backgrounds=tuple(item for item in self.backgrounds if item.split == side),
            photographs=tuple(item for item in self.photographs if item.split == split))


def load_catalogue(folder: Path = ASSETS) -> Catalogue:
    """The catalogue that ships, or one in another folder.

    The folder holds `cut_outs.json`, `renders.json`, `backgrounds.json` and `photographs.json`.
    """
    cut_rows, photo_rows = _rows(folder / "cut_outs.json"), _rows(folder / "photographs.json")
    drawn_rows = _rows(folder / "renders.json")
    families = _families([*cut_rows, *drawn_rows,
                          *(entry for row in photo_rows for entry in row["objects"])])
    photographs = tuple(
        Background(row["path"], row["split"], True, frozenset(row["contents"]),
                   tuple(_native(entry, families) for entry in row["objects"]))
        for row in photo_rows)
    cut_outs = tuple(CutOut(row["path"], _label(row, families), row["split"]) for row in cut_rows)
    cut_outs += tuple(CutOut(row["path"], _label(row, families), "train", rendered=True)
                      for row in drawn_rows)
    cut_outs += tuple(CutOut(f"{picture.path}#{number}", native.label, picture.split)
                      for picture in photographs
                      for number, native in enumerate(picture.natives, start=1) if native.whole)
    backgrounds = tuple(
        Background(row["path"], row["split"], row["photograph"], frozenset(row["contents"]))
        for row in _rows(folder / "backgrounds.json"))
    return Catalogue(cut_outs, backgrounds, photographs)


Families = dict[str | None, frozenset[str]]


def _families(rows: Sequence[dict[str, Any]]) -> Families:
    """Names by kind."""
    return {kind: frozenset(row["name"] for row in rows if row["kind"] == kind)
            for kind in {row["kind"] for row in rows} - {None}}


def _label(row: dict[str, Any], families: Families) -> Label:
    name, kind = row["name"], row["kind"]
    family = families[kind] if name == kind else frozenset()
    return Label(name, kind, row["colour"], tuple(row["tints"]), family)


def _native(row: dict[str, Any], families: Families) -> Native:
    outline = tuple(np.array(part, float) for part in row["outline"])
    return Native(_label(row, families), row["whole"], outline)


def _rows(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["rows"]
