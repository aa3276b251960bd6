"""What stands in a scene: objects with class, colour and size, surface and light.

The choice of objects is what makes the data worth learning from. Wherever there is room, the
scene holds an object of another class in the same colour and one of the same class in another
colour, so that neither colour alone nor class alone answers "the red mug".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from samwise_ros.sim.assets import (
    ASSETS,
    CLASS_NAMES,
    CLASS_WEIGHTS,
    COLOUR_NAMES,
    COLOURS,
    EXCLUSIVE_CLASSES,
    Vector,
)

ROOM_FACTOR = {1: 1.25, 2: 1.25, 3: 1.15, 4: 1.05}
PLACES = ("table", "floor")
SPLITS = ("train", "val", "test")

# Colour and class pairs that occur only in the test split (every class and every colour is seen
# in training, but never together in these pairs).
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "mug"),
        ("blue", "duck"),
        ("green", "car"),
        ("yellow", "teddy"),
        ("purple", "ball"),
        ("orange", "robot"),
        ("white", "cube"),
        ("black", "lego"),
    }
)


@dataclass(frozen=True)
class ObjectContent:
    """One object: `class_name`, `colour` name, `rgb` (sRGB 0..1), `size` (largest side [m])."""

    class_name: str
    colour: str
    rgb: Vector
    size: float

    @cached_property
    def box(self) -> np.ndarray:
        """Sides [m], float64 [3], of the upright bounding box in the object's own frame."""
        return ASSETS[self.class_name].box(self.size)


@dataclass(frozen=True)
class SurfaceContent:
    """The surroundings: `place` is "table" or "floor"; colours are sRGB 0..1.

    `texture_seed` fixes the drawn textures; `light` points from the scene to the lamp.
    """

    place: str
    surface_rgb: Vector
    floor_rgb: Vector
    wall_rgb: Vector
    texture_seed: int
    light: Vector
    ambient: float
    diffuse: float
    specular: float
    shadow: bool


def allowed_pairs(split: str) -> list[tuple[str, str]]:
    """All (colour, class) pairs that may appear in `split`.

    Raises:
        ValueError: `split` is not one of `SPLITS`.
    """
    if split not in SPLITS:
        raise ValueError(f"expected a split of {SPLITS}, got {split!r}")
    pairs = [(colour, name) for colour in COLOUR_NAMES for name in CLASS_NAMES]
    return pairs if split == "test" else [pair for pair in pairs if pair not in HELD_OUT_PAIRS]


class PairSampler:
    """Draws the (colour, class) pairs of one scene."""

    def __init__(self, split: str, rng: np.random.Generator) -> None:
        self._allowed = allowed_pairs(split)
        self._test = split == "test"
        self._rng = rng

    def draw(self, count: int) -> list[tuple[str, str]]:
        """`count` different pairs; which pattern they follow is random.

        Patterns: "distractors" (a target, its colour on another class, its class in another
        colour, then more of the same kind), "one colour" (only the class tells), "one class"
        (only the colour tells) and "free".
        """
        pattern = self._rng.choice(
            ["distractors", "one colour", "one class", "free"], p=[0.68, 0.14, 0.1, 0.08]
        )
        pairs = [self._first()]
        while len(pairs) < count:
            pairs.append(self._matching(self._wish(str(pattern), pairs), pairs))
        order = self._rng.permutation(count)
        return [pairs[index] for index in order]

    def _wish(self, pattern: str, pairs: list[tuple[str, str]]) -> tuple[str | None, str | None]:
        """Colour and class asked of the next pair (None: any)."""
        colour, name = pairs[0]
        if pattern == "one colour":
            return colour, None
        if pattern == "one class":
            return None, name
        if pattern == "free":
            return None, None
        return (
            [(colour, None), (None, name)][len(pairs) - 1] if len(pairs) < 3 else self._echo(pairs)
        )

    def _echo(self, pairs: list[tuple[str, str]]) -> tuple[str | None, str | None]:
        """For a fourth object and on: repeat a colour (mostly) or a class that is there."""
        colour, name = pairs[int(self._rng.integers(len(pairs)))]
        return (colour, None) if self._rng.random() < 0.7 else (None, name)

    def _first(self) -> tuple[str, str]:
        held = [pair for pair in self._allowed if pair in HELD_OUT_PAIRS]
        # Half of the test scenes are built around a pair never seen in training.
        pool = held if self._test and self._rng.random() < 0.5 else self._allowed
        return self._choose(pool)

    def _matching(
        self, wanted: tuple[str | None, str | None], taken: list[tuple[str, str]]
    ) -> tuple[str, str]:
        colour, name = wanted
        free = [pair for pair in self._allowed if pair not in taken and self._fits(pair, taken)]
        fitting = [
            pair
            for pair in free
            if (colour is None or pair[0] == colour) and (name is None or pair[1] == name)
        ]
        if colour is not None:  # prefer a class that is not there yet: "the duck" stays unique
            classes = {pair[1] for pair in taken}
            fitting = [pair for pair in fitting if pair[1] not in classes] or fitting
        return self._choose(fitting or free)

    @staticmethod
    def _fits(pair: tuple[str, str], taken: list[tuple[str, str]]) -> bool:
        classes = {name for _, name in taken} | {pair[1]}
        return not any(group <= classes for group in EXCLUSIVE_CLASSES)

    def _choose(self, pairs: list[tuple[str, str]]) -> tuple[str, str]:
        weights = np.array([CLASS_WEIGHTS[name] for _, name in pairs])
        return pairs[int(self._rng.choice(len(pairs), p=weights / weights.sum()))]


def sample_objects(split: str, count: int, rng: np.random.Generator) -> list[ObjectContent]:
    """Objects of one scene, mostly 0.17 to 0.32 m times the proportion of their class."""
    # Few objects leave room for larger ones, which a small network sees better.
    base = sample_scale(count, rng)
    return [sample_object(pair, base, rng) for pair in PairSampler(split, rng).draw(count)]


def sample_scale(count: int, rng: np.random.Generator) -> float:
    """Common scale [m] of the `count` objects of one scene."""
    return float(rng.uniform(0.20, 0.265) * ROOM_FACTOR.get(count, 1.0))


def sample_object(pair: tuple[str, str], scale: float, rng: np.random.Generator) -> ObjectContent:
    """An object of a (colour, class) pair: at times a large one, its colour never quite pure."""
    colour, name = pair
    size = scale * rng.uniform(0.85, 1.2) * ASSETS[name].proportion
    if rng.random() < 0.15:
        size *= 1.35
    jitter = rng.normal(0.0, 0.02, 3) + rng.normal(0.0, 0.02)
    red, green, blue = np.clip(np.add(COLOURS[colour], jitter), 0.03, 1.0)
    return ObjectContent(name, colour, (float(red), float(green), float(blue)), float(size))


def sample_surface(rng: np.random.Generator) -> SurfaceContent:
    """Table or floor in a dull colour (the objects keep the strong ones), and one lamp."""

    def dull() -> Vector:
        grey = rng.uniform(0.38, 0.72)
        warm = rng.uniform(-0.02, 0.09)
        return (grey + warm, grey + warm * 0.4, grey - warm * 0.8)

    light = (float(rng.uniform(-1, 1)), float(rng.uniform(-1.2, 0.2)), float(rng.uniform(1.2, 2.2)))
    return SurfaceContent(
        place="table" if rng.random() < 0.6 else "floor",
        surface_rgb=dull(),
        floor_rgb=dull(),
        wall_rgb=dull(),
        texture_seed=int(rng.integers(2**31)),
        light=light,
        ambient=float(rng.uniform(0.5, 0.7)),
        diffuse=float(rng.uniform(0.3, 0.5)),
        specular=float(rng.uniform(0.0, 0.08)),
        shadow=bool(rng.random() < 0.35),
    )
