"""Sentences about a composed clip, each with exactly one answer, and where their nouns stand.

`kind` is that of the simulator (`samwise evaluate` groups by it), `form` is finer: name, synonym,
hypernym, colour, colour_name, size, side, relation, between, motion, and absent_... of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samwise_ros.compose import words
from samwise_ros.compose.composed_facts import ComposedFacts, between, extreme, satisfying

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white",
           "gray")
QUOTA = {"name": 2, "synonym": 1, "hypernym": 1, "colour": 1, "colour_name": 2, "size": 1,
         "side": 2, "relation": 3, "between": 1, "motion": 4, "absent_name": 2, "absent_kind": 1,
         "absent_colour": 1, "absent_relation": 1, "absent_motion": 1}
KIND_OF_FORM = {"name": "class", "synonym": "class", "hypernym": "class", "colour": "colour",
                "colour_name": "colour_class", "size": "relation", "side": "relation",
                "relation": "relation", "between": "relation", "motion": "motion"}
Span = tuple[int, int]
_MARKS = re.compile("[\x01\x02\x03\x04]")


@dataclass(frozen=True)
class Sentence:
    """One sentence.

    Args:
        text: as asked.
        kind, form: see the module.
        targets: object numbers; none when what is named is absent.
        noun: start and end of the noun phrase that names the target, without article and adjective.
        anchors: the same for the objects of a relation.
        named: the noun is a name or kind, not a word like "thing".
    """

    text: str
    kind: str
    form: str
    targets: tuple[int, ...]
    noun: Span
    anchors: tuple[Span, ...]
    named: bool


@dataclass(frozen=True)
class _Draft:
    phrase: str  # with marks around nouns
    targets: tuple[int, ...]
    form: str
    named: bool = True


class SentenceWriter:
    """Writes the sentences of one clip.

    Args:
        facts: what was measured.
        vocabulary: nouns that may be asked for where they are absent, with their kinds.
        held_out: also use the wordings that training never sees.
        rng: source of randomness.
    """

    def __init__(self, facts: ComposedFacts, vocabulary: Mapping[str, str | None], held_out: bool,
                 rng: np.random.Generator) -> None:
        self._facts = facts
        self._vocabulary = vocabulary
        self._held_out = held_out
        self._rng = rng
        self._count = len(facts.labels)

    def write(self, quota: dict[str, int] | None = None) -> list[Sentence]:
        """Up to `quota[form]` sentences of each form that the clip allows."""
        drafts = [*self._names(), *self._colours(), *self._extremes(), *self._pairs(),
                  *self._betweens(), *self._motions(), *self._absent()]
        result: list[Sentence] = []
        for form, count in (quota or QUOTA).items():
            fitting = [draft for draft in drafts if draft.form == form and self._may_ask(draft)]
            chosen: dict[str, _Draft] = {}
            for index in self._rng.permutation(len(fitting)):
                chosen.setdefault(fitting[index].phrase, fitting[index])
            result += [self._sentence(draft) for draft in list(chosen.values())[:count]]
        return result

    def _may_ask(self, draft: _Draft) -> bool:
        facts = self._facts
        return all(facts.asked[index] and facts.clear(index) for index in draft.targets)

    # -- one object by what it is -----------------------------------------------------------------

    def _names(self) -> Iterable[_Draft]:
        for index, label in enumerate(self._facts.labels):
            for noun in sorted(label.nouns):
                if self._facts.members(noun) == [index]:
                    form = ("name" if noun == label.name else
                            "synonym" if noun in words.SYNONYMS.get(label.name, ()) else "hypernym")
                    yield self._draft(words.NAME, form, (index,), noun, loose=True)

    def _colours(self) -> Iterable[_Draft]:
        for index, label in enumerate(self._facts.labels):
            if label.colour is None:
                continue
            if self._facts.members(None, label.colour) == [index]:
                yield self._draft(words.COLOUR, "colour", (index,), None, colour=label.colour)
            for noun in sorted(label.nouns):
                if self._facts.members(noun, label.colour) == [index]:
                    yield self._draft(words.COLOUR_NAME, "colour_name", (index,), noun,
                                      colour=label.colour, loose=True)

    # -- by comparison ------------------------------------------------------------------------

    def _sets(self) -> Iterable[tuple[str | None, list[int]]]:
        """Nouns (None: any thing) with the objects that they mean, where all agree on these."""
        nouns = sorted({noun for label in self._facts.labels for noun in label.nouns})
        for noun in (None, *nouns):
            members = self._facts.members(noun)
            if members:
                yield noun, members

    def _extremes(self) -> Iterable[_Draft]:
        for form, table in (("size", words.SIZE), ("side", words.SIDE)):
            for relation, templates in table.items():
                for noun, members in self._sets():
                    target = extreme(self._facts, relation, members)
                    if target is not None:
                        yield self._draft(templates, form, (target,), noun)

    def _pairs(self) -> Iterable[_Draft]:
        for other in range(self._count):
            reference = self._reference(other)
            if reference is None:
                continue
            for noun, members in self._sets():
                # With one member the noun alone would answer; keep a few of those.
                alone = len([index for index in members if index != other]) < 2
                if alone and self._rng.random() < 0.6:
                    continue
                for relation, templates in words.PAIR.items():
                    target = satisfying(self._facts, relation, members, other)
                    if target is not None:
                        yield self._draft(templates, "relation", (target,), noun, reference)

    def _betweens(self) -> Iterable[_Draft]:
        for first in range(self._count):
            for second in range(first + 1, self._count):
                one, other = self._reference(first), self._reference(second)
                if one is None or other is None:
                    continue
                for noun, members in self._sets():
                    target = between(self._facts, members, first, second)
                    if target is not None:
                        yield self._draft(words.BETWEEN, "between", (target,), noun, one, other)

    def _reference(self, index: int) -> str | None:
        """A phrase that means this object alone, with marks; None without one."""
        label = self._facts.labels[index]
        nouns = [noun for noun in sorted(label.nouns) if self._facts.members(noun) == [index]]
        if label.name in nouns and self._rng.random() < 0.6:
            nouns = [label.name]
        if nouns:
            return f"\x03{self._choose(nouns)}\x04"
        if label.colour and self._facts.members(label.name, label.colour) == [index]:
            return f"{label.colour} \x03{label.name}\x04"
        return None

    # -- by motion ----------------------------------------------------------------------------

    def _motions(self) -> Iterable[_Draft]:
        for tag, templates in words.MOTION.items():
            for noun, members in self._sets():
                true = [index for index in members if tag in self._facts.tags[index]]
                might = [index for index in members if tag in self._facts.possible_tags[index]]
                if len(true) == 1 and might == true and (
                        len(members) > 1 or self._rng.random() < 0.5):
                    yield self._draft(templates, "motion", (true[0],), noun)

    # -- what is not there --------------------------------------------------------------------

    def _absent(self) -> Iterable[_Draft]:
        facts = self._facts
        others = [noun for noun in sorted(self._vocabulary) if self._is_absent(noun)]
        for index in self._rng.permutation(len(others))[:4]:
            noun = others[index]
            yield self._draft(words.NAME, "absent_name", (), noun, loose=True)
        kinds = {label.kind for label in facts.labels if label.kind}
        near = [noun for noun in others if self._vocabulary[noun] in kinds]
        for index in self._rng.permutation(len(near))[:2]:
            yield self._draft(words.NAME, "absent_kind", (), near[index], loose=True)
        present = sorted({label.name for label in facts.labels})
        for noun in present:
            yield from self._wrong_colours(noun)
        references = [reference for index in range(self._count)
                      if (reference := self._reference(index)) and facts.clear(index)]
        if others and references:
            relation = self._choose(sorted(words.PAIR))
            yield self._draft(words.PAIR[relation], "absent_relation", (), self._choose(others),
                              self._choose(references))
        if len(facts.pixels) > 1:
            yield from self._wrong_motions(present)

    def _is_absent(self, noun: str) -> bool:
        facts = self._facts
        return noun not in facts.contents and not any(
            label.might_be(noun) for label in facts.labels)

    def _wrong_colours(self, noun: str) -> Iterable[_Draft]:
        if noun in self._facts.contents:
            return
        called = [label for label in self._facts.labels if label.might_be(noun)]
        wrong = [colour for colour in COLOURS
                 if not any(label.might_have(colour) or label.colour is None for label in called)]
        if wrong:
            yield self._draft(words.COLOUR_NAME, "absent_colour", (), noun,
                              colour=self._choose(wrong), loose=True)

    def _wrong_motions(self, present: Sequence[str]) -> Iterable[_Draft]:
        tags = [tag for tag in words.MOTION
                if not any(tag in possible for possible in self._facts.possible_tags)]
        nouns = [noun for noun in present if noun not in self._facts.contents]
        for tag in tags:
            if nouns:
                yield self._draft(words.MOTION[tag], "absent_motion", (), self._choose(nouns))

    # -- wording ------------------------------------------------------------------------------

    def _draft(self, templates: Sequence[str], form: str, targets: tuple[int, ...],
               noun: str | None, *anchors: str, colour: str = "", loose: bool = False) -> _Draft:
        template = self._choose(templates)
        thing = self._choose(words.THINGS)
        word = f"\x01{noun or thing}\x02"
        if noun is None and "{thing}" in template:
            template = template.replace("{thing}", word)
        for anchor in anchors:
            template = template.replace("{anchor}", anchor, 1)
        phrase = template.format(a=self._article(noun) if loose else "the", noun=word,
                                 colour=colour).strip()
        phrase = re.sub("^a (?=\x01?[aeiou])", "an ", phrase)
        if "\x01" not in phrase:  # "the red one", "something red": the word that stands for it
            phrase = re.sub(r"\b(one|something)\b", "\x01\\1\x02", phrase)
        return _Draft(phrase, targets, form, noun is not None)

    def _article(self, noun: str | None) -> str:
        draw = self._rng.random()
        if draw < 0.75:
            return "the"
        if draw < 0.87 or noun in words.PLURALS or noun in words.UNCOUNTED:
            return ""
        return "a"

    def _sentence(self, draft: _Draft) -> Sentence:
        held_out = self._held_out and self._rng.random() < 0.3
        wrapper = self._choose(words.HELD_OUT_WRAPPERS if held_out else words.WRAPPERS)
        marked = wrapper.format(np=draft.phrase)
        if self._rng.random() < 0.1:
            marked = _capitalised(marked)
        text, noun, anchors = _spans(marked)
        kind = "absent" if draft.form.startswith("absent") else KIND_OF_FORM[draft.form]
        return Sentence(text, kind, draft.form, draft.targets, noun, anchors, draft.named)

    def _choose(self, items: Sequence[str]) -> str:
        return items[int(self._rng.integers(len(items)))]


def _capitalised(marked: str) -> str:
    place = next(index for index, letter in enumerate(marked) if letter.isalpha())
    return marked[:place] + marked[place].upper() + marked[place + 1:]


def _spans(marked: str) -> tuple[str, Span, tuple[Span, ...]]:
    """The text without marks, and where the noun and the anchors stand in it."""
    open_at: dict[str, int] = {}
    found: dict[str, list[Span]] = {"\x02": [], "\x04": []}
    text = ""
    for letter in marked:
        if letter in "\x01\x03":
            open_at[letter] = len(text)
        elif letter in "\x02\x04":
            found[letter].append((open_at[chr(ord(letter) - 1)], len(text)))
        else:
            text += letter
    return text, found["\x02"][0], tuple(found["\x04"])


