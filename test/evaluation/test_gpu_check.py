"""The check of a GPU: its harness on a CPU with nano; all of it where there is a GPU."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model_builders import MICRO, make_frames, make_model, set_object_score
from typer.testing import CliRunner

from samwise_ros.cli.bench_gpu import put_into
from samwise_ros.cli.main import app
from samwise_ros.evaluation import gpu_check
from samwise_ros.evaluation import gpu_measure as measure
from samwise_ros.evaluation.gpu_check import CheckSetup, check_device, markdown
from samwise_ros.model.checkpoint import load_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.image_ops import prepare_frame
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import CheckpointError, DataError

CPU = torch.device("cpu")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


@pytest.fixture
def no_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has the checkout only: no recordings, which take a minute."""
    def nowhere(_: Path | None) -> Path:
        raise DataError("no assets in here")

    monkeypatch.setattr(gpu_check, "find_assets", nowhere)


@pytest.mark.usefixtures("one_thread", "no_assets")
def test_all_of_it_runs_on_a_cpu_with_a_small_model() -> None:
    setup = CheckSetup(CPU, sizes=("nano",), sides=(64, 128), targets=(1, 2), frames=3,
                       flat_frames=40, engines=("eager", "cuda_graph"))
    saved = []
    report = check_device(setup, lambda so_far: saved.append(len(so_far.checks)))
    assert report.passed, report.checks
    assert saved == sorted(saved) and saved[0] == 0
    outcomes = {check.name: check.passed for check in report.checks}
    assert outcomes == {
        f"parity of {gpu_check._GOLDEN}, fp32": None,
        "no unfused attention, fp32": True, "no unfused attention, bf16": True,
        "bf16 beside fp32, nano, drawn balls": True,
        "cuda_graph beside eager, fp32, nano, drawn balls": None,
        "cuda_graph beside eager, bf16, nano, drawn balls": None,
        "bf16 beside fp32, mini, sample video": None,
        "cuda_graph beside eager, fp32, mini, sample video": None,
        "cuda_graph beside eager, bf16, mini, sample video": None,
        "flat memory over 40 frames": True}
    cases = [(row.side, row.targets) for row in report.rows]
    assert cases == [(64, 1), (64, 2), (128, 1), (128, 2)]
    for row in report.rows:
        assert 0 < row.p50_ms <= row.p95_ms and row.fps == pytest.approx(1e3 / row.p50_ms)
    text = markdown(report)
    assert "Not timed: cuda_graph (engine cuda_graph needs a GPU" in text
    assert "not run: no assets" in text and text.count("| nano 128 |") == 2 and "FAILED" not in text


@pytest.mark.usefixtures("one_thread", "no_assets")
def test_a_fault_costs_neither_the_other_checks_nor_the_other_times(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error: misaligned address\nand much more")

    monkeypatch.setattr(measure, "unfused_attention", fails)
    timed = gpu_check._time_row
    monkeypatch.setattr(gpu_check, "_time_row", lambda setup, model, targets, *rest: (
        fails() if targets == 1 else timed(setup, model, targets, *rest)))
    report = check_device(CheckSetup(CPU, sizes=("nano",), sides=(64,), targets=(1, 2), frames=1,
                                     flat_frames=20, engines=("eager",)))
    detail = "RuntimeError: CUDA error: misaligned address"
    assert [check.detail for check in report.checks if check.passed is False] == [detail] * 2
    assert not report.passed and report.checks[-1].passed
    assert [row.targets for row in report.rows] == [2]
    assert report.left_out == [f"nano 64, 1 targets, eager ({detail})"]


@pytest.mark.usefixtures("one_thread", "no_assets")
def test_what_the_time_does_not_suffice_for_is_named() -> None:
    report = check_device(CheckSetup(CPU, sizes=("nano",), sides=(64,), targets=(1,), frames=1,
                                     flat_frames=20, budget=0.0, engines=("eager",)))
    assert not report.rows and "nano 64, 1 targets, eager" in markdown(report)


@pytest.mark.parametrize(("score", "passed"), [(5.0, True), (-5.0, False)])
def test_a_comparison_without_any_mask_is_no_success(tiny_tokenizer: ExpressionTokenizer,
                                                     score: float, passed: bool) -> None:
    model = make_model(MICRO, tiny_tokenizer)
    set_object_score(model, score)
    found = gpu_check._Answers(lambda: model, lambda: make_frames(2), ["mug"]).compare(
        ("eager", "fp32"), ("eager", "fp32"), 0.995)
    assert found[0] is passed and ("all masks are empty" in found[1]) is not passed


@pytest.mark.usefixtures("one_thread")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "clip"), [
    ("nano", "drawn balls"), ("mini", "drawn balls"), ("mini", "sample video")])
def test_masks_in_bf16_are_those_in_fp32(name: str, clip: str, request: pytest.FixtureRequest,
                                         ) -> None:
    """What a CPU computes in bf16, which rounds as a GPU does."""
    try:
        model = load_model(name, device=CPU)
    except CheckpointError as error:
        pytest.skip(f"needs the frozen parts of mini: {error}")
    frames, sentences = measure.drawn_clip(20), measure.DRAWN_TARGETS
    if clip == "sample video":
        setup = CheckSetup(CPU, assets=request.getfixturevalue("shared_dir"))
        frames, sentences = gpu_check._sample_video(setup), gpu_check._SENTENCES
    passed, found = gpu_check._Answers(lambda: model, lambda: frames, sentences).compare(
        ("eager", "bf16"), ("eager", "fp32"), gpu_check.BF16_IOU)
    print(f"{name}, {clip}: {found}")
    assert passed, found


def test_an_attention_without_head_axis_is_noticed(
        micro_model: SamwiseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from samwise_ros.model import memory_attention

    session = StreamingSession(micro_model)
    measure.name_targets(session, ["mug"])
    assert not measure.unfused_attention(session, make_frames(2), CPU)
    monkeypatch.setattr(memory_attention, "attend", lambda query, key, value, *_, **__: (
        torch.nn.functional.scaled_dot_product_attention(query, key, value)))
    assert "kernel" in measure.unfused_attention(session, make_frames(2), CPU)


def test_tables_go_between_the_marks_of_a_document(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("before\n<!-- bench gpu -->\nNever run.\n<!-- end -->\nafter\n")
    for tables in ("| one |\n", "| two |\n"):
        put_into(document, tables)
        assert document.read_text() == (
            f"before\n<!-- bench gpu -->\n{tables}<!-- end -->\nafter\n")
    document.write_text("no marks")
    with pytest.raises(DataError, match="bench gpu"):
        put_into(document, "x")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_the_command_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "gpu", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "CUDA" in done.output and not (tmp_path / "out").exists()


@pytest.mark.gpu
@pytest.mark.timeout(600)
@NO_GPU
def test_the_gpu_passes_all_checks(tmp_path: Path) -> None:
    assets = next((folder for folder in (Path(".gpu"), Path("../shared")) if folder.is_dir()), None)
    setup = CheckSetup(torch.device("cuda"), sizes=("tiny",), sides=(512,), targets=(1, 4),
                       assets=assets, budget=300.0)
    report = check_device(setup)
    assert report.passed and report.rows, markdown(report)


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("index", range(max(1, torch.cuda.device_count())))
def test_frames_that_follow_each_other_closely_arrive_whole(index: int) -> None:
    """Uploads are not waited for: none may be overwritten by the next one."""
    from samwise_ros.config import ModelConfig

    config, device = ModelConfig(image_size=256), torch.device("cuda", index)
    frames = [np.full((256, 256, 3), value, np.uint8) for value in range(0, 250, 5)]
    uploaded = [prepare_frame(frame, config, device=device)[0] for frame in frames]
    for frame, pixels in zip(frames, uploaded, strict=True):
        assert pixels.device == device
        torch.testing.assert_close(pixels.cpu(), prepare_frame(frame, config)[0])
