"""Sentences are true of the scene, mean one thing only, and know where their nouns stand."""

from itertools import pairwise

import numpy as np
import pytest

from samwise_ros.compose.catalogue import Label
from samwise_ros.compose.composed_facts import ComposedFacts
from samwise_ros.compose.paths import SCRIPTS, Path, Stage
from samwise_ros.compose.sentences import COLOURS, SentenceWriter

FRAMES, WIDTH, HEIGHT = 10, 320, 256
VOCABULARY = {"apple": "fruit", "lemon": "fruit", "car": "vehicle", "cow": "animal",
              "horse": "animal", "hammer": "tool", "fruit": None, "animal": None}


def still(column: float, row: float) -> Path:
    return SCRIPTS["still"](Stage(WIDTH, HEIGHT, FRAMES, 40), np.array([column, row], float),
                            np.random.default_rng(0))


def moving(column: float, row: float, step: float) -> Path:
    path = still(column, row)
    position = path.position + np.arange(FRAMES)[:, None] * [step, 0]
    return Path("glide", position, path.scale, path.angle)


def facts(*objects: tuple[Label, Path, int], contents: frozenset[str] = frozenset(),
          decoys: bool = False) -> ComposedFacts:
    pixels = np.tile([count for *_, count in objects], (FRAMES, 1))
    return ComposedFacts(
        labels=tuple(label for label, *_ in objects), asked=(True,) * len(objects),
        paths=tuple(path for _, path, _ in objects), pixels=pixels, covered=pixels.copy(),
        centres=np.stack([path.position for _, path, _ in objects], 1), width=WIDTH,
        height=HEIGHT, camera="fixed", contents=contents, decoys=decoys)


def written(scene: ComposedFacts, form: str, seeds: int = 25) -> list:
    return [sentence for seed in range(seeds)
            for sentence in SentenceWriter(scene, VOCABULARY, False, np.random.default_rng(seed))
            .write({form: 20})]


RED = Label("apple", "fruit", "red", ("red",))
GREEN = Label("apple", "fruit", "green", ("green",))
CAR = Label("car", "vehicle", "blue", ("blue",))
SCENE = facts((RED, still(60, 120), 900), (GREEN, moving(250, 60, -8), 2500),
              (CAR, still(160, 200), 1800))


def test_a_name_is_asked_only_where_one_thing_bears_it() -> None:
    nouns = {(s.text[slice(*s.noun)].lower(), s.targets) for s in written(SCENE, "name")}
    assert nouns == {("car", (2,))}
    assert {s.targets for s in written(SCENE, "synonym")} == {(2,)}  # automobile
    assert written(SCENE, "hypernym")[0].targets == (2,)  # two fruits, one vehicle


def test_colour_alone_needs_a_scene_without_nameless_things() -> None:
    assert {s.targets for s in written(SCENE, "colour")} == {(0,), (1,), (2,)}
    nameless = facts((RED, still(60, 120), 900), (CAR, still(160, 200), 1800), decoys=True)
    assert written(nameless, "colour") == []
    assert written(nameless, "colour_name") != []


def test_size_side_and_relations_hold() -> None:
    for sentence in written(SCENE, "size"):
        small = any(word in sentence.text for word in ("small", "little", "tini"))
        apples = "apple" in sentence.text or "fruit" in sentence.text
        assert sentence.targets == ((0,) if small else (1,)), sentence.text
        assert apples or "vehicle" not in sentence.text
    for sentence in written(SCENE, "side"):
        if "left" in sentence.text:
            assert sentence.targets == (0,)
        if "right" in sentence.text:
            assert sentence.targets == (1,)
    for sentence in written(SCENE, "relation"):
        assert sentence.anchors
        if "left of" in sentence.text:
            assert sentence.targets in ((0,), (2,))


def test_motion_means_the_one_that_moves() -> None:
    texts = written(SCENE, "motion")
    assert texts
    for sentence in texts:
        stays = any(word in sentence.text.lower() for word in ("stay", "not move", "still"))
        assert stays or sentence.targets == (1,), sentence.text
        assert not stays or sentence.targets in ((0,), (2,)), sentence.text


def test_what_is_called_absent_is_not_there() -> None:
    for form in ("absent_name", "absent_kind", "absent_relation"):
        sentences = written(SCENE, form)
        assert sentences
        for sentence in sentences:
            noun = sentence.text[slice(*sentence.noun)].lower()
            assert sentence.targets == ()
            assert sentence.kind == "absent"
            assert noun not in ("apple", "fruit", "car", "vehicle", "automobile"), sentence.text
    for sentence in written(SCENE, "absent_colour"):
        said = [colour for colour in COLOURS if colour in sentence.text]
        assert len(said) == 1
        if "apple" in sentence.text:
            assert said[0] not in ("red", "green")


def test_what_the_background_may_show_is_never_asked_for() -> None:
    scene = facts((RED, still(60, 120), 900), (CAR, still(160, 200), 1800),
                  contents=frozenset({"car", "vehicle", "automobile", "cow"}))
    for form in ("name", "synonym", "hypernym", "colour_name", "absent_name", "relation"):
        for sentence in written(scene, form):
            assert sentence.text[slice(*sentence.noun)].lower() not in scene.contents


@pytest.mark.parametrize("form", ["name", "colour", "colour_name", "relation", "size", "motion"])
def test_spans_cut_out_the_nouns(form: str) -> None:
    known = {"apple", "fruit", "food", "car", "vehicle", "automobile", "object", "thing", "item",
             "one", "something"}
    for sentence in written(SCENE, form):
        spans = [sentence.noun, *sentence.anchors]
        assert {sentence.text[slice(*span)].lower() for span in spans} <= known, sentence
        assert "\x01" not in sentence.text
        assert sentence.named == (sentence.text[slice(*sentence.noun)].lower() not in
                                  {"object", "thing", "item", "one", "something"})


def test_an_article_fits_its_word() -> None:
    for form in ("name", "colour_name", "absent_name"):
        for sentence in written(SCENE, form, 60):
            words = sentence.text.lower().split()
            for first, second in pairwise(words):
                assert not (first == "a" and second[0] in "aeiou"), sentence.text
