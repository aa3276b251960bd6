"""The files of a rosbag2 recording: whole ones by rosbags, damaged ones as far as they go.

A recording that was cut off has no metadata.yaml, an MCAP file without its end or an SQLite file
with fewer pages than it says. What is readable is read in the order in which it was written.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zstandard
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.rosbag2 import Reader

from samwise_ros.recordings.storage import storage_files
from samwise_ros.structures import FrameError

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

Record = tuple[str, str, int, bytes]  # topic, type, time of recording [ns], CDR bytes


@dataclass(frozen=True)
class Topic:
    """One topic of a recording. `count`: its messages."""

    name: str
    type: str
    count: int


@dataclass
class _Part:
    """A storage, or a folder of them, that rosbags opened."""

    name: str
    reader: Reader
    faults: dict[str, str]

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for connection in self.reader.connections:
            found[connection.topic, connection.msgtype] += connection.msgcount
        return found

    def records(self, topics: Collection[str]) -> Iterator[Record]:
        wanted = [entry for entry in self.reader.connections if entry.topic in topics]
        if not wanted:
            return
        messages = self.reader.messages(wanted)
        read = 0
        while True:
            try:
                connection, time, data = next(messages)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001  rosbags passes on what its libraries raise
                self.faults[self.name] = f"damaged after {read} messages ({error})"
                return
            read += 1
            yield connection.topic, connection.msgtype, time, bytes(data)


@dataclass
class _Damaged:
    """A storage file that rosbags refuses. It is read once to know what it holds."""

    path: Path
    reason: str
    faults: dict[str, str]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for topic, kind, _, _ in self._read():
            self.counts[topic, kind] += 1
        self.faults[self.path.name] = (
            f"{self.reason}; {self.counts.total()} messages before that are readable")

    def records(self, topics: Collection[str]) -> Iterator[Record]:
        return (record for record in self._read() if record[0] in topics)

    def _read(self) -> Iterator[Record]:
        read = _mcap_records if self.path.suffix == ".mcap" else _sqlite_records
        records = read(self.path)
        while True:
            try:
                yield next(records)
            except StopIteration:
                return
            except Exception:  # noqa: BLE001  where it is cut off, each library fails in its own way
                return


class Recording:
    """A recording of rosbag2: a folder, or one file of it (.mcap, .db3; compressed, too).

    Attributes:
        path: As given.
        faults: What of it is damaged or missing, and how far it could be read, by file.

    Raises:
        FrameError: Nothing of it can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: dict[str, str] = {}
        self._folder = TemporaryDirectory(prefix="samwise_recording_")
        try:
            self._parts = self._open()
        except BaseException:
            self._folder.cleanup()
            raise

    @property
    def topics(self) -> dict[str, Topic]:
        """By name, in order of names."""
        counts: Counter[tuple[str, str]] = Counter()
        for part in self._parts:
            counts.update(part.counts)
        return {name: Topic(name, kind, count) for (name, kind), count in sorted(counts.items())}

    @property
    def seconds(self) -> float | None:
        """From the first to the last message; None where no file says."""
        readers = [part.reader for part in self._parts if isinstance(part, _Part)]
        filled = [reader for reader in readers if reader.message_count]
        if not filled:
            return None
        return (max(reader.end_time for reader in filled)
                - min(reader.start_time for reader in filled)) * 1e-9

    def records(self, topics: Collection[str]) -> Iterator[Record]:
        """Messages of these topics, file after file, each in the order of recording."""
        for part in self._parts:
            for topic, kind, time, data in part.records(topics):
                # Compressed one by one, where metadata.yaml is not there to say so.
                yield topic, kind, time, (zstandard.decompress(data) if data[:4] == _ZSTD_MAGIC
                                          else data)

    def close(self) -> None:
        """Close its files."""
        for part in self._parts:
            if isinstance(part, _Part):
                with suppress(Exception):
                    part.reader.close()
        self._folder.cleanup()

    def _open(self) -> list[_Part | _Damaged]:
        if self.path.suffix == ".bag":
            raise FrameError(f"{self.path}: a recording of ROS 1; rosbags-convert makes one of "
                             "ROS 2")
        files = [self.path] if self.path.is_file() else storage_files(self.path)
        if not files:
            raise FrameError(f"{self.path}: holds no recording (.mcap or .db3)")
        if self.path.is_dir():
            try:
                return [self._whole(self.path)]
            except FrameError as error:
                self.faults["metadata.yaml"] = f"{error}; its files are read one by one"
        return [self._part(file) for file in files]

    def _whole(self, path: Path) -> _Part:
        """Raises FrameError when rosbags cannot open it."""
        try:
            reader = Reader(path)
            reader.open()
        except Exception as error:  # rosbags passes on what its libraries raise
            raise FrameError(str(error) or type(error).__name__) from error
        return _Part(path.name, reader, self.faults)

    def _part(self, file: Path) -> _Part | _Damaged:
        if file.suffix == ".zstd":
            file = self._decompressed(file)
        try:
            return self._whole(file)
        except FrameError as error:
            return _Damaged(file, f"cut off or damaged ({error})", self.faults)

    def _decompressed(self, file: Path) -> Path:
        """What a compressed file holds, as far as it goes."""
        target = Path(self._folder.name, file.stem)
        with file.open("rb") as source, target.open("wb") as sink, suppress(zstandard.ZstdError):
            zstandard.ZstdDecompressor().copy_stream(source, sink)
        return target


def _mcap_records(path: Path) -> Iterator[Record]:
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    with path.open("rb") as file:
        for record in StreamReader(file).records:
            if isinstance(record, Schema):
                schemas[record.id] = record.name
            elif isinstance(record, Channel):
                channels[record.id] = record.topic, schemas.get(record.schema_id, "")
            elif isinstance(record, Message):
                yield *channels[record.channel_id], record.log_time, record.data


def _sqlite_records(path: Path) -> Iterator[Record]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        # Otherwise SQLite refuses a file that is shorter than its header says.
        database.execute("PRAGMA writable_schema=ON")
        topics: dict[int, tuple[Any, Any]] = {
            number: (name, kind)
            for number, name, kind in database.execute("SELECT id, name, type FROM topics")}
        for number, time, data in database.execute(
                "SELECT topic_id, timestamp, data FROM messages ORDER BY id"):
            yield *topics[number], time, data
