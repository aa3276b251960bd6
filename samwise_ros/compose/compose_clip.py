"""Makes one composed clip: plan, pixels, facts, sentences."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samwise_ros.compose.catalogue import Catalogue
from samwise_ros.compose.composed_facts import ComposedFacts, measure
from samwise_ros.compose.composition import ScenePlan, SceneSettings, plan_scene
from samwise_ros.compose.errors import ComposeError
from samwise_ros.compose.library import PictureLibrary
from samwise_ros.compose.probes import PROBES
from samwise_ros.compose.render import Rendered, render
from samwise_ros.compose.sentences import Sentence, SentenceWriter

MAX_VARIANTS = 60  # one in two to six does


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
                 library: PictureLibrary, probe: str | None = None) -> ComposedClip:
    """Makes clip number `clip`; equal arguments and pictures give an equal clip.

    A clip about which nothing can be asked, or that does not show what its probe needs, is planned
    anew. Raises ComposeError when MAX_VARIANTS plans did not do.
    """
    pool, vocabulary = catalogue.pool(split), catalogue.vocabulary(split)
    test = PROBES[probe] if probe else None
    for variant in range(MAX_VARIANTS):
        rng = clip_rng(split if probe is None else f"{probe} {split}", seed, clip, variant)
        plan = (test.plan if test else plan_scene)(split, pool, settings, rng)
        rendered = render(plan, library, rng)
        facts = measure(plan, rendered)

        def writer(part: ComposedFacts, rng: np.random.Generator = rng) -> SentenceWriter:
            return SentenceWriter(part, vocabulary, split.startswith("test"), rng)

        parts = test.parts(facts) if test else None
        if test and parts is None:
            continue
        sentences = test.sentences(facts, parts, writer) if test and parts else \
            writer(facts).write()
        if any(sentence.targets for sentence in sentences):
            return ComposedClip(plan, rendered, facts, sentences, parts)
    raise ComposeError(f"clip {clip} of {split}, seed {seed}: none of {MAX_VARIANTS} scenes did; "
                       "another seed or more frames may")
