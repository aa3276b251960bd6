"""Expressions about motion: who moves how, and motions that nobody makes."""

from __future__ import annotations

from samwise_ros.sim.facts import ClipFacts
from samwise_ros.sim.motion_words import HELD_OUT_MOTION_TEMPLATES, MOTION_TEMPLATES
from samwise_ros.sim.phrases import PhraseBook

Candidate = tuple[str, tuple[int, ...]]


def motion_phrases(facts: ClipFacts, book: PhraseBook) -> list[Candidate]:
    """Noun phrases with their one target, for every motion that singles out an object.

    Candidates are looked for among all objects, the objects of one class and of one colour. Those
    in which another object of the same class does something else come twice as often: there,
    only the motion tells.
    """
    found: list[Candidate] = []
    for tags in MOTION_TEMPLATES:
        for colour, name in _sets(facts):
            members = facts.members(colour, name)
            target = singled_out(facts, members, tags)
            if target is None or not facts.ever_visible(target):
                continue
            for _ in range(2 if len(members) > 1 else 1):
                found.append((phrase(book, tags, colour, name), (target,)))
    return found


def singled_out(facts: ClipFacts, members: list[int], tags: tuple[str, ...]) -> int | None:
    """The only member of which all `tags` are true, if no other might be meant; else None."""
    wanted = set(tags)
    true = [index for index in members if wanted <= facts.tags[index]]
    perhaps = [index for index in members if _might(facts, index, tags)]
    return true[0] if len(true) == 1 and perhaps == true else None


def absent_motion_phrases(facts: ClipFacts, book: PhraseBook) -> list[str]:
    """One noun phrase for a motion that the named object does not make, or []."""
    options = [
        (tags, colour, name)
        for tags in MOTION_TEMPLATES
        if tags != ("still",)
        for colour, name in _sets(facts)
        if not any(_might(facts, index, tags) for index in facts.members(colour, name))
    ]
    return [phrase(book, *option) for option in book.sample(options, 1)]


def _might(facts: ClipFacts, index: int, tags: tuple[str, ...]) -> bool:
    return set(tags) <= facts.tags[index] | facts.possible_tags[index]


def phrase(book: PhraseBook, tags: tuple[str, ...], colour: str | None, name: str | None) -> str:
    """A wording of "the object of this colour and class that does this"."""
    template = book.choose(MOTION_TEMPLATES[tags], HELD_OUT_MOTION_TEMPLATES.get(tags, ()))
    return template.format(set=book.set_name(colour, name))


def _sets(facts: ClipFacts) -> list[tuple[str | None, str | None]]:
    colours = sorted({item.colour for item in facts.objects})
    names = sorted({item.class_name for item in facts.objects})
    pairs = sorted({(item.colour, item.class_name) for item in facts.objects})
    sets: list[tuple[str | None, str | None]] = [(None, None), (None, None)]
    sets += [(None, name) for name in names for _ in range(2)]
    return sets + [(colour, None) for colour in colours] + pairs[:2]
