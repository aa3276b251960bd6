"""The benchmark's reports: stream mode beside clip mode, engines beside each other."""

import shutil
from pathlib import Path

import pytest
import torch
from model_builders import MICRO, make_model

from samwise_ros.config import SessionConfig
from samwise_ros.evaluation import speed
from samwise_ros.evaluation.gpu_measure import forget_peak, peak_memory
from samwise_ros.evaluation.speed import run_benchmark
from samwise_ros.evaluation.speed_engines import compare_engines
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.structures import MissingDependencyError

pytestmark = pytest.mark.usefixtures("one_thread")
MOTION = MICRO.replace(name="motion", motion_lag=2, text={"fusion_layers": (1, 3)},
                       cmt={"fusion_stages": (2, 3), "hsa_patch_sides": (4, 2)})


def test_parts_flops_and_ratio_fit_together(tiny_tokenizer: ExpressionTokenizer) -> None:
    model = make_model(MOTION, tiny_tokenizer)
    report = run_benchmark(model, SessionConfig(), camera=(48, 64), targets=2, frames=8)
    assert report.ratio == pytest.approx(report.stream_fps / report.reference_fps)
    assert report.stream_ms == pytest.approx(1e3 / report.stream_fps)
    assert sum(report.parts_share.values()) == pytest.approx(1.0)
    assert {"motion", "cmt", "text", "decoder", "memory_attention"} <= set(report.parts_ms)
    listed = sum(value for name, value in report.gflops.items() if name != "total")
    assert 0 < listed <= report.gflops["total"] * 1.0001
    assert report.session_bytes_mid == report.session_bytes_end, "bounded memory"
    assert (report.frames, report.targets) == (8, 2)


def test_peak_memory_is_that_of_stream_mode(tiny_tokenizer: ExpressionTokenizer,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Clip mode holds eight frames and would hide it."""
    made = []

    class Reference(speed._ReferenceRun):
        def __init__(self, *arguments: object) -> None:
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(speed, "_ReferenceRun", Reference)
    monkeypatch.setattr(speed, "peak_memory", lambda _: 7 - len(made))
    report = run_benchmark(make_model(MICRO, tiny_tokenizer), SessionConfig(), camera=(48, 64))
    assert report.peak_memory_bytes == 7 and made


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells and forgets it")
def test_what_was_needed_before_is_no_part_of_peak_memory() -> None:
    large, cpu = torch.ones(2**26), torch.device("cpu")
    before = peak_memory(cpu)
    del large
    forget_peak(cpu)
    assert before - peak_memory(cpu) > 2**27


def test_engines_are_timed_beside_the_first_one(tiny_tokenizer: ExpressionTokenizer) -> None:
    model = make_model(MOTION, tiny_tokenizer)
    report = compare_engines(model, SessionConfig(), engines=("eager", "eager"), camera=(48, 64),
                             targets=(1, 3), frames=2)
    assert [(row.engine, row.targets, row.speedup) for row in report.rows] == [
        ("eager", 1, 1.0), ("eager", 3, 1.0)]
    assert all(row.ms > 0 for row in report.rows)
    assert report.markdown().count("\n| ") == 3
    assert report.to_dict()["rows"][1]["targets"] == 3


def test_an_engine_that_is_not_there_is_named_before_anything_is_timed(
        tiny_tokenizer: ExpressionTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="engine compile.*needs a C\\+\\+ compiler"):
        compare_engines(make_model(MICRO, tiny_tokenizer), SessionConfig(),
                        engines=("eager", "compile"), camera=(48, 64), targets=(1,))
