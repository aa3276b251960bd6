"""Late targets and ablations: figures by hand, selection by kind, and both commands."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_builders import NUM_FRAMES, build_mevis
from evaluation_builders import PreparedPredictor
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.data.mevis import MevisSource
from samwise_ros.evaluation.ablations import evaluate_in_turns, variants
from samwise_ros.evaluation.expression_scores import ExpressionResult, LateTargetCounts, Scores
from samwise_ros.evaluation.late_target_scores import (
    LateTargetStatistics,
    count_late_target,
    late_target_report,
)
from samwise_ros.evaluation.selection import Selection
from samwise_ros.evaluation.sim_scenes import evaluate_sim
from samwise_ros.evaluation.store import ResultStore
from samwise_ros.model.checkpoint import load_model, save_model
from samwise_ros.sizes import model_config
from samwise_ros.structures import ConfigError

ENTRY = 4  # frame on which the duck of the built data set enters


def result(name: str, wait: int | None, counts: LateTargetCounts | None) -> ExpressionResult:
    return ExpressionResult("v", name, "it", "relation", 10, 1.0, Scores(0.5, 0.5), visible=True,
                            first_visible=4, first_correct=wait, late_target=counts)


def probe_data(root: Path, names: tuple[str, ...] = ("v0",)) -> MevisSource:
    """The built data set with the mug as the look-alike of the duck, which enters later."""
    build_mevis(root, names, simulated=True)
    path = root / "meta_expressions.json"
    meta = json.loads(path.read_text())
    for video in meta["videos"].values():
        video["scene"]["probe"] = {"kind": "late_target", "target": 2, "distractor": 0,
                                   "entry": ENTRY}
        video["expressions"] = {"2": video["expressions"]["2"]}
    path.write_text(json.dumps(meta))
    return MevisSource(root)


def test_counts_of_one_expression_by_hand() -> None:
    visible = [False, False, True, True, True, True]
    on_look_alike = [False, True, True, True, False, False]
    switched = [True, False, False, True, False, True]

    counts = count_late_target(visible, on_look_alike, switched)

    assert counts == LateTargetCounts(locked=True, frames=4, distracted=2, switches=2,
                                      first_switch=1)
    assert not count_late_target(visible, [False] * 6, switched).locked
    assert count_late_target([True, True], [True, True], [False] * 2) == LateTargetCounts(
        False, 2, 2, 0, None)
    assert count_late_target([False] * 2, [True] * 2, [False] * 2) is None


def test_statistics_of_a_run_by_hand() -> None:
    report = late_target_report([
        result("0", 3, LateTargetCounts(True, 6, 3, 2, 2)),
        result("1", None, LateTargetCounts(True, 6, 6, 0, None)),
        result("2", 0, LateTargetCounts(False, 8, 0, 1, 5)),
        result("3", 1, None),
    ])

    assert report.all == LateTargetStatistics(
        count=3, wait_mean=pytest.approx((3 + 6 + 0) / 3), found_share=pytest.approx(2 / 3),
        distracted_share=pytest.approx(9 / 20), switches=3, switched_share=pytest.approx(2 / 3),
        first_switch_mean=3.5)
    assert report.locked == LateTargetStatistics(2, 4.5, 0.5, 0.75, 2, 0.5, 2.0)
    assert late_target_report([result("3", 1, None)]) is None


def test_a_tracker_that_changes_over_late_is_measured_on_the_masks(tmp_path: Path) -> None:
    source = probe_data(tmp_path)
    video = source.videos[0]
    mug, duck = (str(video.scene["objects"][key]["anno_id"]) for key in ("0", "2"))

    def make_mask(text: str, number: int, frame: np.ndarray) -> np.ndarray:
        return source.track(video, mug if number < ENTRY + 2 else duck, [number])[0] > 0

    predictor = PreparedPredictor(make_mask, switched=lambda frame: frame in (1, ENTRY + 1))
    store = ResultStore(tmp_path / "out", {})
    report = evaluate_sim(predictor, "stream", source, store, selection=Selection(),
                               progress=False)

    late = NUM_FRAMES - ENTRY
    assert report.results[0].late_target == LateTargetCounts(True, late, 2, 1, 1)
    summary = report.to_dict()["late_target"]
    assert summary["all"] == summary["locked"]
    assert summary["all"]["wait_mean"] == 2.0 and summary["all"]["found_share"] == 1.0
    assert ResultStore(tmp_path / "out", {}).results == report.results


def test_kinds_are_chosen_among_the_videos_drawn(tmp_path: Path) -> None:
    videos = MevisSource(build_mevis(tmp_path, ("a", "b", "c"), simulated=True)).videos

    chosen = Selection(2, kinds=("motion", "relation")).apply(videos)

    assert [video.name for video in chosen] == [v.name for v in Selection(2).apply(videos)]
    assert {e.kind for video in chosen for e in video.expressions} == {"motion", "relation"}
    with pytest.raises(ConfigError, match="kinds: expected some of colour.*got 'size'"):
        Selection(kinds=("size",))


def test_variants_leave_out_what_the_model_does_not_have() -> None:
    options = {variant.options for variant in variants(model_config("nano"))}
    published = {variant.options for variant in variants(model_config("tiny"))}

    assert {"", "--without cmt", "--without hsa", "--without memory", "--mode clip",
            "--context-frames 0"} <= options & published
    assert "--without cme" in published and "--without motion" not in published
    assert len({variant.folder for variant in variants(model_config("nano"))}) == len(options)


def test_variants_take_turns_on_each_video(tmp_path: Path) -> None:
    source = probe_data(tmp_path, ("v0", "v1"))
    order: list[str] = []

    def answering(name: str) -> PreparedPredictor:
        def make_mask(text: str, number: int, frame: np.ndarray) -> np.ndarray:
            if number == 0:
                order.append(name)
            return np.zeros(frame.shape[:2], bool)
        return PreparedPredictor(make_mask)

    runs = [(answering(name), ResultStore(None, {})) for name in ("whole", "part")]
    evaluate_in_turns(runs, source, source.videos, progress=False)

    assert order == ["whole", "part", "whole", "part"]


@pytest.mark.usefixtures("one_thread")
def test_one_command_writes_the_ablation_table(tmp_path: Path, micro_model) -> None:
    weights = save_model(micro_model, tmp_path / "micro")
    probe_data(tmp_path / "sim")
    arguments = ["evaluate", "sim", "--data", tmp_path / "sim", "--model", weights, "--threads", 1,
                 "--out", tmp_path / "out", "--json", tmp_path / "a.json", "--kinds",
                 "colour_class", "--ablations", tmp_path / "docs" / "table.md"]

    run = CliRunner().invoke(app, [*map(str, arguments)])

    assert run.exit_code == 0, run.output
    found = json.loads((tmp_path / "a.json").read_text())["variants"]
    assert {"unchanged", "without CMT text fusion", "without HSA", "without memory",
            "clip mode"} <= set(found)
    assert all(entry["count"] == 1 and entry["late_target"]["all"]["count"] == 1
               for entry in found.values())
    table = (tmp_path / "docs" / "table.md").read_text()
    assert "--kinds colour_class --ablations" in table and "1 videos, 1 sentences" in table
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    for title, entry in found.items():
        score = f"{entry['by_kind']['colour_class']['jf']:.3f}"
        assert any(row.startswith(f"| {title} | {score} |") for row in rows)
    assert sum(row.startswith("| unchanged |") for row in rows) == 2
    refused = CliRunner().invoke(app, [*map(str, arguments), "--without", "hsa"])
    assert refused.exit_code == 2 and "chooses mode" in refused.output


@pytest.mark.usefixtures("one_thread")
def test_the_motion_branch_can_be_switched_off(tmp_path: Path, tiny_tokenizer) -> None:
    from model_builders import MICRO, make_model

    config = MICRO.replace(motion_lag=2, cmt={"fusion_stages": (2, 3),
                                                  "hsa_patch_sides": (4, 2)},
                           text={"fusion_layers": MICRO.text.fusion_layers[1:]})
    weights = save_model(make_model(config, tiny_tokenizer), tmp_path)

    assert load_model(weights, device="cpu").motion_branch is not None
    assert load_model(weights, device="cpu", motion_lag=0).motion_branch is None
