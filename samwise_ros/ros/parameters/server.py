"""Declares a class of parameters on a node, and judges changes to them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from samwise_ros.ros.parameters.fields import build_parameters, fields_of, take
from samwise_ros.structures import ConfigError

T = TypeVar("T")


def declare_parameters(node: Node, cls: type[T], changed: Callable[[T], None] = lambda values: None,
                       fixed: Callable[[], bool] | None = None) -> T:
    """Declare every field of a class of parameters, and refuse bad changes from then on.

    Args:
        node: The node that gets the parameters.
        cls: See `samwise_ros.ros.parameters.fields`.
        changed: Called with all values when some of them have been accepted.
        fixed: Says whether the parameters that are not live have been read, so that a change of
            them would be a lie. None: they are read-only from the start.

    Returns:
        The values at the start.

    Raises:
        ConfigError: A value that was given at the start cannot be taken.
    """
    parameters = _start_values(node, cls)
    for name, item in fields_of(cls).items():
        read_only = fixed is None and not item.metadata["live"]
        node.declare_parameter(name, _as_ros(getattr(parameters, name)),
                               _descriptor(item, read_only), ignore_override=True)

    def judge(wanted: list[Parameter]) -> SetParametersResult:
        ours = {parameter.name: parameter.value for parameter in wanted
                if parameter.name in fields_of(cls)}
        try:
            values = build_parameters(cls, _values(node, cls) | ours)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        reason = _late(values, read_parameters(node, cls), ours) if fixed and fixed() else ""
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        if ours:  # Humble has no callback for after the values are set; nobody refuses after us
            changed(values)
        return SetParametersResult(successful=True)

    if hasattr(node, "add_pre_set_parameters_callback"):  # since Iron; Humble keeps 5 for 5.0
        node.add_pre_set_parameters_callback(
            lambda wanted: [_typed(cls, parameter) for parameter in wanted])
    node.add_on_set_parameters_callback(judge)
    return parameters


def read_parameters(node: Node, cls: type[T]) -> T:
    """The values that hold now."""
    return build_parameters(cls, _values(node, cls))


def _start_values(node: Node, cls: type[T]) -> T:
    """What was given at the start, of whatever type; nothing stays declared. Raises ConfigError."""
    for name, item in fields_of(cls).items():
        node.declare_parameter(name, _as_ros(item.default),
                               ParameterDescriptor(dynamic_typing=True))
    values = _values(node, cls)
    for name in values:
        node.undeclare_parameter(name)
    return build_parameters(cls, values)


def _values(node: Node, cls: type) -> dict[str, Any]:
    return {name: node.get_parameter(name).value for name in fields_of(cls)}


def _typed(cls: type, parameter: Parameter) -> Parameter:
    """The parameter as it is to be stored; one that cannot be taken is left to the judge."""
    try:
        value = take(fields_of(cls)[parameter.name], parameter.value)
    except (KeyError, ConfigError):
        return parameter
    return Parameter(parameter.name, value=_as_ros(value))


def _as_ros(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _late(values: Any, before: Any, wanted: Mapping[str, Any]) -> str:
    """Which of the wanted changes come too late; empty when none does."""
    late = [name for name, item in fields_of(type(values)).items() if name in wanted
            and not item.metadata["live"] and getattr(values, name) != getattr(before, name)]
    if not late:
        return ""
    are = "is" if len(late) == 1 else "are"
    return (f"{', '.join(late)} {are} read at configuration only: deactivate and clean up the node "
            "first")


def _descriptor(item: dataclasses.Field, read_only: bool) -> ParameterDescriptor:
    """For people and tools. Types are judged here: to rclpy 5 is no number for 5.0."""
    descriptor = ParameterDescriptor(
        description=item.metadata["description"], read_only=read_only, dynamic_typing=True)
    if item.metadata["choices"]:
        descriptor.additional_constraints = "one of " + ", ".join(item.metadata["choices"])
    if item.metadata["limits"]:
        low, high = item.metadata["limits"]
        if isinstance(item.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
