"""The node's parameters: names, defaults, descriptions, ranges and rules. No ROS import."""

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from samwise_ros.config import GRID
from samwise_ros.ros.outputs.output_settings import OutputSettings
from samwise_ros.streaming.commands import RELEASE_WORDS
from samwise_ros.streaming.target_tracker import TrackSettings

_CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MOST_CAMERAS = 16


def _parameter(default: Any, description: str, *, choices: tuple[str, ...] = (),
               limits: tuple[float, float] | None = None, live: bool = False) -> Any:
    """A dataclass field that carries its parameter descriptor's parts as metadata."""
    return field(default=default, metadata={
        "description": description, "choices": choices, "limits": limits, "live": live})


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters. Those not marked live are read when the node is configured.

    Raises:
        ConfigError: Values contradict each other.
    """

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
    compile: bool = _parameter(
        False, "torch.compile for the parts of one shape: configuring takes a minute longer, frames "
        "a third less on CPU; needs g++.")
    max_targets: int = _parameter(
        16, "More targets than this are refused.", limits=(1, 64))
    expression: str = _parameter(
        "", "Command that is carried out at configuration; empty: none. See the `command` topic.")
    release_words: tuple[str, ...] = _parameter(
        RELEASE_WORDS, "Commands that drop all targets, whatever their case and punctuation.",
        live=True)
    cameras: tuple[str, ...] = _parameter(
        ("",), "Names of several cameras that share the model; their topics are NAME/image, "
        "NAME/command, ~/NAME/mask and so on. One empty name: a single camera on `image`.")
    image_transport: str = _parameter(
        "raw", "raw: sensor_msgs/Image on `image`; compressed: sensor_msgs/CompressedImage (JPEG or "
        "PNG) on `image/compressed`.", choices=("raw", "compressed"))
    image_qos: str = _parameter(
        "sensor_data", "Quality of service of the image subscription. sensor_data connects to "
        "every camera; reliable loses no large image, but needs a reliable camera.",
        choices=("sensor_data", "reliable"))
    image_timeout: float = _parameter(
        2.0, "Seconds without an image after which the status says idle.", limits=(0.1, 3600.0),
        live=True)
    process_all: bool = _parameter(
        False, "Answer every image in order instead of the newest only: for recordings, not for "
        "robots. Loses nothing on the way only with image_qos reliable.")
    queue_size: int = _parameter(
        100, "With process_all: images that may wait; more are dropped and named in the log.",
        limits=(1, 10000))
    reset_after_gap: float = _parameter(
        10.0, "Seconds between the stamps of two images after which memory is reset; 0: never.",
        limits=(0.0, 86400.0))
    enter_score: float = _parameter(
        TrackSettings.enter_score, "Score from which an absent target counts as seen.",
        limits=(0.0, 1.0), live=True)
    leave_score: float = _parameter(
        TrackSettings.leave_score, "Score below which a present target counts as unseen; at most "
        "enter_score.", limits=(0.0, 1.0), live=True)
    enter_frames: int = _parameter(
        TrackSettings.enter_frames, "Frames in a row that a target must be seen for to be TRACKING.",
        limits=(1, 1000), live=True)
    leave_frames: int = _parameter(
        TrackSettings.leave_frames, "Frames in a row that a target must be unseen for to be LOST.",
        limits=(1, 1000), live=True)
    reacquired_frames: int = _parameter(
        TrackSettings.reacquired_frames, "Frames for which a target that came back is REACQUIRED.",
        limits=(0, 1000), live=True)
    overlay_rate: float = _parameter(
        OutputSettings.overlay_rate, "Overlay pictures per second at most; 0: none.",
        limits=(0.0, 1000.0), live=True)
    empty_masks: bool = _parameter(
        OutputSettings.empty_masks, "Publish ~/mask for frames without the primary target, too, all "
        "zero. FoundationPose logs an error for each of those.")
    target_frame: str = _parameter(
        OutputSettings.target_frame, "Frame of reference of the 3D outputs, by tf2; empty: the "
        "camera's.")
    rectified: bool = _parameter(
        OutputSettings.rectified, "The images are rectified: use the projection matrix P of "
        "camera_info and no distortion.")
    depth_slop: float = _parameter(
        OutputSettings.depth_slop, "Seconds by which the stamps of image and depth may differ; 0: "
        "not at all.", limits=(0.0, 1.0))
    predict: bool = _parameter(
        OutputSettings.predict, "Publish ~/predicted_pose, where the target should be now.")

    def __post_init__(self) -> None:
        self.tracking  # noqa: B018  raises when thresholds contradict each other

    @property
    def outputs(self) -> OutputSettings:
        """Those that concern the outputs of a camera."""
        return OutputSettings(
            target_frame=self.target_frame, rectified=self.rectified, depth_slop=self.depth_slop,
            predict=self.predict, overlay_rate=self.overlay_rate, empty_masks=self.empty_masks,
            # A recording may be answered faster than a subscriber takes the answers.
            history=self.queue_size if self.process_all else OutputSettings.history,
            threshold=self.enter_score)

    @property
    def tracking(self) -> TrackSettings:
        """When a target counts as there. Raises ConfigError when thresholds contradict each other."""
        return TrackSettings(self.enter_score, self.leave_score, self.enter_frames,
                             self.leave_frames, self.reacquired_frames)


FIELDS = {item.name: item for item in dataclasses.fields(NodeParameters)}


def refusal(name: str, value: Any) -> str:
    """Why a value is refused, or an empty string. Ranges are checked by rclpy.

    Args:
        name: Parameter name; unknown ones (use_sim_time...) are none of our business.
        value: The new value.
    """
    item = FIELDS.get(name)
    if item is None:
        return ""
    choices = item.metadata["choices"]
    if choices and value not in choices:
        return f"{name}: expected one of {', '.join(choices)}, got {value!r}"
    if name == "image_size" and value % GRID:
        return f"{name}: expected a multiple of {GRID}, got {value}"
    if name == "cameras":
        return _camera_refusal(tuple(value))
    return ""


def _camera_refusal(names: tuple[str, ...]) -> str:
    if names == ("",):
        return ""
    if not 1 <= len(names) <= _MOST_CAMERAS:
        return f"cameras: expected 1 to {_MOST_CAMERAS} names, got {len(names)}"
    for name in names:
        if not _CAMERA_NAME.fullmatch(name):
            return f"cameras: expected letters, digits and _, beginning with a letter, got {name!r}"
    if len(set(names)) < len(names):
        return f"cameras: expected different names, got {', '.join(names)}"
    return ""
