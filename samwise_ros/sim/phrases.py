"""Turns what is to be said into one of many English sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from samwise_ros.sim import vocabulary as words
from samwise_ros.sim.facts import ClipFacts

Option = TypeVar("Option")

HELD_OUT_SHARE = 0.4  # of the test split's sentences use a template never trained on
WRAPPED_SHARE = 0.3


class PhraseBook:
    """Draws wordings for one clip.

    Args:
        split: in "test" some sentences use the held-out templates; elsewhere none does.
        rng: source of randomness.
    """

    def __init__(self, split: str, rng: np.random.Generator) -> None:
        self._test = split == "test"
        self._rng = rng

    def choose(self, options: Sequence[str], held_out: Sequence[str] = ()) -> str:
        """One option; in the test split often a held-out one."""
        if self._test and held_out and self._rng.random() < HELD_OUT_SHARE:
            options = held_out
        return options[int(self._rng.integers(len(options)))]

    def sample(self, options: Sequence[Option], count: int) -> list[Option]:
        """At most `count` different ones of the options."""
        return [options[index] for index in self._rng.permutation(len(options))[:count]]

    def sentence(self, noun_phrase: str) -> str:
        """The noun phrase, alone or inside a request."""
        if self._rng.random() >= WRAPPED_SHARE:
            return noun_phrase
        wrapper = self.choose(words.WRAPPERS, words.HELD_OUT_WRAPPERS)
        return wrapper.format(np=noun_phrase)

    def fill(self, template: str, colour: str | None = None, name: str | None = None) -> str:
        """Puts a colour and a synonym of class `name` into a template."""
        noun = self.choose(words.NOUNS[name]) if name else ""
        thing = self.choose(words.THINGS)
        text = template.format(colour=colour, noun=noun, thing=thing, a="{a}")
        return add_article(text)

    def colour(self, colour: str) -> str:
        """A noun phrase that names only a colour."""
        template = self.choose(words.COLOUR_TEMPLATES, words.HELD_OUT_COLOUR_TEMPLATES)
        return self.fill(template, colour)

    def class_only(self, name: str) -> str:
        """A noun phrase that names only a class."""
        template = self.choose(words.CLASS_TEMPLATES, words.HELD_OUT_CLASS_TEMPLATES)
        return self.fill(template, name=name)

    def colour_class(self, colour: str, name: str) -> str:
        """A noun phrase that names colour and class."""
        template = self.choose(words.COLOUR_CLASS_TEMPLATES, words.HELD_OUT_COLOUR_CLASS_TEMPLATES)
        return self.fill(template, colour, name)

    def set_name(self, colour: str | None, name: str | None) -> str:
        """Words without article for all objects of a colour and a class (None: any)."""
        noun = self.choose(words.NOUNS[name]) if name else self.choose(words.THINGS)
        return f"{colour} {noun}" if colour else noun

    def union(self, colour: str | None, name: str | None) -> str:
        """A phrase for all objects of one colour, or of one class."""
        if name:
            template = self.choose(words.UNION_CLASS_TEMPLATES)
            nouns = self.choose(words.PLURALS[name])
            return template.format(nouns=nouns, noun=self.choose(words.NOUNS[name]))
        template = self.choose(words.UNION_COLOUR_TEMPLATES)
        return template.format(colour=colour, things=self.choose(words.THINGS) + "s")

    def reference(self, facts: ClipFacts, index: int) -> str | None:
        """The shortest unambiguous noun phrase for an object, or None if there is none."""
        item = facts.objects[index]
        if len(facts.members(class_name=item.class_name)) == 1:
            return "the " + self.choose(words.NOUNS[item.class_name])
        if len(facts.members(item.colour, item.class_name)) == 1:
            return f"the {item.colour} " + self.choose(words.NOUNS[item.class_name])
        return None


def add_article(text: str) -> str:
    """Replaces `{a}` by "a" or "an", according to the word that follows."""
    while "{a} " in text:
        before, after = text.split("{a} ", 1)
        text = f"{before}{'an' if after[0] in 'aeiou' else 'a'} {after}"
    return text
