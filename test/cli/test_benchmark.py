"""`samwise benchmark --engines` as people call it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from samwise_ros.cli.main import app


@pytest.mark.usefixtures("one_thread")
def test_engines_are_a_table_and_a_file(tmp_path: Path) -> None:
    out = tmp_path / "engines.json"
    arguments = ["benchmark", "--model", "nano", "--engines", "eager", "--targets", "1,2",
                 "--frames", "1", "--camera", "64x48", "--device", "cpu", "--json", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    rows = json.loads(out.read_text())["rows"]
    assert [(row["engine"], row["targets"]) for row in rows] == [("eager", 1), ("eager", 2)]
    for row in rows:
        assert f"| {row['targets']} | eager | {row['ms']:.1f} |" in done.output
    assert CliRunner().invoke(app, arguments).exit_code == 0, "its own report is replaced"


@pytest.mark.parametrize(("arguments", "reason"), [
    (("--engines", "eager,warp"), "warp"), (("--targets", "1,2"), "expected a number"),
    (("--engines", "eager", "--targets", "0"), "expected a number")])
def test_what_is_wrong_is_named(arguments: tuple[str, ...], reason: str) -> None:
    done = CliRunner().invoke(app, ["benchmark", *arguments])
    assert done.exit_code == 2 and reason in done.output
