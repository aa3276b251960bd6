"""Parameters of a node as fields of a dataclass: default, description, range, rule. No ROS import.

A class of parameters holds values of type bool, int, float, str or tuple[str, ...]:

    @dataclass(frozen=True)
    class CameraParameters:
        rate: float = parameter(10.0, "Frames per second.", limits=(1.0, 60.0))
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from samwise_ros.structures import ConfigError

T = TypeVar("T")
Rule = Callable[[Any], str]  # what a value should be; empty when it is that


def parameter(default: Any, description: str, *, choices: tuple[str, ...] = (),
              limits: tuple[float, float] | None = None, live: bool = False,
              rule: Rule | None = None) -> Any:
    """A dataclass field that is a parameter.

    Args:
        default: Its value where none is given; its type is the parameter's.
        description: For `ros2 param describe`.
        choices: Texts of which the value is one.
        limits: Lowest and highest value.
        live: Whether a change takes effect at once. Others are read at the start, or when the node
            is configured.
        rule: Says what a value of the right type should be ("a multiple of 64"), when it is not.
    """
    return dataclasses.field(default=default, metadata={
        "description": description, "choices": choices, "limits": limits, "live": live,
        "rule": rule})


def fields_of(cls: type) -> dict[str, dataclasses.Field]:
    """Parameters of a class by name."""
    return {item.name: item for item in dataclasses.fields(cls)}


def build_parameters(cls: type[T], values: Mapping[str, Any]) -> T:
    """The parameters that people have asked for.

    Whole numbers are taken where decimals are meant, decimals without a fraction where whole
    numbers are, one text where a list is, and nothing for an empty list (which has no type in ROS).

    Raises:
        ConfigError: Names each value that cannot be taken, with what is expected.
    """
    taken, refusals = {}, []
    for name, item in fields_of(cls).items():
        try:
            taken[name] = take(item, values[name])
        except ConfigError as error:
            refusals.append(str(error))
    if refusals:
        raise ConfigError("; ".join(refusals))
    return cls(**taken)


def take(item: dataclasses.Field, value: Any) -> Any:
    """A value for one parameter, of that one's type. Raises ConfigError."""
    converted = _converted(type(item.default), value)
    expected = _expected(item)
    low, high = item.metadata["limits"] or (-math.inf, math.inf)
    choices = item.metadata["choices"]
    fits = converted is not None and not (
        (choices and converted not in choices)
        or (isinstance(converted, (int, float)) and not low <= converted <= high))
    if fits and item.metadata["rule"] is not None:
        expected = item.metadata["rule"](converted)
        fits = not expected
    if not fits:
        shown = "nothing" if value is None else repr(value)
        raise ConfigError(f"{item.name}: expected {expected}, got {shown}")
    return converted


def _converted(kind: type, value: Any) -> Any:
    """The value as `kind`; None when it is of another one."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind is tuple:
        texts = [value] if isinstance(value, str) else value or ()
        listed = isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts)
        return tuple(texts) if listed else None
    return value if type(value) is kind else None


def _expected(item: dataclasses.Field) -> str:
    """What the parameter takes, in words."""
    if item.metadata["choices"]:
        return "one of " + ", ".join(item.metadata["choices"])
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text",
             tuple: "a list of texts"}[type(item.default)]
    if item.metadata["limits"]:
        low, high = item.metadata["limits"]
        words += f" from {low:g} to {high:g}"
    return words
