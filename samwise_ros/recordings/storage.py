"""Which files are recordings, by their names. Asked before rosbags is needed."""

from __future__ import annotations

import re
from pathlib import Path

_STORAGE = re.compile(r"\.(mcap|db3)(\.zstd)?$")


def storage_files(folder: Path) -> list[Path]:
    """Storage files of a folder in natural order."""
    from samwise_ros.streaming.pictures import natural_key  # OpenCV, which `--help` does not need

    return sorted((path for path in folder.iterdir()
                   if _STORAGE.search(path.name) and not path.name.startswith(".")),
                  key=lambda path: natural_key(path.name))


def is_recording(path: Path) -> bool:
    """Whether a path is a recording, whole or not, by its name or by what lies in it."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(storage_files(path))
    return bool(_STORAGE.search(path.name)) or path.suffix == ".bag"
