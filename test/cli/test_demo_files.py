"""Demos write over what an earlier demo wrote, and over nothing else."""

from pathlib import Path

import pytest

from samwise_ros.cli.demo import report_run
from samwise_ros.demos.options import DemoOptions, EnduranceOptions
from samwise_ros.structures import ConfigError


def run(options: DemoOptions | EnduranceOptions) -> dict:
    """What a demo leaves, without its processes."""
    (options.out / "logs").mkdir(exist_ok=True)
    (options.out / "overlay.mp4").write_text("demo")
    return {}


def explain(report: dict, out: Path) -> str:
    return str(out)


def test_a_demo_replaces_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for _ in range(2):
        report_run(run, explain, DemoOptions(tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["overlay.mp4", "report.json", "logs/mine.log"])
def test_a_demo_replaces_nothing_of_other_origin(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        report_run(run, explain, DemoOptions(tmp_path))
    assert path.read_text() == "mine"


def test_a_video_is_not_played_from_among_the_results(tmp_path: Path) -> None:
    report_run(run, explain, DemoOptions(tmp_path))
    options = EnduranceOptions(tmp_path, video=tmp_path / "overlay.mp4", expressions=("a",))
    with pytest.raises(ConfigError, match="what is read"):
        report_run(run, explain, options)
