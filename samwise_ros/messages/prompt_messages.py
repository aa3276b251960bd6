"""Messages that show a target on an image -> commands and prompts. No ROS import."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.streaming.commands import shown_command
from samwise_ros.streaming.prompts import check_prompt, seconds_of
from samwise_ros.structures import Command, CommandError, Prompt

_MASKS = ("mono8", "8UC1")


def stamp_of(header: Any) -> float | None:
    """The image that is meant, by its stamp in seconds; None for a stamp of zero: the next one."""
    return seconds_of(header) or None


def pixel_command(message: Any) -> Command:
    """A geometry_msgs/PointStamped whose x and y are pixels: the only target."""
    point = message.point
    return shown_command("", "", Prompt(points=((point.x, point.y),),
                                        stamp=stamp_of(message.header)))


def detection_command(detection: Any, release_words: Iterable[str]) -> Command:
    """A vision_msgs/Detection2D: its box, its id if it has one, and its class if that is a text.

    Raises CommandError.
    """
    box, results = detection.bbox, detection.results
    x, y = box.center.position.x, box.center.position.y
    said = results[0].hypothesis.class_id if results else ""
    # Detectors number their classes; a number names nothing.
    sentence = said if any(map(str.isalpha, said)) else ""
    return shown_command(detection.id, sentence, Prompt(
        box=(x - box.size_x / 2, y - box.size_y / 2, x + box.size_x / 2, y + box.size_y / 2),
        stamp=stamp_of(detection.header)), release_words)


def mask_command(image: Any) -> Command:
    """A sensor_msgs/Image that is not zero on the only target. Raises CommandError, FrameError."""
    return shown_command("", "", Prompt(mask=mask_of(image), stamp=stamp_of(image.header)))


def prompt_of(message: Any) -> Prompt | None:
    """A samwise_ros/Prompt; None for an empty one. Raises CommandError and FrameError."""
    points, box, mask = list(message.points), list(message.box), message.mask
    if not (points or box or mask.width or mask.height or len(mask.data)):
        return None
    if len(points) % 2 or len(box) not in (0, 4):
        raise CommandError(f"prompt: expected points of two numbers each and a box of four, got "
                           f"{len(points)} and {len(box)} numbers")
    prompt = Prompt(points=tuple(zip(points[::2], points[1::2], strict=True)),
                    beside=tuple(message.beside), box=(box[0], box[1], box[2], box[3]) if box
                    else None, mask=mask_of(mask) if mask.width else None, stamp=stamp_of(message))
    check_prompt(prompt)
    return prompt


def mask_of(image: Any) -> np.ndarray:
    """bool [H, W] of a mono8 image. Raises CommandError and FrameError."""
    if image.encoding not in _MASKS:
        raise CommandError(f"prompt: expected a mask of encoding {' or '.join(_MASKS)}, got "
                           f"{image.encoding!r}")
    return np.asarray(image_to_rgb(image)[..., 0] > 0)
