"""The places of nouns while sentences are rewritten."""

import pytest

from samwise_ros.training.draws import swap_sides
from samwise_ros.training.noun_spans import rewrite


@pytest.mark.parametrize(("text", "nouns", "expected"), [
    ("the dog left of the cat", ("dog", "cat"), "the dog right of the cat"),
    ("the leftmost hot air balloon", ("hot air balloon", None), "the rightmost hot air balloon"),
    ("on the right: cup", ("cup", None), "on the left: cup"),
    ("cat", ("cat", None), "cat")])
def test_nouns_are_where_they_were_after_sides_are_swapped(
        text: str, nouns: tuple[str, str | None], expected: str) -> None:
    spans = tuple(None if noun is None else (text.index(noun), text.index(noun) + len(noun))
                  for noun in nouns)
    now, moved = rewrite(text, spans, swap_sides)
    assert now == expected
    assert tuple(None if span is None else now[slice(*span)] for span in moved) == nouns


def test_sentences_without_known_nouns_are_changed_as_a_whole() -> None:
    assert rewrite("left of it", None, swap_sides) == ("right of it", None)
