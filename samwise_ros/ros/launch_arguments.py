"""How launch files read their arguments, which are texts. Standard library only.

A launch file that raises before it returns an action starts nothing: launch prints the message and
ends with exit status 1.
"""

import os
from collections.abc import Mapping

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_DEFAULT_TOPICS = {"image": "image", "depth": "depth", "camera_info": "camera_info"}


def read_bool(name: str, text: str) -> bool:
    """What an argument says that means true or false. Raises ValueError for anything else."""
    word = text.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(f"{name}: expected true or false (or 1, 0, yes, no, on, off), got "
                         f"{text!r}")
    return word in _TRUE


def read_number(name: str, text: str, kind: type[int] | type[float]) -> int | float:
    """A whole or a decimal number. Raises ValueError that names the argument."""
    try:
        return kind(text)
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: expected {expected}, got {text!r}") from None


def read_choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    """One of several words. Raises ValueError that names them."""
    if text not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {text!r}")
    return text


def read_topics(name: str, text: str) -> dict[str, str]:
    """`NAME:=TOPIC NAME:=TOPIC` -> topic by camera name. Raises ValueError for other entries."""
    topics: dict[str, str] = {}
    for entry in text.split():
        camera, found, topic = entry.partition(":=")
        if not (camera and found and topic) or camera in topics:
            raise ValueError(f"{name}: expected different NAME:=TOPIC, got {entry!r}")
        topics[camera] = topic
    return topics


def refuse_topics_of_one_camera(cameras: str, topics: Mapping[str, str]) -> None:
    """Refuse `image:=` and the like beside `cameras:=`, where they would reach no camera.

    Args:
        cameras: What the argument `cameras` says.
        topics: What `image`, `depth` and `camera_info` say.

    Raises:
        ValueError: Both are given.
    """
    given = [name for name, topic in topics.items() if topic != _DEFAULT_TOPICS[name]]
    if cameras and given:
        raise ValueError(f"{', '.join(given)}: not beside cameras:={cameras!r}, each of which has "
                         f"topics of its own (NAME/{given[0]}); use multi_camera.launch.py to "
                         "remap them")


def node_topic(namespace: str, name: str, topic: str) -> str:
    """Full name of an output of the segmentation node."""
    return "/" + "/".join(part for part in (namespace.strip("/"), name, topic) if part)


def profile_variable() -> str:
    """The environment variable by which Fast DDS finds its profile; it was renamed after Humble."""
    renamed = os.environ.get("ROS_DISTRO") != "humble"
    return f"{'FASTDDS' if renamed else 'FASTRTPS'}_DEFAULT_PROFILES_FILE"
