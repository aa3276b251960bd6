"""Expressions: each has exactly one answer, and training never meets what is held out."""

import itertools
import re

import numpy as np
import pytest

from samwise_ros.sim import vocabulary as words
from samwise_ros.sim.assets import COLOUR_NAMES
from samwise_ros.sim.content import sample_objects
from samwise_ros.sim.expressions import Expression, ExpressionWriter
from samwise_ros.sim.facts import ClipFacts
from samwise_ros.sim.held_out import HELD_OUT_PAIRS, HELD_OUT_TEMPLATES
from samwise_ros.sim.language import iterate_phrases
from samwise_ros.sim.motion_words import HELD_OUT_MOTION_TEMPLATES, MOTION_TEMPLATES
from samwise_ros.sim.phrases import PhraseBook, add_article

SCENES = 60


def _facts(rng: np.random.Generator, split: str) -> ClipFacts:
    """Random facts of a scene in which the first object rolls to the left, the rest stands."""
    count = int(rng.integers(2, 6))
    objects = sample_objects(split, count, rng)
    positions = rng.uniform(-0.4, 0.4, (1, count, 3)).repeat(3, axis=0)
    centres = 160 + 300 * positions[:, :, :2]
    return ClipFacts(
        objects=objects,
        tags=[frozenset({"moves", "roll", "left"})] + [frozenset({"still"})] * (count - 1),
        possible_tags=[frozenset({"slide"})] + [frozenset()] * (count - 1),
        pixels=np.full((3, count), 900),
        centres=centres,
        depths=1.0 + positions[:, :, 1],
        positions=positions,
        width=320,
        height=240,
    )


def _written(split: str, scenes: int) -> list[tuple[ClipFacts, Expression]]:
    rng = np.random.default_rng(11)
    found = []
    for _ in range(scenes):
        facts = _facts(rng, split)
        found += [(facts, e) for e in ExpressionWriter(facts, split, rng).write(moving=True)]
    return found


@pytest.fixture(scope="module")
def train() -> list[tuple[ClipFacts, Expression]]:
    return _written("train", SCENES)


@pytest.fixture(scope="module")
def test_split() -> list[tuple[ClipFacts, Expression]]:
    return _written("test", SCENES)


def _named(text: str) -> tuple[str | None, str | None]:
    """Colour and class that a sentence names, read back from its words."""
    colours = [colour for colour in COLOUR_NAMES if re.search(rf"\b{colour}\b", text)]
    nouns = {
        noun: name
        for table in (words.NOUNS, words.PLURALS)
        for name, group in table.items()
        for noun in group
    }
    hits = [noun for noun in nouns if re.search(rf"\b{noun}\b", text)]
    longest = max(hits, key=len, default=None)
    return (colours[0] if colours else None), (nouns[longest] if longest else None)


@pytest.mark.parametrize("kind", ["colour", "class", "colour_class"])
def test_attribute_expressions_mean_all_and_only_the_objects_they_describe(
    kind: str, train: list, test_split: list
) -> None:
    checked = 0
    for facts, expression in train + test_split:
        if expression.kind == kind:
            colour, name = _named(expression.text)
            assert sorted(expression.targets) == facts.members(colour, name), expression
            assert (colour is not None) == (kind != "class"), expression
            checked += 1
    assert checked > 60


def test_absent_attributes_describe_nothing_in_the_scene(train: list) -> None:
    motions = {
        word for group in MOTION_TEMPLATES.values() for text in group for word in text.split()
    }
    motions -= {"the", "{set}", "that", "is", "in", "of", "another"}
    checked = 0
    for facts, expression in train:
        if expression.kind == "absent" and not motions & set(expression.text.split()):
            assert facts.members(*_named(expression.text)) == [], expression
            checked += 1
    assert checked > 60


def test_motion_targets_do_what_is_said(train: list) -> None:
    for facts, expression in train:
        if expression.kind == "motion":
            (target,) = expression.targets
            still = any(word in expression.text.split() for word in ("still", "not"))
            assert ("still" in facts.tags[target]) == still, expression


def test_all_kinds_come_and_about_a_dozen_per_clip(train: list) -> None:
    kinds = [expression.kind for _, expression in train]
    assert set(kinds) == {"colour", "class", "colour_class", "relation", "motion", "absent"}
    assert 10 <= len(kinds) / SCENES <= 18


def test_class_only_questions_are_mostly_asked_where_the_colour_is_shared(train: list) -> None:
    shared = [
        len(facts.members(facts.objects[expression.targets[0]].colour)) > 1
        for facts, expression in train
        if expression.kind == "class" and len(expression.targets) == 1
    ]
    assert np.mean(shared) > 0.7


def test_training_never_names_a_held_out_pair(train: list) -> None:
    for _, expression in train:
        if expression.kind in ("colour_class", "absent"):
            assert _named(expression.text) not in HELD_OUT_PAIRS, expression


def _pattern(template: str) -> re.Pattern[str]:
    body = re.escape(template.replace("{a}", "A1"))
    body = re.sub(r"\\\{\w+\\\}", r"[\\w ]+", body).replace("A1", "an?")
    return re.compile(f"^{body}$")


def test_held_out_wrappers_are_used_in_test_only(train: list, test_split: list) -> None:
    patterns = [_pattern(text) for text in words.HELD_OUT_WRAPPERS]

    def uses(found: list) -> int:
        return sum(any(p.match(e.text) for p in patterns) for _, e in found)

    assert uses(train) == 0
    assert uses(test_split) > 10


def test_held_out_and_training_templates_do_not_overlap() -> None:
    trained = {
        *words.WRAPPERS,
        *words.COLOUR_TEMPLATES,
        *words.CLASS_TEMPLATES,
        *words.COLOUR_CLASS_TEMPLATES,
        *itertools.chain(*MOTION_TEMPLATES.values()),
        *itertools.chain(*words.EXTREME_TEMPLATES.values()),
        *itertools.chain(*words.PAIR_TEMPLATES.values()),
    }
    assert not trained & HELD_OUT_TEMPLATES
    assert set(words.HELD_OUT_PAIR_TEMPLATES) == set(words.PAIR_TEMPLATES)
    assert set(HELD_OUT_MOTION_TEMPLATES) <= set(MOTION_TEMPLATES)


def test_words_of_held_out_sentences_are_known_from_training() -> None:
    known = {word for text in itertools.islice(iterate_phrases(0), 4000) for word in text.split()}
    book = PhraseBook("test", np.random.default_rng(0))
    for _ in range(300):
        sentence = book.sentence(book.colour_class("red", "mug"))
        assert set(sentence.split()) <= known, sentence


def test_phrase_language_is_endless_and_repeatable() -> None:
    first = list(itertools.islice(iterate_phrases(5), 500))
    assert first == list(itertools.islice(iterate_phrases(5), 500))
    assert len(set(first)) > 350
    assert not any("{" in text for text in first)


def test_articles_fit_the_next_word() -> None:
    assert add_article("{a} orange ball or {a} red one") == "an orange ball or a red one"


def test_an_expression_with_kind_and_targets_at_odds_is_refused() -> None:
    with pytest.raises(ValueError, match="expected targets exactly if present"):
        Expression("the mug", "absent", (1,))
    with pytest.raises(ValueError, match="expected a kind"):
        Expression("the mug", "shape", (1,))
