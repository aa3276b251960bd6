"""The messages of recordings: rosbags' types of ROS 2, with our own and those of vision_msgs."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

import samwise_ros
from samwise_ros.structures import ConfigError, FrameError

_PACKAGE = Path(samwise_ros.__file__).parent


class MessageTypes:
    """Reads, makes and writes messages by the full name of their type.

    What is read here (Image, CompressedImage, CameraInfo) is the same in every ROS 2, so
    definitions in the recording are not needed.
    """

    def __init__(self) -> None:
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        types = {}
        for package, folder in (("vision_msgs", _PACKAGE / "assets" / "interfaces" / "vision_msgs"),
                                ("samwise_ros", _own_definitions())):
            for file in sorted(folder.glob("*.msg")):
                types.update(get_types_from_msg(file.read_text(encoding="utf-8"),
                                                f"{package}/msg/{file.stem}"))
        self._store.register(types)

    def make(self, name: str, /, **fields: Any) -> Any:
        """See `messages.result_messages.MakeMessage`."""
        _, described = self._store.fielddefs[name]
        values = {field: _as_numpy(fields[field]) if field in fields else self._default(kind)
                  for field, kind in described}
        return self._store.types[name](**values)

    def read(self, data: bytes, name: str) -> Any:
        """The message in CDR bytes. Raises FrameError for bytes that hold none of this type."""
        try:
            return self._store.deserialize_cdr(data, name)
        except Exception as error:  # rosbags passes on what struct, NumPy and codecs raise
            raise FrameError(f"not a message of type {name} ({type(error).__name__}: {error})"
                             ) from error

    def write(self, message: Any) -> bytes:
        """A message as CDR bytes."""
        return bytes(self._store.serialize_cdr(message, message.__msgtype__))

    def definition(self, name: str) -> tuple[str, str]:
        """The text of a type with all that it is made of, and its hash (REP 2011)."""
        text, _ = self._store.generate_msgdef(name, ros_version=2)
        return text, self._store.hash_rihs01(name)

    def _default(self, kind: Any) -> Any:
        node, detail = kind
        if node is Nodetype.NAME:
            return self.make(detail)
        if node is Nodetype.BASE:
            name, _ = detail
            return "" if name == "string" else np.dtype(name).type(0).item()
        (inner, of), size = detail
        count = size if node is Nodetype.ARRAY else 0
        if inner is Nodetype.BASE and of[0] != "string":
            return np.zeros(count, of[0])
        return [self._default((inner, of)) for _ in range(count)]


def _as_numpy(value: Any) -> Any:
    """rosbags wants numbers in NumPy's arrays."""
    return np.frombuffer(value, np.uint8) if isinstance(value, array) else value


def _own_definitions() -> Path:
    """Our msg/: in the checkout, or below the prefix that the package was installed to."""
    for parent in _PACKAGE.parents:
        for folder in (parent / "msg", parent / "share" / "samwise_ros" / "msg"):
            if (folder / "TargetArray.msg").is_file():
                return folder
    raise ConfigError(f"{_PACKAGE}: the definitions of its messages (share/samwise_ros/msg) are "
                      "not installed: install the package again")
