"""Declares `NodeParameters` on a node and judges changes to them."""

import dataclasses
from collections.abc import Callable

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from samwise_ros.ros.parameters import FIELDS, NodeParameters, refusal


def declare_parameters(node: Node, configured: Callable[[], bool]) -> None:
    """Declare every field of NodeParameters, and refuse bad changes from then on.

    Args:
        node: The node that gets the parameters.
        configured: Says at any time whether a model is loaded.
    """
    for name, item in FIELDS.items():
        node.declare_parameter(name, item.default, _descriptor(item))

    def judge(changed: list[Parameter]) -> SetParametersResult:
        reasons = [refusal(parameter.name, parameter.value, configured()) for parameter in changed]
        reason = "; ".join(filter(None, reasons))
        return SetParametersResult(successful=not reason, reason=reason)

    node.add_on_set_parameters_callback(judge)


def read_parameters(node: Node) -> NodeParameters:
    """The values that hold now. Raises ValueError when start-up overrides break a rule."""
    values = {name: node.get_parameter(name).value for name in FIELDS}
    reason = "; ".join(filter(None, (refusal(*item, configured=False) for item in values.items())))
    if reason:  # overrides are declared before `judge` can see them
        raise ValueError(reason)
    return NodeParameters(**values)


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
