"""The node's parameters: names, defaults, descriptions, ranges and rules. No ROS import."""

import re
from dataclasses import dataclass
from typing import get_args

from samwise_ros.config import GRID, EngineName
from samwise_ros.quality import PRESETS
from samwise_ros.ros.outputs.output_settings import OutputSettings
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.sizes import DEFAULT_MODEL
from samwise_ros.streaming.commands import RELEASE_WORDS
from samwise_ros.streaming.target_tracker import TrackSettings

_CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CAMERA_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_MOST_CAMERAS = 16


def _camera_names(names: tuple[str, ...]) -> str:
    """What names of cameras should be, when these are not."""
    if names == ("",):
        return ""
    if not 1 <= len(names) <= _MOST_CAMERAS:
        return f"1 to {_MOST_CAMERAS} names"
    if not all(map(_CAMERA_NAME.fullmatch, names)):
        return "names of letters, digits and _ that begin with a letter"
    return "" if len(set(names)) == len(names) else "different names"


def _camera_size(text: str) -> str:
    return "" if _CAMERA_SIZE.fullmatch(text) else "WIDTHxHEIGHT"


def _image_side(size: int) -> str:
    return f"a multiple of {GRID}" if size % GRID else ""


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters. Those not marked live are read when the node is configured.

    Raises:
        ConfigError: Values contradict each other.
    """

    model: str = parameter(
        DEFAULT_MODEL, "Model size (mini, nano, tiny, small, base_plus, large), released name "
        "(mevis, ytvos) or path of a checkpoint.")
    seeded: bool = parameter(
        False, "Use seeded random weights where none are at hand: for tests of the plumbing, the "
        "masks mean nothing.")
    tokenizer: str = parameter(
        "", "Folder with vocab.json and merges.txt, where they are not beside the weights.")
    device: str = parameter("auto", "auto (CUDA where there is one), cpu, cuda or cuda:N.")
    precision: str = parameter(
        "auto", "Arithmetic of the network; auto: bf16 on GPUs from Ampere on, else fp32.",
        choices=("auto", "fp32", "bf16", "fp16"))
    image_size: int = parameter(
        0, "Longest side of the network's input in pixels, a multiple of 64; 0: the model's own.",
        limits=(0, 1024), rule=_image_side)
    quality: str = parameter(
        "exact", "exact: as trained; balanced, fast: a smaller input and less memory, see "
        "docs/performance.md.", choices=tuple(PRESETS))
    fast_resize: bool = parameter(
        True, "Resize frames with OpenCV instead of PIL, the published path.")
    num_threads: int = parameter(
        0, "CPU threads of the network; 0: torch's own choice.", limits=(0, 256))
    engine: str = parameter(
        "eager", "What runs the frames: eager (torch as it is), compile (torch.compile; needs "
        "g++), cuda_graph (GPUs), onnx (ONNX Runtime), openvino (CPUs). All but eager take up to "
        "some minutes to be prepared.", choices=get_args(EngineName))
    camera_size: str = parameter(
        "640x480", "WIDTHxHEIGHT of the images, for which the engine is prepared at configuration; "
        "for another size once its first image comes.", rule=_camera_size)
    prepared_targets: int = parameter(
        1, "Targets for which the engine is prepared at configuration; for more once they are "
        "asked for.", limits=(1, 64))
    max_targets: int = parameter(
        16, "More targets than this are refused.", limits=(1, 64))
    expression: str = parameter(
        "", "Command that is carried out at configuration; empty: none. See the `command` topic.")
    release_words: tuple[str, ...] = parameter(
        RELEASE_WORDS, "Commands that drop all targets, whatever their case and punctuation.",
        live=True)
    cameras: tuple[str, ...] = parameter(
        ("",), "Names of several cameras that share the model; their topics are NAME/image, "
        "NAME/command, ~/NAME/mask and so on. One empty name: a single camera on `image`.",
        rule=_camera_names)
    image_transport: str = parameter(
        "raw",
        "raw: sensor_msgs/Image on `image`; compressed: sensor_msgs/CompressedImage (JPEG or "
        "PNG) on `image/compressed`.", choices=("raw", "compressed"))
    image_qos: str = parameter(
        "sensor_data", "Quality of service of the image subscription. sensor_data connects to "
        "every camera; reliable loses no large image, but needs a reliable camera.",
        choices=("sensor_data", "reliable"))
    image_timeout: float = parameter(
        2.0, "Seconds without an image after which the status says idle.", limits=(0.1, 3600.0),
        live=True)
    process_all: bool = parameter(
        False, "Answer every image in order instead of the newest only: for recordings, not for "
        "robots. Loses nothing on the way only with image_qos reliable.")
    queue_size: int = parameter(
        100, "With process_all: images that may wait; more are dropped and named in the log.",
        limits=(1, 10000))
    reset_after_gap: float = parameter(
        10.0, "Seconds between the stamps of two images after which memory is reset; 0: never.",
        limits=(0.0, 86400.0))
    enter_score: float = parameter(
        TrackSettings.enter_score, "Score from which an absent target counts as seen.",
        limits=(0.0, 1.0), live=True)
    leave_score: float = parameter(
        TrackSettings.leave_score, "Score below which a present target counts as unseen; at most "
        "enter_score.", limits=(0.0, 1.0), live=True)
    enter_frames: int = parameter(
        TrackSettings.enter_frames,
        "Frames in a row that a target must be seen for to be TRACKING.",
        limits=(1, 1000), live=True)
    leave_frames: int = parameter(
        TrackSettings.leave_frames, "Frames in a row that a target must be unseen for to be LOST.",
        limits=(1, 1000), live=True)
    reacquired_frames: int = parameter(
        TrackSettings.reacquired_frames, "Frames for which a target that came back is REACQUIRED.",
        limits=(0, 1000), live=True)
    overlay_rate: float = parameter(
        OutputSettings.overlay_rate, "Overlay pictures per second at most; 0: none.",
        limits=(0.0, 1000.0), live=True)
    empty_masks: bool = parameter(
        OutputSettings.empty_masks,
        "Publish ~/mask for frames without the primary target, too, all "
        "zero. FoundationPose logs an error for each of those.")
    target_frame: str = parameter(
        OutputSettings.target_frame, "Frame of reference of the 3D outputs, by tf2; empty: the "
        "camera's.")
    rectified: bool = parameter(
        OutputSettings.rectified,
        "The image topic is rectified (image_rect), and depth aligned with "
        "that: use P of camera_info and ignore D. Otherwise K is used, and the distortion D "
        "undone.")
    depth_slop: float = parameter(
        OutputSettings.depth_slop, "Seconds by which the stamps of image and depth may differ; 0: "
        "not at all; -1: just below half the period of the images, as measured.",
        limits=(-1.0, 1.0))
    page: int = parameter(
        0, "Port of a page that shows the pictures with the masks and takes commands; 0: none.",
        limits=(0, 65535))
    page_address: str = parameter(
        "localhost", "Name or IP address that the page listens on. Beyond this machine (0.0.0.0) "
        "it needs a token, which the log shows.")
    predict: bool = parameter(
        OutputSettings.predict, "Publish ~/predicted_pose, where the target should be now.")

    def __post_init__(self) -> None:
        self.tracking  # noqa: B018  raises when thresholds contradict each other

    @property
    def outputs(self) -> OutputSettings:
        """Those that concern the outputs of a camera."""
        return OutputSettings(
            target_frame=self.target_frame, rectified=self.rectified, depth_slop=self.depth_slop,
            predict=self.predict, overlay_rate=self.overlay_rate, empty_masks=self.empty_masks,
            keep_all=self.process_all,
            # A recording may be answered faster than a subscriber takes the answers.
            history=self.queue_size if self.process_all else OutputSettings.history,
            threshold=self.enter_score)

    @property
    def camera(self) -> tuple[int, int]:
        """`camera_size` as (H, W)."""
        width, height = self.camera_size.split("x")
        return int(height), int(width)

    @property
    def tracking(self) -> TrackSettings:
        """When a target counts as there. Raises ConfigError for thresholds that contradict."""
        return TrackSettings(self.enter_score, self.leave_score, self.enter_frames,
                             self.leave_frames, self.reacquired_frames)
