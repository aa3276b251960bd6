"""The endurance run: its verdict on made-up samples, and the whole of it, short, over real DDS."""

import csv
import dataclasses
import json
import os
from importlib.util import find_spec

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ball_video import write_ball_video
from ros_processes import ROOT, touched_memory
from typer.testing import CliRunner

from samwise_ros.cli import main
from samwise_ros.demos.bench.endurance_client import Counter, footprint
from samwise_ros.demos.bench.endurance_report import MAX_RATIO, MAX_RISE, Sample, judge, summarise

_HOUR = 60
TF2_DOUBLE = ROOT / "test" / "helpers" / "tf2_double"


def _samples(rise: float = 0.0, slower: float = 1.0) -> list[Sample]:
    """An hour: memory rises by so much, latency grows evenly up to so many times."""
    result = []
    for minute in range(_HOUR):
        latency = 0.05 * (1 + (slower - 1) * minute / _HOUR)
        result.append(Sample(
            minute=minute, answered=3, dropped=1, latency_ms_p50=50.0, latency_ms_p95=60.0,
            cpu_ms=40.0, memory_mib=500 + rise * minute / _HOUR, threads=20, files=40, targets=1,
            with_mask=1.0, poses=0, sent=2,
            accepted=2, load=1.0, level=0, state="answering frames", event="",
            latencies=(latency, latency, latency)))
    return result


def test_a_flat_hour_passes():
    report = summarise(_samples())
    assert report["verdict"]["passed"] and report["answered"] == 180 and report["dropped"] == 60
    assert report["verdict"]["memory_mib_per_hour"] == 0 and report["verdict"]["latency_ratio"] == 1


@pytest.mark.parametrize(("samples", "rule"), [
    (_samples(rise=1.1 * MAX_RISE), "memory"),
    (_samples(slower=2 * MAX_RATIO), "latency"),
    ([dataclasses.replace(s, files=40 + int(s.minute)) for s in _samples()], "handles"),
    ([dataclasses.replace(s, threads=20 + int(s.minute)) for s in _samples()], "handles"),
    ([*_samples()[:-1], dataclasses.replace(_samples()[-1], answered=0)], "answers"),
    ([*_samples()[:-1], dataclasses.replace(_samples()[-1], accepted=1)], "commands"),
])
def test_each_rule_can_fail(samples, rule):
    verdict = judge(samples)
    assert not verdict["passed"]
    assert [name for name, good in verdict["rules"].items() if not good] == [rule]


def test_growth_while_warming_up_does_not_count():
    samples = [dataclasses.replace(s, memory_mib=s.memory_mib - (300 if s.minute < 10 else 0))
               for s in _samples()]
    assert judge(samples)["passed"]


def test_a_short_run_has_no_verdict():
    assert judge(_samples()[:10])["passed"] is None


def test_the_footprint_is_that_of_the_process():
    before = footprint(os.getpid())
    with touched_memory(64 << 20), open(os.devnull):
        after = footprint(os.getpid())
    assert 64 * 0.9 < after.memory_mib - before.memory_mib < 100
    assert after.files == before.files + 1 and after.cpu >= before.cpu and after.threads >= 1


def test_a_short_run_over_dds(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    video = write_ball_video(tmp_path / "ball.mp4")
    done = CliRunner().invoke(main.app, [
        "bench", "endurance", "--out", str(tmp_path), "--video", str(video), "-e", "the red ball",
        "--minutes", "0.3", "--period", "3", "--command-every", "0.1", "--toggle-every", "0.08"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["answered"] > 0 and report["latency_ms_p50"] > 0 and "nano" in report["model"]
    assert report["memory_mib_last"] > 100 and report["verdict"]["passed"] in (None, False, True)
    with (tmp_path / "endurance.csv").open() as file:
        rows = list(csv.DictReader(file))
    events = " ".join(row["event"] for row in rows)
    assert "the red ball" in events and "add:second" in events
    assert "deactivate, activate" in events and "cleanup, configure" in events
    assert int(rows[-1]["answered"]) > 0, "answers go on after the round trips"
    assert {int(row["targets"]) for row in rows} == {1, 2}
    assert cv2.imread(str(tmp_path / "endurance.png")).shape == (600, 900, 3)


def test_a_count_that_starts_anew_is_summed_up():
    counter = Counter()
    assert counter.take(5) == 5
    counter.restart(7)
    assert counter.take(3) == 2 + 3 and counter.take(4) == 1


def test_a_short_run_with_trouble_over_dds(tmp_path, monkeypatch):
    """Listeners stall, the camera is lost and comes back, a target frame (by the double of tf2
    where there is no real one), storms of commands: answers go on, and no command is lost."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if find_spec("tf2_ros") is None:
        monkeypatch.syspath_prepend(str(TF2_DOUBLE))
        monkeypatch.setenv("PYTHONPATH", str(TF2_DOUBLE), prepend=os.pathsep)
    video = write_ball_video(tmp_path / "ball.mp4")
    done = CliRunner().invoke(main.app, [
        "bench", "endurance", "--out", str(tmp_path), "--video", str(video), "-e", "the red ball",
        "--trouble", "--minutes", "0.6", "--period", "18", "--rate", "5"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["commands_accepted"] == report["commands_sent"] > 600
    with (tmp_path / "endurance.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(int(row["answered"]) > 0 and "storm" in row["event"] for row in rows)
    log = (tmp_path / "logs" / "node.log").read_text()
    assert "nobody publishes /camera/image_raw" in log
    assert int(rows[0]["poses"]) > 0 or "no transform from 'camera_optical_frame'" in log


def test_a_video_without_a_sentence_is_refused(tmp_path):
    done = CliRunner().invoke(main.app, ["bench", "endurance", "--out", str(tmp_path / "out"),
                                         "--video", "clip.mp4"])
    assert done.exit_code == 2 and "--expression" in done.output
    assert not (tmp_path / "out").exists()
