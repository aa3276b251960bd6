"""Probe scenes: a look-alike from the first frame on, the target enters later."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("pybullet", reason="the simulator needs PyBullet")

from samwise_ros.cli.main import app
from samwise_ros.data.mevis import MevisSource
from samwise_ros.sim.clip_renderer import SimClip
from samwise_ros.sim.content import HELD_OUT_PAIRS
from samwise_ros.sim.generate import DatasetRequest, generate
from samwise_ros.sim.late_target_scene import simulate_late_target
from samwise_ros.sim.plan import SceneSettings

SETTINGS = SceneSettings(width=96, height=72, frames=16)


@pytest.fixture(scope="module")
def clips() -> list[SimClip]:
    return [simulate_late_target("train", 3, index, SETTINGS) for index in range(6)]


def test_the_look_alike_is_always_there_and_the_target_enters_late(clips: list[SimClip]) -> None:
    for clip in clips:
        entry = clip.probe.entry
        assert 0.2 * 16 <= entry <= 0.55 * 16
        for number, frame in enumerate(clip.frames):
            assert frame.mask(clip.probe.distractor).any()
            assert frame.mask(clip.probe.target).any() or number < entry
            assert not frame.mask(clip.probe.target).any() or number >= entry - 1


def test_the_look_alike_shares_the_class_and_sometimes_the_colour(clips: list[SimClip]) -> None:
    colours = set()
    for clip in clips:
        twin, target = (clip.plan.objects[i] for i in (clip.probe.distractor, clip.probe.target))
        assert twin.class_name == target.class_name
        assert (target.colour, target.class_name) not in HELD_OUT_PAIRS
        colours.add(twin.colour == target.colour)
    assert colours == {True, False}


def test_every_sentence_means_the_target_alone_and_not_by_class(clips: list[SimClip]) -> None:
    kinds = {expression.kind for clip in clips for expression in clip.expressions}
    assert kinds == {"motion", "relation", "colour_class"}
    for clip in clips:
        assert len(clip.expressions) >= 3
        assert all(expression.targets == (clip.probe.target,) for expression in clip.expressions)
        twins = len({item.colour for item in clip.plan.objects[:2]}) == 1
        assert not (twins and any(e.kind == "colour_class" for e in clip.expressions))


def test_equal_seeds_give_equal_files_and_the_folder_is_mevis(tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 2)):
        request = DatasetRequest("val", 5, 2, tmp_path / name, SETTINGS, probe="late_target")
        assert generate(request, workers, show_progress=False) == 2

    files = sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 2 * 16 + 2 + 2
    for path in files:
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert other.read_bytes() == path.read_bytes(), path
    source = MevisSource(tmp_path / "a")
    video = source.video("late_target_val_0005_000000")
    probe = video.scene["probe"]
    assert probe["kind"] == "late_target" and probe["distractor"] == 0 and probe["target"] == 1
    masks = source.masks(video, video.expressions[0], range(16))
    assert int(np.argmax(masks.any(axis=(1, 2)))) in (probe["entry"] - 1, probe["entry"])


def test_the_command_makes_probes_and_refuses_clips_too_short_for_them(tmp_path: Path) -> None:
    options = ["simulate", "--probe", "late_target", "--clips", "1", "--workers", "1", "--size",
               "96x72", "--out", str(tmp_path)]

    made = CliRunner().invoke(app, [*options, "--frames", "12"])
    short = CliRunner().invoke(app, [*options, "--frames", "8"])

    assert made.exit_code == 0, made.output
    videos = json.loads((tmp_path / "meta_expressions.json").read_text())["videos"]
    assert list(videos) == ["late_target_train_0000_000000"]
    assert short.exit_code == 2 and "at least 12 frames, got 8" in short.output
