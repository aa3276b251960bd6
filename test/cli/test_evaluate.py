"""`samwise evaluate`, from the command line to the files it leaves."""

import json
from pathlib import Path

import pytest
from data_builders import (
    build_davis_archives,
    build_mevis,
    build_ref_youtube_vos,
    build_refcoco_archive,
)
from typer.testing import CliRunner

from samwise_ros.cli.evaluate import Part
from samwise_ros.cli.main import app
from samwise_ros.data.davis_converter import convert_davis
from samwise_ros.data.refcoco_converter import convert_refcoco
from samwise_ros.evaluation.ablations import SWITCHED_OFF
from samwise_ros.model.checkpoint import save_model

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("v0",)


@pytest.fixture(scope="module")
def weights(micro_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(micro_model, tmp_path_factory.mktemp("micro"))


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("mode", ["stream", "clip"])
def test_sim_writes_the_promised_json(tmp_path: Path, weights: Path, mode: str) -> None:
    data = build_mevis(tmp_path / "sim", NAMES, simulated=True)

    output = call("sim", "--data", data, "--model", weights, "--mode", mode, "--out",
                  tmp_path / "out", "--json", tmp_path / "a" / "r.json", "--threads", 1)

    report = json.loads((tmp_path / "a" / "r.json").read_text())
    assert set(report["by_kind"]) == {"colour", "class", "colour_class", "relation", "motion"}
    for scores in report["by_kind"].values():
        assert {"j", "f", "jf", "count", "random_object_jf"} <= set(scores)
    assert 0 <= report["jf"] <= 1 and 0 <= report["absent_accuracy"] <= 1
    assert report["streaming"]["returns"] == 0
    assert "random" in output and "absent" in output
    for name in ("per_video.csv", "per_expression.csv", "results.jsonl", "summary.json"):
        assert (tmp_path / "out" / name).is_file()
    assert not (tmp_path / "out" / "Annotations").exists(), "simulated runs write no masks unasked"


def test_a_part_can_be_switched_off_and_results_do_not_mix(tmp_path: Path, weights: Path) -> None:
    data = build_mevis(tmp_path / "sim", NAMES, simulated=True)
    options = ("sim", "--data", data, "--model", weights, "--out", tmp_path / "out",
               "--max-expressions-per-kind", 1)

    call(*options, "--without", "memory", "--without", "cme", "--without", "hsa")
    result = CliRunner().invoke(app, ["evaluate", *map(str, options)])

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["without"] == ["memory", "cme", "hsa"]
    assert result.exit_code == 2
    assert "holds results of another run (config:" in result.output


def test_every_part_of_an_ablation_can_be_named() -> None:
    assert {part.value for part in Part} == set(SWITCHED_OFF)


def test_an_engine_scores_as_eager_and_its_results_do_not_mix(
        tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = build_mevis(tmp_path / "sim", NAMES, simulated=True)
    options = ("sim", "--data", data, "--model", weights, "--max-expressions-per-kind", 1)

    call(*options, "--out", tmp_path / "eager")
    output = call(*options, "--out", tmp_path / "onnx", "--engine", "onnx")
    mixed = CliRunner().invoke(app, ["evaluate", *map(str, options), "--engine", "onnx", "--out",
                                     str(tmp_path / "eager")])

    assert "engine onnx for " in output and ": ready after " in output
    eager, onnx = (json.loads((tmp_path / name / "summary.json").read_text())
                   for name in ("eager", "onnx"))
    assert (eager["engine"], onnx["engine"]) == ("eager", "onnx")
    assert onnx["jf"] == pytest.approx(eager["jf"], abs=2e-3)
    assert mixed.exit_code == 2 and "holds results of another run (engine:" in mixed.output


@pytest.mark.parametrize(("options", "reason"), [
    (("sim", "--mode", "clip", "--engine", "onnx"), "use --mode stream for onnx"),
    (("refcoco", "--engine", "compile"), "images are of many sizes"),
    (("sim", "--engine", "onnx", "--ablations", "table.md"), "sim with eager only"),
    (("sim", "--engine", "openvino", "--device", "cuda"), "openvino runs on the CPU")])
def test_an_engine_that_does_not_fit_is_refused(tmp_path: Path, weights: Path,
                                                options: tuple[str, ...], reason: str) -> None:
    if "openvino" in options:
        pytest.importorskip("openvino", reason="openvino is not installed")
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    done = CliRunner().invoke(app, ["evaluate", *options, "--data", str(tmp_path), "--model",
                                    str(weights), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and reason in " ".join(done.output.split())


def test_mevis_and_youtube_leave_a_submission(tmp_path: Path, weights: Path) -> None:
    mevis = build_mevis(tmp_path / "mevis", NAMES)
    youtube = build_ref_youtube_vos(tmp_path / "yt")

    for benchmark, data in (("mevis", mevis), ("ref-youtube-vos", youtube)):
        out = tmp_path / f"out-{benchmark}"
        call(benchmark, "--data", data, "--model", weights, "--out", out)
        assert (out / "submission.zip").is_file()
        summary = json.loads((out / "summary.json").read_text())
        assert (summary["jf"] is None) == (benchmark == "ref-youtube-vos")


def test_davis_and_refcoco_report_their_figures(tmp_path: Path, weights: Path) -> None:
    archive, texts = build_davis_archives(tmp_path)
    convert_davis(archive, texts, tmp_path / "ref-davis", progress=False)
    folder, images = build_refcoco_archive(tmp_path)
    convert_refcoco(folder, tmp_path / "coco", "refcoco")

    call("ref-davis17", "--data", tmp_path / "ref-davis", "--model", weights, "--out",
         tmp_path / "d", "--json", tmp_path / "d.json")
    call("refcoco", "--data", tmp_path / "coco", "--images", images, "--model", weights, "--mode",
         "clip", "--out", tmp_path / "r", "--json", tmp_path / "r.json", "--split", "testA")

    davis = json.loads((tmp_path / "d.json").read_text())
    assert len(davis["annotators"]) == 4 and 0 <= davis["jf"] <= 1
    refcoco = json.loads((tmp_path / "r.json").read_text())
    assert refcoco["count"] == 2 and set(refcoco["precision"]) == {"0.5", "0.6", "0.7", "0.8",
                                                                   "0.9"}


def test_missing_data_is_one_line_that_says_what_to_give(tmp_path: Path, weights: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", "sim", "--data", str(tmp_path), "--model",
                                      str(weights), "--out", str(tmp_path / "out")])

    assert result.exit_code == 2
    assert "meta_expressions.json: no such file" in result.output


def test_refcoco_without_images_names_the_option(tmp_path: Path, weights: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", "refcoco", "--data", str(tmp_path), "--model",
                                      str(weights), "--out", str(tmp_path / "out")])

    assert result.exit_code == 2 and "--images" in result.output
