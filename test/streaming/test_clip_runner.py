"""Clip mode is the official protocol: windows of eight, memory across them, the T == 1 rule."""

import numpy as np
import pytest
import torch
from model_builders import TINY, make_frames, make_model, set_cme, set_object_score

from samwise_ros.model.cme import replace_logits
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.clip_runner import ClipFrame, ClipRunner
from samwise_ros.streaming.image_ops import prepare_frame, restore_logits
from samwise_ros.structures import FrameError

pytestmark = pytest.mark.usefixtures("one_thread")
SENTENCE = "the red mug on the table"


def official(model: SamwiseModel, frames: list[np.ndarray],
             sentence: str) -> list[tuple[torch.Tensor, float, bool]]:
    """docs/model.md, 3 and 4.1, step by step, with a bank that is a plain dictionary of all
    frames."""
    tokens, results, config = model.tokenizer([sentence]), [], model.config
    memory: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    last = 0
    for start in range(0, len(frames), 8):
        window = frames[start : start + 8]
        prepared = [prepare_frame(frame, config) for frame in window]
        pixels = torch.stack([pixels for pixels, _ in prepared])[None]
        encoded, _ = model.encode(pixels, model.encode_text(tokens))
        if start == 0 or len(window) == 1:
            memory, last = {}, 0
        for offset in range(len(window)):
            t = 0 if len(window) == 1 else start + offset
            features, bank = encoded.frame(offset), MemoryBank()
            if t > 0:
                ages = range(t - min(t, 6), t)
                bank = MemoryBank(
                    torch.stack([memory[age][0] for age in ages], dim=1),
                    torch.stack([memory[t - r][1] for r in range(1, min(t, 15) + 1)], dim=1), t)
            eligible = t - last >= config.cme.decision_window - 1 and t > config.cme.decision_window
            out = model.segment_frame(features, bank,
                                      torch.ones(1, dtype=torch.bool) if eligible else None)
            high, switched = out.high_res, False
            if eligible and out.cme_logits.argmax(1).item() == 1:
                high = replace_logits(high, model.upsample(out.free.low_res),
                                      config.cme.switch_mode)
                switched, last = True, t
            memory[t] = (model.encode_memory(features.vision, high), out.prediction.pointer)
            logits = restore_logits(out.high_res, prepared[offset][1])[0]
            results.append((logits, float(out.prediction.object_score), switched))
    return results


def run(model: SamwiseModel, frames: list[np.ndarray]) -> list[ClipFrame]:
    return list(ClipRunner(model).run(iter(frames), SENTENCE))


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 10, 19])
@pytest.mark.parametrize("switching", [False, True])
def test_results_follow_the_protocol(
        tiny_tokenizer: ExpressionTokenizer, frames: int, switching: bool) -> None:
    model = make_model(TINY, tiny_tokenizer)
    set_object_score(model, 1.0)
    set_cme(model, switch=switching)
    video = make_frames(frames, 60, 107)
    ours, expected = run(model, video), official(model, video, SENTENCE)
    assert [frame.index for frame in ours] == list(range(frames))
    for frame, (logits, score, switched) in zip(ours, expected, strict=True):
        np.testing.assert_allclose(frame.logits, logits.numpy(), atol=2e-5, rtol=1e-4)
        assert frame.object_score == pytest.approx(score, abs=1e-5)
        assert frame.switched == switched
        assert frame.mask.shape == (60, 107)
        np.testing.assert_array_equal(frame.mask, frame.logits > 0)
    if switching:
        wiped = frames - 1 if frames % 8 == 1 else None  # the T == 1 rule starts anew there
        assert [f.index for f in ours if f.switched] == [
            t for t in (5, 8, 11, 14, 17) if t < frames and t != wiped]


def test_a_last_window_of_one_frame_is_segmented_without_memory(
        tiny_model: SamwiseModel) -> None:
    video = make_frames(9)
    last = run(tiny_model, video)[8]
    alone = run(tiny_model, video[8:])[0]
    np.testing.assert_array_equal(last.logits, alone.logits)


def test_memory_runs_on_across_windows(tiny_model: SamwiseModel) -> None:
    video = make_frames(10)
    whole, tail = run(tiny_model, video), run(tiny_model, video[8:])
    assert not np.allclose(whole[8].logits, tail[0].logits, atol=1e-4)


def test_a_window_looks_ahead_and_the_next_does_not_reach_back(
        tiny_model: SamwiseModel) -> None:
    video = make_frames(10)
    altered = [*video[:7], 255 - video[7], *video[8:]]
    one, other = run(tiny_model, video), run(tiny_model, altered)
    assert not np.allclose(one[0].logits, other[0].logits, atol=1e-5)
    altered = [*video[:9], 255 - video[9]]
    other = run(tiny_model, altered)
    for t in range(8):
        np.testing.assert_array_equal(one[t].logits, other[t].logits)


def test_a_runner_keeps_nothing_between_videos(tiny_model: SamwiseModel) -> None:
    runner, video = ClipRunner(tiny_model), make_frames(3)
    first = [frame.logits for frame in runner.run(video, SENTENCE)]
    list(runner.run(make_frames(4, 50, 50, seed=5), "duck"))
    for before, after in zip(first, runner.run(video, SENTENCE), strict=True):
        np.testing.assert_array_equal(before, after.logits)


def test_inputs_are_not_changed(tiny_model: SamwiseModel) -> None:
    video = make_frames(2)
    before = [frame.copy() for frame in video]
    run(tiny_model, video)
    for frame, copy in zip(video, before, strict=True):
        np.testing.assert_array_equal(frame, copy)


@pytest.mark.parametrize("damaged", ["sam.sam_mask_decoder.iou_token.weight",
                                     "sam.sam_mask_decoder.pred_obj_score_head.layers.2.bias"])
def test_an_answer_that_is_not_finite_is_an_error(
        tiny_tokenizer: ExpressionTokenizer, damaged: str) -> None:
    model = make_model(TINY, tiny_tokenizer)
    model.get_parameter(damaged).data.fill_(float("nan"))
    with pytest.raises(FrameError, match="frame 0: .* not finite"):
        run(model, make_frames(2))
