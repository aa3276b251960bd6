"""Losses and CME labels against values worked out by hand."""

import math

import pytest
import torch

from samwise_ros.model.samwise import CmeRecord
from samwise_ros.training.cme_labels import IGNORE, cme_labels, cme_loss
from samwise_ros.training.losses import (
    dice_loss,
    fit_logits,
    focal_loss,
    frame_losses,
    score_loss,
)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_focal_loss_of_one_pixel_each_is_the_formula() -> None:
    logits = torch.tensor([logit(0.9), logit(0.2)]).view(1, 1, 1, 2)
    target = torch.tensor([1, 0]).view(1, 1, 1, 2)
    positive = 0.25 * 0.1**2 * -math.log(0.9)
    negative = 0.75 * 0.2**2 * -math.log(0.8)
    assert focal_loss(logits, target).item() == pytest.approx((positive + negative) / 2, rel=1e-5)


def test_focal_loss_is_a_mean_over_clips_of_means_over_pixels() -> None:
    logits, target = torch.randn(3, 2, 4, 5), torch.randint(0, 2, (3, 2, 4, 5))
    single = [focal_loss(logits[i : i + 1], target[i : i + 1]) for i in range(3)]
    assert focal_loss(logits, target).item() == pytest.approx(sum(single).item() / 3, rel=1e-5)


def test_dice_loss_counts_all_frames_of_a_clip_together() -> None:
    logits = torch.tensor([[50.0, -50.0], [50.0, 50.0]]).view(1, 2, 1, 2)  # finds 1 and 2 pixels
    target = torch.tensor([[1, 0], [1, 0]]).view(1, 2, 1, 2)
    # intersection 2, sizes 3 and 2, smoothed by one
    assert dice_loss(logits, target).item() == pytest.approx(1 - 5 / 6, abs=1e-6)


def test_dice_loss_of_an_empty_answer_that_is_found_empty_is_zero() -> None:
    assert dice_loss(torch.full((1, 1, 2, 2), -50.0), torch.zeros(1, 1, 2, 2)).item() < 1e-6


def test_frame_losses_leave_frames_without_target_out_of_dice() -> None:
    logits = torch.zeros(1, 2, 1, 2)
    target = torch.tensor([[1, 1], [0, 0]]).view(1, 2, 1, 2)
    visible = torch.tensor([[True, False]])
    bce, dice = frame_losses(logits, target, visible, absent_weight=0.5)
    assert bce.item() == pytest.approx(1.5 * math.log(2), rel=1e-5)
    assert dice.item() == pytest.approx(1 - (2 * 1 + 1) / (1 + 2 + 1), abs=1e-6)


def test_frame_losses_of_a_batch_without_any_target_are_finite() -> None:
    bce, dice = frame_losses(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2),
                             torch.zeros(1, 1, dtype=torch.bool), absent_weight=1.0)
    assert bce.item() == pytest.approx(math.log(2), rel=1e-5)
    assert dice.item() == 0.0


def test_score_loss_ignores_frames_whose_answer_is_arbitrary() -> None:
    scores = torch.tensor([[0.0, 100.0]])
    visible, known = torch.tensor([[True, False]]), torch.tensor([[True, False]])
    assert score_loss(scores, visible, known).item() == pytest.approx(math.log(2), rel=1e-5)


def test_logits_are_resized_to_the_answer_only_when_sizes_differ() -> None:
    logits = torch.randn(1, 1, 4, 4)
    assert fit_logits(logits, (4, 4)) is logits
    assert fit_logits(logits, (8, 4)).shape == (1, 1, 8, 4)


def masks(*spans: tuple[int, int]) -> torch.Tensor:
    """One row per span: logits [N, 1, 400], positive on the span's pixels."""
    result = torch.full((len(spans), 1, 400), -1.0)
    for row, (start, end) in enumerate(spans):
        result[row, 0, start:end] = 1.0
    return result


@pytest.mark.parametrize(("memory", "free", "score", "expected"), [
    ((0, 100), (200, 300), 1.0, 1),  # apart: different objects
    ((0, 100), (0, 100), 1.0, 0),  # the same
    ((0, 100), (91, 191), 1.0, 1),  # 9 of 100 in common
    ((0, 100), (90, 190), 1.0, 0),  # exactly a tenth is not less than a tenth
    ((0, 100), (200, 300), -1.0, IGNORE),  # the pass without memory sees nothing
    ((0, 50), (200, 250), 1.0, IGNORE),  # both at most 50 pixels
    ((0, 51), (200, 250), 1.0, 1),  # one of them larger
    ((0, 100), (0, 0), 1.0, 0),  # exactly one empty: 0/0, label 0 as in the published code
])
def test_cme_label(memory: tuple[int, int], free: tuple[int, int], score: float,
                   expected: int) -> None:
    labels = cme_labels(masks(memory), masks(free), torch.tensor([score]))
    assert labels.tolist() == [expected]


def test_cme_loss_weighs_switches_double_and_skips_ignored_rows() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [9.0, -9.0]])
    record = CmeRecord(5, logits, masks((0, 100), (0, 100), (0, 100)),
                       masks((0, 100), (200, 300), (200, 300)), torch.tensor([1.0, 1.0, -1.0]))
    same = math.log(1 + math.exp(-2))
    expected = (1 * same + 2 * math.log(2)) / 3
    assert cme_loss((record,), 1024).item() == pytest.approx(expected, rel=1e-5)


def test_cme_loss_without_any_label_is_none() -> None:
    record = CmeRecord(5, torch.zeros(1, 2), masks((0, 100)), masks((0, 100)), torch.tensor([-1.0]))
    assert cme_loss((record,), 1024) is None
    assert cme_loss((), 1024) is None


def test_small_inputs_have_a_smaller_limit_of_pixels() -> None:
    record = CmeRecord(5, torch.zeros(1, 2), masks((0, 20)), masks((200, 220)), torch.ones(1))
    assert cme_loss((record,), 1024) is None
    assert cme_loss((record,), 192).item() == pytest.approx(math.log(2), rel=1e-5)
