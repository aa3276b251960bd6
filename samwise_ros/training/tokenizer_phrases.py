"""The sentences that nano's tokeniser is trained on: simulated expressions and motion wordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from samwise_ros.data.files import read_json
from samwise_ros.sim import vocabulary as words
from samwise_ros.sim.motion_words import MOTION_TEMPLATES


def training_phrases(folders: Sequence[Path | str]) -> Iterator[str]:
    """Sentences of data sets in the MeViS layout, then every motion wording with every noun.

    Args:
        folders: Training folders (never test: held-out wordings would leak into the merges).
    """
    for folder in folders:
        meta = read_json(Path(folder) / "meta_expressions.json", "Simulate the split first.")
        for video in meta["videos"].values():
            yield from (expression["exp"] for expression in video["expressions"].values())
    nouns = sorted({noun for group in words.NOUNS.values() for noun in group})
    for templates in MOTION_TEMPLATES.values():
        for template in templates:
            yield from (template.format(set=noun) for noun in (*nouns, *words.THINGS))
