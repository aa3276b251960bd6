"""The CME: when it may act, what it decides, what a switch changes."""

import dataclasses

import pytest
import torch
from model_builders import TINY, make_model, pixels_of, set_cme, set_object_score

from samwise_ros.config import CmeConfig
from samwise_ros.model.cme import ConditionalMemoryEncoder, may_switch, replace_logits
from samwise_ros.model.features import FrameFeatures
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("window", [1, 2, 4, 7])
def test_eligibility_follows_the_official_code(window: int) -> None:
    config = CmeConfig(decision_window=window)
    for t in range(30):
        for last in range(t + 1):
            expected = t - last >= window - 1 and t > window
            assert may_switch(t, last, config) is expected, (t, last)


def test_with_the_published_window_it_acts_from_frame_five_and_rests_after_a_switch() -> None:
    config, last, acted = CmeConfig(), 0, []
    for t in range(14):
        if may_switch(t, last, config):
            acted.append(t)
            if t in (6, 9):  # pretend that it switched
                last = t
    assert acted == [5, 6, 9, 12, 13]


def test_it_never_acts_when_switched_off() -> None:
    assert not any(may_switch(t, 0, CmeConfig(enabled=False)) for t in range(20))


@pytest.mark.parametrize(("mode", "expected"), [
    ("reweight", [[30.0, 2.0], [-1.0, 5.0]]), ("all_mask", [[3.0, -4.0], [0.0, 0.5]]),
    ("avg", [[2.0, -1.0], [-0.5, 0.625]])])
def test_switch_modes_against_values_worked_out_by_hand(mode: str, expected: list) -> None:
    memory = torch.tensor([[[1.0, 2.0], [-1.0, 0.75]]])
    free = torch.tensor([[[3.0, -4.0], [0.0, 0.5]]])
    torch.testing.assert_close(replace_logits(memory, free, mode), torch.tensor([expected]))


def test_reweighting_with_an_absent_target_changes_nothing() -> None:
    memory, absent = torch.randn(1, 4, 4), torch.full((1, 4, 4), -1024.0)
    assert torch.equal(replace_logits(memory, absent, "reweight"), memory)


def test_the_decision_follows_the_official_code(tiny_model: SamwiseModel) -> None:
    cme: ConditionalMemoryEncoder = tiny_model.conditional_memory_encoder
    generator = torch.Generator().manual_seed(0)
    pointer, early = (torch.randn(5, TINY.hidden_dim, generator=generator) for _ in range(2))
    block = cme.transformerBlock
    for row in range(5):
        x = torch.cat((cme.decision_token.weight, pointer[row : row + 1], early[row : row + 1]))
        x = x[:, None]  # [3, 1, C]
        x = block.norm1(x + block.self_attn(x, x, x)[0])
        x = block.norm3(x + block.linear2(torch.relu(block.linear1(x))))
        expected = cme.decision_class_head(x[0])
        torch.testing.assert_close(cme(pointer, early)[row : row + 1], expected,
                                   atol=1e-5, rtol=1e-5)


def test_the_decision_sends_no_gradient_into_its_inputs(tiny_model: SamwiseModel) -> None:
    pointer, early = (torch.randn(2, TINY.hidden_dim, requires_grad=True) for _ in range(2))
    cme = ConditionalMemoryEncoder(TINY.hidden_dim)
    cme(pointer, early).sum().backward()
    assert pointer.grad is None and early.grad is None
    assert cme.decision_token.weight.grad.abs().sum() > 0


def frame_and_bank(model: SamwiseModel, rows: int) -> tuple[FrameFeatures, MemoryBank]:
    tokens = model.tokenizer(["mug", "the blue ball", "duck"][:rows])
    encoded, _ = model.encode(pixels_of(TINY, 2), model.encode_text(tokens))
    first = encoded.frame(0)
    out = model.segment_frame(first, MemoryBank())
    bank = MemoryBank().append(model.encode_memory(first.vision, out.memorised),
                               out.prediction.pointer, TINY.memory)
    return encoded.frame(1), bank


@pytest.mark.parametrize("mode", ["reweight", "all_mask", "avg"])
def test_a_switch_changes_only_what_is_memorised_and_only_in_eligible_rows(
        tiny_model: SamwiseModel, mode: str) -> None:
    config = TINY.replace(cme={"switch_mode": mode})
    model = make_model(config, tiny_model.tokenizer)
    set_object_score(model, 2.0)
    set_cme(model, switch=True)
    frame, bank = frame_and_bank(model, 3)
    plain = model.segment_frame(frame, bank)
    eligible = torch.tensor([True, False, True])
    out = model.segment_frame(frame, bank, eligible)
    assert torch.equal(out.switched, eligible) and plain.free is None
    torch.testing.assert_close(out.high_res, plain.high_res, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out.prediction.pointer, plain.prediction.pointer,
                               atol=1e-5, rtol=1e-5)
    free = model.upsample(out.free.low_res)
    expected = replace_logits(out.high_res, free, mode)
    torch.testing.assert_close(out.memorised[eligible], expected[eligible])
    assert torch.equal(out.memorised[1], out.high_res[1])
    assert not torch.equal(out.memorised[0], out.high_res[0])


def test_the_memoryless_pass_is_the_answer_to_a_first_frame(tiny_model: SamwiseModel) -> None:
    frame, bank = frame_and_bank(tiny_model, 2)
    out = tiny_model.segment_frame(frame, bank, torch.ones(2, dtype=torch.bool))
    first = tiny_model.segment_frame(frame, MemoryBank())
    for name, value in dataclasses.asdict(first.prediction).items():
        torch.testing.assert_close(getattr(out.free, name), value, atol=1e-5, rtol=1e-5)


def test_a_tie_does_not_switch(tiny_model: SamwiseModel) -> None:
    model = make_model(TINY, tiny_model.tokenizer)
    head = model.conditional_memory_encoder.decision_class_head
    head.weight.data.zero_()
    head.bias.data.zero_()
    frame, bank = frame_and_bank(model, 1)
    out = model.segment_frame(frame, bank, torch.ones(1, dtype=torch.bool))
    assert not out.switched.any() and torch.equal(out.memorised, out.high_res)
