"""A model built like mini in stream mode: the guarantees that every size gives."""

import numpy as np
import pytest
import torch
from mini_builders import make_mini
from model_builders import make_frames, set_object_score

from samwise_ros.model.mask_head import NO_OBJECT_LOGIT, MaskPrediction
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.precision import arithmetic
from samwise_ros.model.prompts import VisualPrompt
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.image_ops import prepare_frame
from samwise_ros.streaming.session import StreamingSession

pytestmark = pytest.mark.usefixtures("one_thread")
SENTENCES = {"a": "the red mug", "b": "blue duck on the table"}


@pytest.fixture(scope="module")
def mini() -> SamwiseModel:
    model = make_mini()
    set_object_score(model, 1.0)
    return model


def run(model: SamwiseModel, frames: list[np.ndarray], *names: str) -> list[dict[str, np.ndarray]]:
    session = StreamingSession(model)
    for name in names:
        session.submit(f"add:{name}: {SENTENCES[name]}")
    return [{target.target_id: target.mask_logits for target in session.step(frame).targets}
            for frame in frames]


def test_targets_together_answer_as_each_alone(mini: SamwiseModel) -> None:
    frames = make_frames(9)
    together = run(mini, frames, "a", "b")
    for name in SENTENCES:
        for joint, alone in zip(together, run(mini, frames, name), strict=True):
            np.testing.assert_allclose(joint[name], alone[name], atol=2e-4, rtol=1e-3)


def test_streaming_is_the_causal_pass_of_training(mini: SamwiseModel) -> None:
    frames = make_frames(4)
    streamed = run(mini, frames, "a")
    pixels = torch.stack([prepare_frame(frame, mini.config)[0] for frame in frames])[None]
    tokens = mini.tokenizer([SENTENCES["a"]])
    with torch.no_grad():
        output = mini(mini.pair_frames(pixels)[0], tokens, causal=True, run_cme=False)
    for t, answer in enumerate(streamed):
        np.testing.assert_allclose(answer["a"], output.low_res[0, t].numpy(), atol=2e-4, rtol=1e-3)


def test_no_frame_sees_a_later_one(mini: SamwiseModel) -> None:
    frames = make_frames(5)
    altered = [*frames[:3], *(255 - frame for frame in frames[3:])]
    for one, other in zip(run(mini, frames, "a")[:3], run(mini, altered, "a")[:3], strict=True):
        assert np.array_equal(one["a"], other["a"])


def test_a_lost_target_stays_dark_and_a_visible_one_has_its_peak(mini: SamwiseModel) -> None:
    def found(height: float, score: float) -> MaskPrediction:
        raw = torch.zeros(1, 20, 20)
        raw[0, :4, :4] = height
        nothing = torch.zeros(1, 1)
        return MaskPrediction(raw, torch.tensor([score]), nothing[0], nothing, nothing)

    decoder = mini.sam.sam_mask_decoder
    first, peak = decoder.from_peak(found(9.0, 1.0), None)
    torch.testing.assert_close(first.max(), decoder.peak_gain.detach())
    assert peak == 9.0
    lost, kept = decoder.from_peak(found(2.0, -1.0), peak)
    assert lost.max() < 0 and kept == peak, "weak and absent: dark, and remembered as it was"
    for _ in range(60):
        again, peak = decoder.from_peak(found(2.0, 1.0), peak)
    torch.testing.assert_close(again.max(), decoder.peak_gain.detach(), atol=0.1, rtol=0)
    _, never = decoder.from_peak(found(2.0, -1.0), None)
    assert never == NO_OBJECT_LOGIT, "a target that was never seen leaves no peak"


def test_memory_of_an_absent_target_is_empty() -> None:
    model = make_mini()
    pixels = torch.randn(1, 1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    encoded, _ = model.encode(pixels, model.encode_text(model.tokenizer(["the red mug"])))
    from samwise_ros.model.memory_bank import MemoryBank

    for score, empty in ((-1.0, True), (1.0, False)):
        set_object_score(model, score)
        out = model.segment_frame(encoded.frame(0), MemoryBank(), hide_absent=False)
        assert bool((out.memorised == NO_OBJECT_LOGIT).all()) is empty
        assert bool((out.high_res > NO_OBJECT_LOGIT).all())


def test_what_fits_nowhere_counts_against_the_target_and_no_shown_one(mini: SamwiseModel) -> None:
    features = mini.encode(torch.rand(1, 1, 6, 64, 64), mini.encode_text(
        mini.tokenizer(["the red mug"])), None)[0].frame(0)
    with torch.no_grad():
        mini.sam.sam_prompt_encoder.score_evidence.layers[-1].bias.fill_(-3.0)
        said = mini.segment_frame(features, MemoryBank())
        shown = mini.segment_frame(features, MemoryBank(), prompt=VisualPrompt.nothing(1))
        mini.sam.sam_prompt_encoder.score_evidence.layers[-1].bias.zero_()
    assert said.prediction.object_score.item() == -2.0
    assert shown.prediction.object_score.item() == 1.0


def test_what_a_noun_fits_is_found_in_full_precision_beside_halves(mini: SamwiseModel) -> None:
    pixels, text = torch.rand(1, 1, 6, 64, 64), mini.encode_text(mini.tokenizer(["the red mug"]))
    full = mini.encode(pixels, text)[0].frame(0).evidence
    with arithmetic(torch.device("cpu"), "bf16"):
        halves = mini.encode(pixels, text)[0].frame(0).evidence
    assert halves.dtype == torch.float32
    torch.testing.assert_close(full, halves, atol=1e-5, rtol=1e-5)
