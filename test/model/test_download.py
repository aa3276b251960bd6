"""Downloads go on where they stopped, notice changes, and say what to do without a network."""

import hashlib
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.model import download
from samwise_ros.model.download import RemoteFile, fetch, verify
from samwise_ros.structures import CheckpointError

BODY = bytes(range(256)) * 20_000  # 5 MB


class FileServer(ThreadingHTTPServer):
    """Serves one body with ETag and ranges; can cut the connection after some bytes.

    Attributes:
        body, tag: What is served. cut_after: Bytes per answer before the connection drops.
        ranges: The Range header of every request, None where there was none.
        supports_ranges: False answers every request with the whole body.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.tag, self.cut_after = BODY, '"v1"', None
        self.ranges: list[str | None] = []
        self.supports_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights.pt"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: FileServer = self.server
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        start = 0
        if wanted and server.supports_ranges and self.headers.get("If-Range") == server.tag:
            start = int(re.match(r"bytes=(\d+)-$", wanted)[1])
        if start > 0 and start >= len(server.body):
            self.send_error(416)
            return
        rest = server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", server.tag)
        self.end_headers()
        self.wfile.write(rest[:server.cut_after])
        if server.cut_after is not None and len(rest) > server.cut_after:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep test output quiet."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    running = FileServer()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join(timeout=10)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(download, "_TIMEOUT", 10.0)
    return tmp_path / "samwise_ros"


def remote(server: FileServer, name: str = "weights.pt") -> RemoteFile:
    return RemoteFile(name, server.url, "http://example.org/page")


def test_a_file_arrives_whole_with_progress_and_recorded_checksum(
        server: FileServer, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path, digest = fetch(remote(server), progress=lambda *now: seen.append(now))
    assert path == cache / "weights.pt" and path.read_bytes() == BODY
    assert digest == hashlib.sha256(BODY).hexdigest()
    assert seen[-1] == (len(BODY), len(BODY)) and len(seen) > 2
    assert digest in (cache / "checksums.json").read_text()
    assert sorted(p.name for p in cache.iterdir()) == ["checksums.json", "weights.pt"]


def test_an_interrupted_download_goes_on_where_it_stopped(
        server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    server.cut_after = 2_000_000
    with pytest.raises(CheckpointError, match="run the command again"):
        fetch(remote(server))
    kept = (cache / "weights.pt.part").stat().st_size
    assert kept == 2_000_000 and not (cache / "weights.pt").exists()
    server.cut_after = None
    path, _ = fetch(remote(server))
    assert server.ranges == [None, f"bytes={kept}-"]
    assert path.read_bytes() == BODY


def test_ctrl_c_keeps_what_has_arrived(server: FileServer, cache: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > 1_500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(remote(server), progress=interrupt)
    assert (cache / "weights.pt.part").stat().st_size > 1_500_000
    assert fetch(remote(server))[0].read_bytes() == BODY
    assert server.ranges[1].startswith("bytes=")


def test_a_dropped_connection_is_resumed_within_one_call(server: FileServer) -> None:
    server.cut_after = 2_000_000
    path, _ = fetch(remote(server))
    assert path.read_bytes() == BODY
    assert server.ranges == [None, "bytes=2000000-", "bytes=4000000-"]


def test_a_file_that_changed_in_between_is_fetched_anew(
        server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    server.cut_after = 2_000_000
    with pytest.raises(CheckpointError):
        fetch(remote(server))
    server.cut_after, server.body, server.tag = None, BODY[::-1], '"v2"'
    assert fetch(remote(server))[0].read_bytes() == BODY[::-1]


def test_a_server_without_ranges_starts_from_the_beginning(
        server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    server.cut_after, server.supports_ranges = 2_000_000, False
    with pytest.raises(CheckpointError):
        fetch(remote(server))
    server.cut_after = None
    assert fetch(remote(server))[0].read_bytes() == BODY


def test_a_partial_file_that_cannot_be_continued_is_replaced(server: FileServer,
                                                             cache: Path) -> None:
    cache.mkdir()
    (cache / "weights.pt.part").write_bytes(BODY)
    (cache / "weights.pt.part.json").write_text('{"validator": "\\"v1\\""}')
    assert fetch(remote(server))[0].read_bytes() == BODY


def test_a_present_file_is_not_fetched_again_but_verified(server: FileServer, cache: Path) -> None:
    fetch(remote(server))
    fetch(remote(server))
    assert len(server.ranges) == 1
    (cache / "weights.pt").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="has changed"):
        fetch(remote(server))


def test_a_file_placed_by_hand_is_recorded_on_first_use(cache: Path) -> None:
    cache.mkdir()
    path = cache / "weights.pt"
    path.write_bytes(b"one")
    first = verify(path)
    assert verify(path) == first
    path.write_bytes(b"two")
    with pytest.raises(CheckpointError, match="recorded at first use"):
        verify(path)


def test_a_web_page_is_not_taken_for_weights(server: FileServer, cache: Path) -> None:
    server.body = b"<!DOCTYPE html><html>quota exceeded</html>"
    with pytest.raises(CheckpointError, match="web page"):
        fetch(remote(server))
    assert not list(cache.glob("weights.pt*"))


def test_no_network_gives_the_manual_steps(server: FileServer, cache: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(CheckpointError) as caught:
        fetch(remote(server))
    message = str(caught.value)
    assert "http://example.org/page" in message and str(cache / "weights.pt") in message


def test_an_archive_gives_its_member(server: FileServer, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "model.pt", "inner/model.pt")
    server.body = (tmp_path / "a.tar.gz").read_bytes()
    file = RemoteFile("a/a.tar.gz", server.url, "", unpack=(("inner/model.pt", "model.pt"),))
    fetch(file)
    assert (cache / "a" / "model.pt").read_bytes() == b"weights"


def test_the_command_lists_fetches_and_refuses_unknown_names(
        server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(download.DOWNLOADS, "mine", (remote(server),))
    runner = CliRunner(env={"COLUMNS": "400"})
    listing = runner.invoke(app, ["checkpoint", "download"])
    assert listing.exit_code == 0
    assert "mevis" in listing.output and "1Molt2up2bP41ekeczXWQU-LWTskKJOV2" in listing.output
    fetched = runner.invoke(app, ["checkpoint", "download", "mine"])
    assert fetched.exit_code == 0, fetched.output
    assert hashlib.sha256(BODY).hexdigest() in fetched.output
    unknown = runner.invoke(app, ["checkpoint", "download", "mevsi"])
    assert unknown.exit_code == 2


def test_a_file_whose_sha256_is_known_is_checked_at_the_first_use(server: FileServer) -> None:
    known = hashlib.sha256(BODY).hexdigest()
    right = RemoteFile("right.pt", server.url, server.url, known)
    assert fetch(right)[1] == known
    wrong = RemoteFile("wrong.pt", server.url, server.url, "0" * 64)
    with pytest.raises(CheckpointError, match=f"{known}, expected is 0000"):
        fetch(wrong)
    with pytest.raises(CheckpointError, match="expected is 0000"):  # what lies there is no better
        fetch(wrong)


def test_known_weights_are_pinned_and_the_tokenizer_is_the_one_we_have(shared_dir: Path) -> None:
    pinned = [file for name, files in download.DOWNLOADS.items() for file in files
              if name.startswith("sam2_") or name in ("roberta", "roberta_weights", "mini")]
    assert len({file.sha256 for file in pinned}) == len(pinned) == 10
    for file in download.DOWNLOADS["roberta"]:
        content = (shared_dir / "tokenizer" / file.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
