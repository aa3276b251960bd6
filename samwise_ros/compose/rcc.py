"""Files out of Qt's compiled resource archives (`.rcc`), in which GCompris keeps its pictures.

Layout, all big-endian (Qt's `rcc` tool, format versions 1 to 3): "qres", version, offsets of tree,
data and names; tree nodes of 14 (version 1) or 22 bytes; names as length, hash, UTF-16.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from samwise_ros.compose.errors import ComposeError

COMPRESSED, FOLDER = 1, 2


def read_member(archive: Path, member: str) -> bytes:
    """The bytes of one file of an archive, for instance `gcompris/src/.../cup.webp`.

    Raises ComposeError when archive or member is missing or of another format.
    """
    members = _members(archive)
    if member not in members:
        raise ComposeError(f"{archive} holds no {member}: another release of GCompris?")
    flags, start, length = members[member]
    with archive.open("rb") as file:
        file.seek(start)
        data = file.read(length)
    if flags & COMPRESSED:
        return zlib.decompress(data[4:])
    return data


@lru_cache(maxsize=8)
def _members(archive: Path) -> dict[str, tuple[int, int, int]]:
    """(flags, first byte, length) of every file by its path."""
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise ComposeError(f"cannot read {archive}: {error}") from error
    if data[:4] != b"qres":
        raise ComposeError(f"{archive} is not a Qt resource archive")
    version, tree, base, names = struct.unpack(">4I", data[4:20])
    return dict(_walk(data, 22 if version >= 2 else 14, tree, base, names))


def _walk(data: bytes, size: int, tree: int, base: int,
          names: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    open_nodes = [(0, "")]
    while open_nodes:
        node, prefix = open_nodes.pop()
        name, flags, first, second = struct.unpack_from(">IHII", data, tree + node * size)
        path = f"{prefix}/{_name(data, names + name)}".lstrip("/") if node else ""
        if flags & FOLDER:
            open_nodes += [(second + child, path) for child in range(first)]
        else:
            (length,) = struct.unpack_from(">I", data, base + second)
            yield path, (flags, base + second + 4, length)


def _name(data: bytes, place: int) -> str:
    (length,) = struct.unpack_from(">H", data, place)
    return data[place + 6:place + 6 + 2 * length].decode("utf-16-be")
