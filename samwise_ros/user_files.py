"""Files of people: read with whatever marks they carry, never written over or half written.

Every command that writes claims its names first (`claim_outputs`); every file that must be whole is
written beside its place and moved there (`whole_file`).
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samwise_ros.structures import ConfigError, DataError

# Longer marks first: UTF-32's begins with UTF-16's.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"),
          (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
          (codecs.BOM_UTF16_BE, "utf-16"))


def decode_text(data: bytes, encoding: str = "utf-8") -> str:
    """Text of a file: in the encoding that its byte-order mark names, else in `encoding`.

    Raises UnicodeDecodeError.
    """
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    return data.decode(marked)


def load_json(path: Path) -> Any:
    """Content of a JSON file, with or without a byte-order mark. Raises OSError and ValueError."""
    return json.loads(decode_text(path.read_bytes()))


def contained_name(name: object, where: str) -> str:
    """`name`, if joining it to a folder stays below that folder.

    Raises DataError, beginning with `where`, for anything but such a text: absolute paths, `..`,
    empty parts. Names of videos, frames and expressions come from files that others made.
    """
    if (isinstance(name, str) and all(part not in ("", ".", "..") for part in name.split("/"))
            and "\0" not in name and _has_bytes(name)):
        return name
    raise DataError(f"{where}: {str(name)[:80]!r} is not a name of something inside the data's own "
                    "folder. Take the file from its publisher again, or correct the name.")


def real_path(path: Path) -> Path:
    """Where a path leads; links in a circle lead nowhere (before Python 3.13 `resolve` raises)."""
    return Path(os.path.realpath(path))


def keep_apart(folder: Path, names: Iterable[str], inputs: Iterable[Path]) -> None:
    """Raise ConfigError when writing `names` into `folder` would touch what is read.

    That is when one of them is an input, holds one, or would lie directly in a folder of inputs.
    Files are compared, not their names: links and file systems without case are seen through.
    """
    for source in (Path(entry) for entry in inputs):
        for target in (folder / name for name in names):
            holds = any(_same(target, part) for part in _with_parents(source))
            if holds or (source.is_dir() and _same(target.parent, source)):
                raise ConfigError(f"{folder}: results would be written over or among what is read, "
                                  f"{source}. Give another folder for the results.")


def claim_outputs(folder: Path, names: Iterable[str], inputs: Iterable[Path] = ()) -> None:
    """Make `folder`, once it is sure that `names` are free in it.

    Args:
        folder: Where a command writes.
        names: Files and folders that it will make there, relative to `folder`.
        inputs: What the command reads.

    Raises ConfigError, with nothing written, when a name is taken (an empty folder is not), when
    `keep_apart` objects, or when the folder cannot be made.
    """
    names = tuple(names)
    keep_apart(folder, names, inputs)
    taken = [name for name in names if _is_taken(folder / name)]
    if taken:
        raise ConfigError(f"{folder}: {', '.join(taken)} exists already and would be overwritten. "
                          "Give another folder, or move it away.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot write results there ({error.strerror})") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` at the end; after an exception nothing is left."""
    # short: `path` may have a full-length name
    part = path.with_name(f".samwise-{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_once(path: Path, content: str) -> None:
    """Write a UTF-8 file, making its folder; one that holds just that already is left alone.

    Raises DataError when the file is there with another content.
    """
    data = content.encode()
    if os.path.lexists(path):
        if path.is_file() and path.read_bytes() == data:
            return
        raise DataError(f"{path}: exists with another content, which is not overwritten. Give "
                        "another folder, or move it away.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(data)


def keep_foreign(path: Path | None, sign: str) -> None:
    """Raise ConfigError if `path` exists and its text has no `sign` of a report of ours."""
    if path is None or not os.path.lexists(path):
        return
    try:
        if sign in path.read_text(encoding="utf-8"):
            return
    except (OSError, ValueError):
        pass
    raise ConfigError(f"{path}: exists, is no earlier report of this command, and would be "
                      "overwritten. Name another file, or move it away.")


def _has_bytes(name: str) -> bool:
    """Whether a file can be called that: JSON may hold half characters."""
    try:
        return bool(os.fsencode(name))
    except UnicodeEncodeError:
        return False


def _with_parents(path: Path) -> tuple[Path, ...]:
    resolved = real_path(path)
    return (resolved, *resolved.parents)


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # what does not exist is nothing's other name
        return False


def _is_taken(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return os.path.lexists(path)
