"""What demos and benchmarks of the node are told, and how a process that one starts is told it.

No ROS import: the command line reads these before it knows whether ROS is there.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar, get_args, get_type_hints

from samwise_ros.structures import ConfigError

# Of the encodings that the node's own cost is measured with.
BYTES_PER_PIXEL = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 2,
                   "rgb16": 6, "bayer_rggb8": 1, "uyvy": 2, "yuyv": 2}

Options = TypeVar("Options")


@dataclass(frozen=True)
class DemoOptions:
    """Of `samwise demo`.

    Attributes:
        out: Folder for results and logs.
        seed: Of the simulated scene.
        rate: Of the simulated camera [frames/s].
        frames: Answered frames per command.
        model: Weights of the node: a released name, a file or a folder.
        timeout: Seconds for the whole run.
        page: Port of the node's page; 0: none. With one, node and camera go on until Ctrl-C.
        rerun: New file for Rerun's viewer; None: none.
    """

    out: Path
    seed: int = 0
    rate: float = 10.0
    frames: int = 80
    model: str = "nano"
    timeout: float = 300.0
    page: int = 0
    rerun: Path | None = None


@dataclass(frozen=True)
class FollowOptions:
    """Of `samwise demo follow`.

    Attributes:
        out: Folder for results and logs.
        truth: Take the masks from the simulator instead of the node.
        model: Weights of the node: a released name, a file or a folder.
        lockstep: Simulated time waits for each mask.
        width: Of the image [px], 4:3.
        rate: Frames per simulated second.
        seconds: Simulated time per command.
        distance: To keep from the target [m].
        timeout: Seconds for the whole run.
    """

    out: Path
    truth: bool = False
    model: str = "nano"
    lockstep: bool = False
    width: int = 320
    rate: float = 10.0
    seconds: float = 12.0
    distance: float = 1.0
    timeout: float = 300.0


@dataclass(frozen=True)
class GraspOptions:
    """Of `samwise demo grasp`.

    Attributes:
        out: Folder for results and logs.
        scenes: How many; one more shows a change of mind.
        seed: Of the scenes.
        truth: Take the masks from the simulator instead of the node.
        model: Weights of the node: a released name, a file or a folder.
        rate: Frames per simulated second.
        timeout: Seconds for the whole run.
    """

    out: Path
    scenes: int = 20
    seed: int = 0
    truth: bool = False
    model: str = "nano"
    rate: float = 5.0
    timeout: float = 3600.0


@dataclass(frozen=True)
class EnduranceOptions:
    """Of `samwise bench endurance`.

    Attributes:
        out: Folder for results and logs.
        minutes: Length of the run.
        rate: Of the camera [frames/s].
        model: Weights of the node: a released name, a file or a folder.
        seed: Of the simulated scene.
        video: Video or folder of images to play instead.
        expressions: What to look for in that video.
        period: Seconds per sample.
        command_every, toggle_every: Minutes between commands, and between transitions.
        trouble: Whether things go wrong, see `bench.endurance_trouble`.
        timeout: Seconds for one step of the client.

    Raises:
        ConfigError: A video without expressions.
    """

    out: Path
    minutes: float = 60.0
    rate: float = 10.0
    model: str = "nano"
    seed: int = 0
    video: Path | None = None
    expressions: tuple[str, ...] = ()
    period: float = 60.0
    command_every: float = 5.0
    toggle_every: float = 10.0
    trouble: bool = False
    timeout: float = 120.0

    def __post_init__(self) -> None:
        if self.video is not None and not self.expressions:
            raise ConfigError("--video needs --expression: what shall be segmented in it?")


@dataclass(frozen=True)
class OverheadOptions:
    """Of `samwise bench node`.

    Attributes:
        encodings: Of the images, one after the other; keys of BYTES_PER_PIXEL.
        frames: That count, per encoding.
        model_ms: Time that the stand-in for the model takes [ms].
        size: Of the images (H, W) [px].

    Raises:
        ConfigError: An encoding that is not in the table.
    """

    encodings: tuple[str, ...] = tuple(BYTES_PER_PIXEL)
    frames: int = 60
    model_ms: float = 50.0
    size: tuple[int, int] = (720, 1280)

    def __post_init__(self) -> None:
        for encoding in self.encodings:
            if encoding not in BYTES_PER_PIXEL:
                raise ConfigError(f"encodings: expected one of {', '.join(BYTES_PER_PIXEL)}, got "
                                  f"{encoding!r}")


@dataclass(frozen=True)
class TransportOptions:
    """Of `samwise bench transport`.

    Attributes:
        sizes: "WIDTHxHEIGHT" of the images [px], one after the other.
        frames: Sent of each kind of image in each round.
        rate: At which they are sent [frames/s].
        rounds: How often all transports are gone through, in turn.

    Raises:
        ConfigError: A size that is not one.
    """

    sizes: tuple[str, ...] = ("640x480", "1280x720", "1920x1080")
    frames: int = 20
    rate: float = 15.0
    rounds: int = 3

    def __post_init__(self) -> None:
        for size in self.sizes:
            if re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", size) is None:
                raise ConfigError(f"size: expected WIDTHxHEIGHT such as 1280x720, got {size!r}")


def to_argument(options: DemoOptions | FollowOptions | GraspOptions | EnduranceOptions
                | OverheadOptions | TransportOptions) -> str:
    """A dataclass of this module as one argument of a command line; `from_argument` reads it."""
    return json.dumps(asdict(options), default=str)


def from_argument(kind: type[Options], text: str) -> Options:
    """Options as `to_argument` wrote them: JSON has neither paths nor tuples."""
    hints = get_type_hints(kind)

    def restored(name: str, value: object) -> object:
        if isinstance(value, str) and Path in (hints[name], *get_args(hints[name])):
            return Path(value)
        return tuple(value) if isinstance(value, list) else value

    return kind(**{name: restored(name, value) for name, value in json.loads(text).items()})
