"""Declares `NodeParameters` on a node and judges changes to them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from samwise_ros.ros.node.parameters import FIELDS, NodeParameters, refusal


def declare_parameters(node: Node, configured: Callable[[], bool],
                       changed: Callable[[NodeParameters], None]) -> None:
    """Declare every field of NodeParameters, and refuse bad changes from then on.

    Args:
        node: The node that gets the parameters.
        configured: Says at any time whether a model is loaded. Most parameters are then fixed,
            because accepting a value that nothing reads would be a lie.
        changed: Called with all values when some of them have been accepted.
    """
    for name, item in FIELDS.items():
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        node.declare_parameter(name, default, _descriptor(item))

    def judge(wanted: list[Parameter]) -> SetParametersResult:
        ours = {parameter.name: parameter.value for parameter in wanted
                if parameter.name in FIELDS}
        values = _values(node)
        reason = _fixed(ours, values) if configured() else ""
        try:
            parameters = _checked(values | ours)
        except ValueError as error:
            reason = reason or str(error)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        if ours:  # Humble has no callback for after the values are set; nobody refuses after us
            changed(parameters)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(judge)


def read_parameters(node: Node) -> NodeParameters:
    """The values that hold now. Raises ValueError when start-up overrides break a rule."""
    return _checked(_values(node))  # overrides are declared before `judge` can see them


def _values(node: Node) -> dict[str, Any]:
    return {name: node.get_parameter(name).value for name in FIELDS}


def _fixed(wanted: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Which of the wanted changes come too late; empty when none does."""
    fixed = [name for name, value in wanted.items()
             if value != values[name] and not FIELDS[name].metadata["live"]]
    if not fixed:
        return ""
    are = "is" if len(fixed) == 1 else "are"
    return (f"{', '.join(fixed)} {are} read at configuration only: deactivate and clean up the node "
            "first")


def _checked(values: Mapping[str, Any]) -> NodeParameters:
    """Raises ValueError when the values break a rule."""
    reason = "; ".join(filter(None, (refusal(*item) for item in values.items())))
    if reason:
        raise ValueError(reason)
    return NodeParameters(**{name: tuple(value) if isinstance(value, list) else value
                             for name, value in values.items()})


def _descriptor(item: dataclasses.Field) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=item.metadata["description"])
    if item.metadata["choices"]:
        descriptor.additional_constraints = "one of " + ", ".join(item.metadata["choices"])
    if item.metadata["limits"]:
        low, high = item.metadata["limits"]
        if isinstance(item.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
