"""What only the test split contains: pairs of colour and class, and sentence templates."""

from __future__ import annotations

from itertools import chain

from samwise_ros.sim import vocabulary as words
from samwise_ros.sim.content import HELD_OUT_PAIRS
from samwise_ros.sim.motion_words import HELD_OUT_MOTION_TEMPLATES

__all__ = ["HELD_OUT_PAIRS", "HELD_OUT_TEMPLATES"]

HELD_OUT_TEMPLATES: frozenset[str] = frozenset(
    chain(
        words.HELD_OUT_WRAPPERS,
        words.HELD_OUT_COLOUR_TEMPLATES,
        words.HELD_OUT_CLASS_TEMPLATES,
        words.HELD_OUT_COLOUR_CLASS_TEMPLATES,
        *words.HELD_OUT_EXTREME_TEMPLATES.values(),
        *words.HELD_OUT_PAIR_TEMPLATES.values(),
        *HELD_OUT_MOTION_TEMPLATES.values(),
    )
)
