"""Makes one composed clip: plan, pixels, facts, sentences."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samwise_ros.compose.catalogue import Catalogue
from samwise_ros.compose.expressions import Sentence, SentenceWriter
from samwise_ros.compose.facts import ComposedFacts, measure
from samwise_ros.compose.library import PictureLibrary
from samwise_ros.compose.render import Rendered, render
from samwise_ros.compose.scene import ScenePlan, SceneSettings, plan_scene

MAX_VARIANTS = 6


@dataclass(frozen=True)
class ComposedClip:
    """A finished clip; `probe`: the parts in a scene made to test something, else None."""

    plan: ScenePlan
    rendered: Rendered
    facts: ComposedFacts
    sentences: Sequence[Sentence]
    probe: dict[str, Any] | None = None


def clip_rng(split: str, seed: int, clip: int, variant: int) -> np.random.Generator:
    """The random numbers of one clip; no two splits or seeds share a stream."""
    return np.random.default_rng([zlib.crc32(split.encode()), seed, clip, variant])


def compose_clip(split: str, seed: int, clip: int, settings: SceneSettings, catalogue: Catalogue,
                 library: PictureLibrary) -> ComposedClip:
    """Makes clip number `clip`; equal arguments and pictures give an equal clip.

    A clip about which nothing can be asked is planned anew, at most MAX_VARIANTS times.
    """
    pool = catalogue.pool(split)
    vocabulary = sorted({item.label.name for item in (*pool.targets, *pool.fillers)}
                        | {item.label.kind for item in pool.targets if item.label.kind})
    for variant in range(MAX_VARIANTS):
        rng = clip_rng(split, seed, clip, variant)
        plan = plan_scene(split, pool, settings, rng)
        rendered = render(plan, library, rng)
        facts = measure(plan, rendered)
        sentences = SentenceWriter(facts, vocabulary, split.startswith("test"), rng).write()
        if any(sentence.targets for sentence in sentences):
            break
    return ComposedClip(plan, rendered, facts, sentences)
