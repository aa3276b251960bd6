"""Exported graphs in the user's cache folder: a second start does not export again.

A graph is kept under a digest of all that it follows from: weights, configuration, shape, the code
of this package and the versions of the exporters. What is there but not whole is made anew.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from samwise_ros.config import ModelConfig, SessionConfig
from samwise_ros.engines.onnx_graph import OPSET, write_description
from samwise_ros.model.download import cache_dir
from samwise_ros.streaming.steps import StepShape
from samwise_ros.user_files import load_json

GRAPH, DESCRIPTION = "step.onnx", "step.json"
_KEPT = 16  # graphs, the last used ones
_PART, _LONGEST = ".part-", 86400.0  # a graph while it is written; seconds that it may take
_log = logging.getLogger(__name__)


def graph_key(weights: str, model: ModelConfig, shape: StepShape, config: SessionConfig) -> str:
    """Digest of all that a graph follows from.

    Args:
        weights: Their digest (`onnx_graph.weights_digest`).
    """
    facts = {"weights": weights, "model": model.to_dict(), "shape": asdict(shape),
             "context_frames": config.context_frames, "precision": "fp32", "opset": OPSET,
             "code": _code_digest(),
             "versions": {name: importlib.metadata.version(name)
                          for name in ("torch", "onnx", "onnxscript")}}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@contextmanager
def kept_graph(key: str, export: Callable[[Path], Mapping[str, Any]],
               folder: Path | None = None) -> Iterator[Path]:
    """The graph of a key as a file that is whole; exported where there is none.

    Args:
        key: Of `graph_key`.
        export: Writes the graph to a path and returns its description.
        folder: Of all graphs; None: `engines` in the user's cache folder. One that cannot be
            written to is named in the log, and the graph is gone after the block.
    """
    place = (folder or cache_dir() / "engines") / key
    if _is_whole(place):
        os.utime(place)  # the last used ones are kept
        yield place / GRAPH
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=_PART, dir=place.parent))
    except OSError as error:
        _log.warning("%s: graphs are not kept, the next start exports again (%s)", place.parent,
                     error.strerror)
        made = place = Path(tempfile.mkdtemp(prefix="samwise-engine-"))
    try:
        description = dict(export(made / GRAPH))
        write_description(made / DESCRIPTION, description | {"files": _digests(made)})
        _put(made, place)
        yield place / GRAPH
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put(made: Path, place: Path) -> None:
    """Move a whole folder to its place. Another process may have done the same meanwhile."""
    if made == place:
        return
    if place.exists() and not _is_whole(place):
        shutil.rmtree(place, ignore_errors=True)
    try:
        made.rename(place)
    except OSError:
        if not _is_whole(place):
            raise
    _tidy(place.parent)


def _tidy(folder: Path) -> None:
    """Remove what was not used for longest, and what processes that were killed have left."""
    newest_first = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    whole = [path for path in newest_first if not path.name.startswith(_PART)]
    left = [path for path in newest_first if path.name.startswith(_PART)
            and time.time() - path.stat().st_mtime > _LONGEST]
    for old in (*whole[_KEPT:], *left):
        shutil.rmtree(old, ignore_errors=True)


def _is_whole(place: Path) -> bool:
    """Whether every file is there with its digest."""
    try:
        files = load_json(place / DESCRIPTION)["files"]
        whole = GRAPH in files and all(
            _digest(place / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole and place.exists():
        _log.warning("%s is damaged and is made anew", place)
    return whole


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: _digest(path) for path in sorted(folder.iterdir())}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Of the sources that a step is traced through, so that a changed checkout exports anew."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for folder in ("model", "streaming", "engines"):
        for path in sorted((package / folder).glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
