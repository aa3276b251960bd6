"""Values as people write them become parameters, or are refused with what is expected."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.ros.parameters.fields import build_parameters, parameter
from samwise_ros.structures import ConfigError


@dataclass(frozen=True)
class Kinds:
    decimal: float = parameter(1.0, "", limits=(0.0, 5.0))
    free: float = parameter(1.0, "")
    whole: int = parameter(1, "", limits=(0, 5))
    switch: bool = parameter(False, "")
    text: str = parameter("", "")
    choice: str = parameter("one", "", choices=("one", "two"))
    names: tuple[str, ...] = parameter(("",), "")


def taken(name: str, value: Any) -> Any:
    return getattr(build_parameters(Kinds, dataclasses.asdict(Kinds()) | {name: value}), name)


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("decimal", 5, 5.0), ("decimal", 0, 0.0), ("decimal", 2.5, 2.5), ("free", -7, -7.0),
    ("whole", 3.0, 3), ("whole", 5, 5), ("switch", True, True), ("text", "5", "5"),
    ("choice", "two", "two"), ("names", ["a", "b"], ("a", "b")), ("names", "a", ("a",)),
    ("names", None, ()), ("names", [], ())])
def test_what_is_meant_is_taken(name, value, expected):
    result = taken(name, value)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("decimal", 5.1, "decimal: expected a number from 0 to 5, got 5.1"),
    ("decimal", float("nan"), "from 0 to 5, got nan"), ("decimal", "abc", "from 0 to 5, got 'abc'"),
    ("decimal", True, "got True"), ("decimal", [1.0], "got"),
    ("free", None, "a number, got nothing"),
    ("whole", 2.5, "whole: expected a whole number from 0 to 5, got 2.5"), ("whole", 6, "got 6"),
    ("whole", True, "got True"), ("whole", float("inf"), "got inf"),
    ("switch", 1, "switch: expected true or false, got 1"), ("switch", "yes", "got 'yes'"),
    ("text", 5, "text: expected a text, got 5"), ("text", None, "got nothing"),
    ("choice", "three", "choice: expected one of one, two, got 'three'"), ("choice", 1, "got 1"),
    ("names", [1, 2], r"names: expected a list of texts, got \[1, 2\]"), ("names", 5, "got 5")])
def test_what_cannot_be_taken_is_named_with_what_is_expected(name, value, message):
    with pytest.raises(ConfigError, match=message):
        taken(name, value)


def test_all_refusals_are_named_together():
    with pytest.raises(ConfigError, match="decimal: .*; whole: "):
        build_parameters(Kinds, dataclasses.asdict(Kinds()) | {"decimal": 9, "whole": 9})


@pytest.mark.parametrize(("changes", "message"), [
    ({"image_size": 100}, "image_size: expected a multiple of 64, got 100"),
    ({"image_size": 2048}, "image_size: expected a whole number from 0 to 1024, got 2048"),
    ({"cameras": []}, "cameras: expected 1 to 16 names"),
    ({"cameras": "front,wrist"}, "cameras: expected names of letters.*'front,wrist'"),
    ({"cameras": ["a", "a"]}, "cameras: expected different names"),
    ({"cameras": [f"c{n}" for n in range(17)]}, "cameras: expected 1 to 16 names"),
    ({"enter_score": 0.3}, "leave_score")])
def test_rules_of_the_node(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_parameters(NodeParameters, dataclasses.asdict(NodeParameters()) | changes)
