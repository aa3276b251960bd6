"""The node's parameters: names, defaults, descriptions, ranges and rules. No ROS import."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from samwise_ros.config import GRID


def _parameter(default: Any, description: str, *, choices: tuple[str, ...] = (),
               limits: tuple[float, float] | None = None, live: bool = False) -> Any:
    """A dataclass field that carries its parameter descriptor's parts as metadata."""
    return field(default=default, metadata={
        "description": description, "choices": choices, "limits": limits, "live": live})


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters. Those not marked live are read when the node is configured."""

    model: str = _parameter(
        "nano", "Model size (nano, tiny, small, base_plus, large) or path of a checkpoint.")
    seeded: bool = _parameter(
        False, "Use seeded random weights where none are at hand: for tests of the plumbing, the "
        "masks mean nothing.")
    tokenizer: str = _parameter(
        "", "Folder with vocab.json and merges.txt, where they are not beside the weights.")
    device: str = _parameter("auto", "auto (CUDA where there is one), cpu, cuda or cuda:N.")
    precision: str = _parameter(
        "fp32", "Arithmetic of the network.", choices=("fp32", "bf16", "fp16"))
    image_size: int = _parameter(
        0, "Longest side of the network's input in pixels, a multiple of 64; 0: the model's own.",
        limits=(0, 1024))
    fast_resize: bool = _parameter(
        True, "Resize frames with OpenCV instead of PIL, the published path.")
    num_threads: int = _parameter(
        0, "CPU threads of the network; 0: torch's own choice.", limits=(0, 256))
    max_targets: int = _parameter(
        16, "More targets than this are refused.", limits=(1, 64))
    expression: str = _parameter(
        "", "Command that is carried out at configuration; empty: none. See the `command` topic.")
    image_qos: str = _parameter(
        "sensor_data", "Quality of service of the image subscription. sensor_data connects to "
        "every camera; reliable loses no large image, but needs a reliable camera.",
        choices=("sensor_data", "reliable"))
    image_timeout: float = _parameter(
        2.0, "Seconds without an image after which the status says idle.", limits=(0.1, 3600.0),
        live=True)


FIELDS = {item.name: item for item in dataclasses.fields(NodeParameters)}


def refusal(name: str, value: Any, configured: bool) -> str:
    """Why a new value is refused, or an empty string. Ranges are checked by rclpy.

    Args:
        name: Parameter name; unknown ones (use_sim_time...) are none of our business.
        value: The new value.
        configured: Whether a model is loaded. Most parameters are then fixed, because accepting a
            value that nothing reads would be a lie.
    """
    item = FIELDS.get(name)
    if item is None:
        return ""
    choices = item.metadata["choices"]
    if choices and value not in choices:
        return f"{name}: expected one of {', '.join(choices)}, got {value!r}"
    if name == "image_size" and value % GRID:
        return f"{name}: expected a multiple of {GRID}, got {value}"
    if configured and not item.metadata["live"]:
        return f"{name} is read at configuration only: deactivate and clean up the node first"
    return ""
