"""Graphs on disk: made once, made anew when damaged, never half there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxscript", reason="onnxscript is not installed")

from model_builders import MICRO

from samwise_ros.config import SessionConfig
from samwise_ros.engines.graph_cache import DESCRIPTION, GRAPH, graph_key, kept_graph
from samwise_ros.streaming.image_ops import InputSize
from samwise_ros.streaming.steps import StepShape

SHAPE = StepShape(InputSize((96, 128), (48, 64), (64, 64)), 2, 16)


class Exporter:
    """Writes a file and its data, and counts."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, path: Path) -> dict[str, Any]:
        self.runs += 1
        path.write_bytes(b"graph")
        path.with_name(path.name + ".data").write_bytes(b"weights")
        return {"opset": 18}


def take(export: Callable[[Path], dict[str, Any]], folder: Path, key: str = "one") -> bytes:
    with kept_graph(key, export, folder) as path:
        return path.read_bytes()


def test_a_graph_is_made_once(tmp_path: Path) -> None:
    export = Exporter()
    assert take(export, tmp_path) == take(export, tmp_path) == b"graph"
    assert export.runs == 1 and [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("damage", [
    lambda place: (place / GRAPH).write_bytes(b"gra"),
    lambda place: (place / f"{GRAPH}.data").unlink(),
    lambda place: (place / DESCRIPTION).write_text("[]"),
    lambda place: (place / DESCRIPTION).write_text("{"),
    lambda place: (place / DESCRIPTION).unlink()])
def test_what_is_damaged_is_made_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    export = Exporter()
    take(export, tmp_path)
    damage(tmp_path / "one")
    assert take(export, tmp_path) == b"graph" and export.runs == 2
    assert take(export, tmp_path) == b"graph" and export.runs == 2


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(path: Path) -> dict[str, Any]:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        take(fails, tmp_path)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_kept_the_graph_is_there_for_the_moment(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    export = Exporter()
    for _ in range(2):
        assert take(export, tmp_path / "file" / "engines") == b"graph"
    assert export.runs == 2


def test_only_the_last_used_ones_are_kept(tmp_path: Path) -> None:
    export = Exporter()
    for number in range(20):
        take(export, tmp_path, f"key{number}")
    assert len(list(tmp_path.iterdir())) == 16 and (tmp_path / "key19" / GRAPH).is_file()


def test_what_a_killed_process_has_left_goes_and_what_is_being_made_stays(tmp_path: Path) -> None:
    for name in (".part-old", ".part-new"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".part-old", (0, 0))
    take(Exporter(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".part-new", "one"}


def test_a_key_follows_from_all_that_a_graph_follows_from() -> None:
    config = SessionConfig()
    other_size = StepShape(InputSize((97, 128), (48, 64), (64, 64)), 2, 16)
    keys = [graph_key("a", MICRO, SHAPE, config), graph_key("b", MICRO, SHAPE, config),
            graph_key("a", MICRO.replace(mask_threshold=0.4), SHAPE, config),
            graph_key("a", MICRO, other_size, config),
            graph_key("a", MICRO, StepShape(SHAPE.size, 4, 16), config),
            graph_key("a", MICRO, StepShape(SHAPE.size, 2, 32), config),
            graph_key("a", MICRO, SHAPE, SessionConfig(context_frames=3))]
    assert len(set(keys)) == len(keys)
    assert graph_key("a", MICRO, SHAPE, SessionConfig(max_targets=3)) == keys[0]
