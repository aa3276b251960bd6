"""Chooses what is asked about a clip, so that every expression has exactly one answer.

Kinds: `colour`, `class`, `colour_class`, `relation`, `motion` and `absent`. The answer of an
absent expression is no object; a plural expression ("all mugs") is answered by a union.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from samwise_ros.sim import vocabulary as words
from samwise_ros.sim.assets import CLASS_NAMES, COLOUR_NAMES, EXCLUSIVE_CLASSES
from samwise_ros.sim.content import allowed_pairs
from samwise_ros.sim.facts import ClipFacts
from samwise_ros.sim.motion_phrases import absent_motion_phrases, motion_phrases
from samwise_ros.sim.phrases import PhraseBook
from samwise_ros.sim.relations import between, extreme, satisfying

KINDS = ("colour", "class", "colour_class", "relation", "motion", "absent")


@dataclass(frozen=True)
class Expression:
    """A sentence, its kind, and the indices of the objects that it means (none: absent)."""

    text: str
    kind: str
    targets: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"expected a kind of {KINDS}, got {self.kind!r}")
        if (self.kind == "absent") != (not self.targets):
            raise ValueError(f"expected targets exactly if present, got {self}")


Candidate = tuple[str, tuple[int, ...]]


class ExpressionWriter:
    """Writes the expressions of one clip.

    Args:
        facts: what was measured in the clip.
        split: which templates and pairs may be used.
        rng: source of randomness.
    """

    def __init__(self, facts: ClipFacts, split: str, rng: np.random.Generator) -> None:
        self._facts = facts
        self._rng = rng
        self._book = PhraseBook(split, rng)
        self._split = split

    def write(self, moving: bool) -> list[Expression]:
        """About a dozen expressions; `moving` clips are also asked about motion."""
        quota: dict[str, tuple[Callable[[], list[Candidate]], int]] = {
            "colour": (self._colour, 2),
            "class": (self._class, 4),
            "colour_class": (self._colour_class, 3),
            "relation": (self._relation, 3),
        }
        if moving:
            quota["motion"] = (lambda: motion_phrases(self._facts, self._book), 4)
        quota["absent"] = (lambda: self._absent(moving), 3)
        result: list[Expression] = []
        for kind, (make, count) in quota.items():
            for noun_phrase, targets in self._pick(make(), count):
                result.append(Expression(self._book.sentence(noun_phrase), kind, targets))
        return result

    def about(self, target: int, quota: Mapping[str, int]) -> list[Expression]:
        """Up to `quota[kind]` expressions of each kind that mean the object `target` alone."""
        makers: dict[str, Callable[[], list[Candidate]]] = {
            "colour": self._colour,
            "class": self._class,
            "colour_class": self._colour_class,
            "relation": self._relation,
            "motion": lambda: motion_phrases(self._facts, self._book),
        }
        result: list[Expression] = []
        for kind, count in quota.items():
            meant = [candidate for candidate in makers[kind]() if candidate[1] == (target,)]
            for noun_phrase, targets in self._pick(meant, count):
                result.append(Expression(self._book.sentence(noun_phrase), kind, targets))
        return result

    def _pick(self, candidates: list[Candidate], count: int) -> list[Candidate]:
        order = self._rng.permutation(len(candidates))
        chosen: dict[str, Candidate] = {}
        for index in order:
            chosen.setdefault(candidates[index][0], candidates[index])
        return list(chosen.values())[:count]

    def _seen(self, indices: list[int]) -> bool:
        return all(self._facts.ever_visible(index) for index in indices)

    def _colour(self) -> list[Candidate]:
        found: list[Candidate] = []
        for colour in COLOUR_NAMES:
            members = self._facts.members(colour=colour)
            if len(members) == 1 and self._seen(members):
                found += [(self._book.colour(colour), (members[0],)) for _ in range(2)]
            elif len(members) > 1 and self._seen(members) and self._rng.random() < 0.3:
                found.append((self._book.union(colour, None), tuple(members)))
        return found

    def _class(self) -> list[Candidate]:
        """Only where the colour of the one member is repeated would class be the only clue.

        A class whose member also has a unique colour is asked for too, but less often.
        """
        found: list[Candidate] = []
        for name in CLASS_NAMES:
            members = self._facts.members(class_name=name)
            if len(members) == 1 and self._seen(members):
                shared = len(self._facts.members(self._facts.objects[members[0]].colour)) > 1
                if shared or self._rng.random() < 0.35:
                    found += [(self._book.class_only(name), (members[0],)) for _ in range(2)]
            elif len(members) > 1 and self._seen(members) and self._rng.random() < 0.3:
                found.append((self._book.union(None, name), tuple(members)))
        return found

    def _colour_class(self) -> list[Candidate]:
        found: list[Candidate] = []
        for index, item in enumerate(self._facts.objects):
            if self._seen([index]) and self._facts.members(item.colour, item.class_name) == [index]:
                found.append((self._book.colour_class(item.colour, item.class_name), (index,)))
        return found

    # -- relations ----------------------------------------------------------------------------

    def _sets(self) -> list[tuple[str | None, str | None]]:
        """Candidate sets worth comparing inside: everything, or one class or colour."""
        colours = sorted({item.colour for item in self._facts.objects})
        names = sorted({item.class_name for item in self._facts.objects})
        return [(None, None)] + [(c, None) for c in colours] + [(None, n) for n in names]

    def _relation(self) -> list[Candidate]:
        found: list[Candidate] = []
        for colour, name in self._sets():
            members = self._facts.members(colour, name)
            for relation, templates in words.EXTREME_TEMPLATES.items():
                target = extreme(self._facts, relation, members)
                if target is not None:
                    held_out = words.HELD_OUT_EXTREME_TEMPLATES[relation]
                    text = self._book.choose(templates, held_out)
                    found.append((text.format(set=self._book.set_name(colour, name)), (target,)))
        return found + self._pairs() + self._betweens()

    def _pairs(self) -> list[Candidate]:
        found: list[Candidate] = []
        for other in range(len(self._facts.objects)):
            reference = self._book.reference(self._facts, other)
            if reference is None:
                continue
            for colour, name in self._sets():
                members = [i for i in self._facts.members(colour, name) if i != other]
                # With one member the class alone would answer; keep a few of those.
                if len(members) < 2 and self._rng.random() < 0.75:
                    continue
                for relation, templates in words.PAIR_TEMPLATES.items():
                    target = satisfying(self._facts, relation, members, other)
                    if target is not None:
                        held_out = words.HELD_OUT_PAIR_TEMPLATES[relation]
                        text = self._book.choose(templates, held_out)
                        phrase = text.format(set=self._book.set_name(colour, name), other=reference)
                        found.append((phrase, (target,)))
        return found

    def _betweens(self) -> list[Candidate]:
        found: list[Candidate] = []
        count = len(self._facts.objects)
        for first in range(count):
            for second in range(first + 1, count):
                members = [i for i in range(count) if i not in (first, second)]
                target = between(self._facts, members, first, second)
                names = [self._book.reference(self._facts, i) for i in (first, second)]
                if target is None or None in names:
                    continue
                text = self._book.choose(words.BETWEEN_TEMPLATES)
                phrase = text.format(
                    set=self._book.choose(words.THINGS), other=names[0], second=names[1]
                )
                found.append((phrase, (target,)))
        return found

    # -- absent -------------------------------------------------------------------------------

    def _absent(self, moving: bool) -> list[Candidate]:
        """Things that are not there: many near misses, some far ones."""
        colours = {item.colour for item in self._facts.objects}
        names = {item.class_name for item in self._facts.objects}
        pairs = {(item.colour, item.class_name) for item in self._facts.objects}
        other_colours = [c for c in COLOUR_NAMES if c not in colours]
        other_names = [n for n in CLASS_NAMES if n not in names and not self._confusable(n, names)]
        if self._facts.arm:  # a person may well call the arm a robot
            other_names = [name for name in other_names if name != "robot"]
        near = [(c, n) for c in sorted(colours) for n in sorted(names) if (c, n) not in pairs]
        half = [(c, n) for c in other_colours for n in sorted(names)]
        half += [(c, n) for c in sorted(colours) for n in other_names]
        found: list[Candidate] = []
        # In training a held-out pair must not be met as "what is never there" either.
        allowed = set(allowed_pairs(self._split))
        for pool, count in ((near, 2), (half, 1)):
            pool = [pair for pair in pool if pair in allowed]
            for index in self._rng.permutation(len(pool))[:count]:
                found.append((self._book.colour_class(*pool[index]), ()))
        found.append((self._book.class_only(str(self._rng.choice(other_names))), ()))
        if other_colours:
            found.append((self._book.colour(str(self._rng.choice(other_colours))), ()))
        if moving:
            found += [(text, ()) for text in absent_motion_phrases(self._facts, self._book)]
        return found

    @staticmethod
    def _confusable(name: str, present: set[str]) -> bool:
        return any(name in group and group & present for group in EXCLUSIVE_CLASSES)
