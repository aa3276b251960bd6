"""The benchmark's report, and that compiled parts give the answers of plain ones."""

import shutil

import numpy as np
import pytest
from model_builders import MICRO, make_frames, make_model

from samwise_ros.config import SessionConfig
from samwise_ros.evaluation.speed import run_benchmark
from samwise_ros.model import compilation
from samwise_ros.model.compilation import compile_parts, fixed_parts
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.session import StreamingSession
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
    assert (report.frames, report.targets, report.model["compiled"]) == (8, 2, False)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")
def test_compiled_parts_answer_as_plain_ones(tiny_tokenizer: ExpressionTokenizer,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "fixed_parts", lambda model: [  # all would take minutes
        model.motion_branch, model.sam.image_encoder.trunk.blocks[0]])
    frames = make_frames(4)
    answers = []
    for compiled in (False, True):
        model = make_model(MOTION, tiny_tokenizer)
        if compiled:
            compile_parts(model)
            assert all(part._compiled_call_impl is not None
                       for part in compilation.fixed_parts(model))
        session = StreamingSession(model)
        session.submit("the red mug")
        answers.append([session.step(frame).targets[0].mask_logits for frame in frames])
    for plain, fast in zip(*answers, strict=True):
        assert np.abs(plain - fast).max() < 1e-3 * np.abs(plain).max()


def test_every_part_of_one_shape_is_compiled(tiny_tokenizer: ExpressionTokenizer) -> None:
    model = make_model(MOTION, tiny_tokenizer)
    compile_parts(model)
    compiled = {name for name, part in model.named_modules() if part._compiled_call_impl}
    assert compiled == {
        "motion_branch", "sam.memory_encoder", "sam.sam_mask_decoder.transformer",
        "sam.image_encoder.trunk.patch_embed", *(f"sam.image_encoder.trunk.blocks.{i}"
                                                  for i in range(4))}
    assert len(fixed_parts(model)) == len(compiled)


def test_no_compiler_is_named(tiny_tokenizer: ExpressionTokenizer,
                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="needs a C\\+\\+ compiler"):
        compile_parts(make_model(MICRO, tiny_tokenizer))
