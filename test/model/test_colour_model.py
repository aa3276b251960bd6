"""Colours of a target against those around it: outlines get better, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from mini_builders import MICRO_MINI, make_mini
from torch import Tensor

from samwise_ros.model.colour_model import mask_colours, refine
from samwise_ros.model.memory_bank import MemoryBank

SIZE = 40


def scene(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Colours [1, 3, h, w] of a reddish disc on greenish ground, and where the disc is [h, w]."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    disc = (y - 18) ** 2 + (x - 22) ** 2 < 90
    colours = torch.where(disc, torch.tensor([1.0, -0.6, -0.5])[:, None, None],
                          torch.tensor([-0.5, 0.8, 0.1])[:, None, None])
    return (colours + 0.2 * torch.randn(3, SIZE, SIZE, generator=generator))[None], disc


def guess(rows: slice, columns: slice, height: float = 0.8) -> Tensor:
    """Mask logits [1, h, w]: a box, and not quite sure of it."""
    logits = torch.full((1, SIZE, SIZE), -0.8)
    logits[0, rows, columns] = height
    return logits


def overlap(logits: Tensor, truth: Tensor) -> float:
    found = logits > 0
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("margin", [-0.3, 0.3], ids=["less than it", "more than it"])
def test_a_mask_gets_the_outline_of_what_has_its_colours(margin: float) -> None:
    colours, disc = scene()
    before = torch.full((1, SIZE, SIZE), -3.0)
    before[0, 7:29, 11:33] = margin  # unsure around what it is sure of
    before[0, 13:24, 16:28] = 3.0
    assert overlap(before[0], disc) < 0.62
    assert overlap(refine(before, colours, 1.0)[0], disc) > 0.95


def test_without_colours_to_tell_a_mask_stays() -> None:
    before = guess(slice(10, 20), slice(10, 20))
    after = refine(before, torch.zeros(1, 3, SIZE, SIZE), 1.0)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)


def test_rows_do_not_see_each_other_and_share_what_the_camera_saw() -> None:
    (first, _), (second, _) = scene(1), scene(2)
    logits = torch.cat((guess(slice(8, 20), slice(12, 32)), guess(slice(0, 9), slice(0, 9))))
    together = refine(logits, first, 1.0)
    for row in range(2):
        torch.testing.assert_close(together[row:row + 1], refine(logits[row:row + 1], first, 1.0))
    colours = torch.cat((first, second))
    twice = refine(logits.repeat(2, 1, 1), colours, 1.0)  # two passes over two rows
    torch.testing.assert_close(twice[2:], twice[:2])
    torch.testing.assert_close(twice[1:2], refine(logits[1:], second, 1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_found_and_everything_found_stay_finite(dtype: torch.dtype) -> None:
    colours, _ = scene()
    for height in (-1024.0, 1024.0):
        after = refine(torch.full((1, SIZE, SIZE), height, dtype=dtype), colours.to(dtype), 1.0)
        assert after.isfinite().all() and after.dtype == dtype
        assert ((after > 0) == (height > 0)).all()


def test_gradients_reach_logits_that_are_far_off() -> None:
    colours, _ = scene()
    logits = guess(slice(0, 9), slice(0, 9), 9.0).requires_grad_()
    refine(logits, colours, 1.0).sum().backward()
    assert logits.grad is not None and (logits.grad == 1).all()


@torch.no_grad()
def test_the_model_adds_it_with_and_without_a_sentence() -> None:
    plain, coloured = (make_mini(config=MICRO_MINI.replace(decoder={"colour": weight}))
                       for weight in (0.0, 1.0))
    pixels = torch.rand(1, 1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    text = plain.encode_text(plain.tokenizer(["the red mug", "a b"]))
    rows = torch.tensor([0, 0])
    for encode in (lambda model: model.encode(pixels, text, clip_of_row=rows)[0],
                   lambda model: model.encode_plain(pixels)):
        assert encode(plain).colours is None
        seen = encode(coloured).frame(0)
        torch.testing.assert_close(seen.colours, mask_colours(pixels[0]))
    before, after = (model.segment_frame(
        model.encode(pixels, text, clip_of_row=rows)[0].frame(0), MemoryBank(), hide_absent=False,
    ).prediction.low_res for model in (plain, coloured))
    torch.testing.assert_close(after, refine(before, seen.colours, 1.0), atol=1e-4, rtol=1e-4)
