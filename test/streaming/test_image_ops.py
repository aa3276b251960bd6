"""Frames on their way in and masks on their way out, against the published rules."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from model_builders import make_frames
from PIL import Image
from torchvision.transforms import functional as tv

from samwise_ros.config import ModelConfig
from samwise_ros.streaming.image_ops import (
    input_size,
    logit_threshold,
    prepare_frame,
    restore_logits,
    tight_box,
)
from samwise_ros.structures import IMAGENET_MEAN, IMAGENET_STD, Box, FrameError

pytestmark = pytest.mark.usefixtures("one_thread")
PAD = ModelConfig(image_size=256)


@pytest.mark.parametrize(("camera", "resized"), [
    ((720, 1280), (576, 1024)), ((480, 854), (575, 1024)), ((500, 500), (1020, 1020)),
    ((1280, 720), (1024, 576)), ((854, 480), (1024, 575)), ((1, 1), (1020, 1020)),
    ((479, 641), (765, 1024)), ((1024, 1025), (1020, 1020))])
def test_pad_follows_the_official_resize_rule(
        camera: tuple[int, int], resized: tuple[int, int]) -> None:
    size = input_size(camera, 1024, "pad")
    assert (size.camera, size.resized, size.padded) == (camera, resized, (1024, 1024))


@pytest.mark.parametrize("camera", [(720, 1280), (480, 854), (333, 333), (97, 131), (640, 480),
                                    (41, 600)])
def test_pad_is_torchvisions_rule_on_a_pil_image(camera: tuple[int, int]) -> None:
    frame = make_frames(1, *camera)[0]
    pil = tv.resize(Image.fromarray(frame), 1020, max_size=1024)
    size = input_size(camera, 1024, "pad")
    assert (pil.height, pil.width) == size.resized
    pixels, _ = prepare_frame(frame, ModelConfig(image_size=1024))
    expected = tv.normalize(tv.to_tensor(pil), IMAGENET_MEAN, IMAGENET_STD)
    height, width = size.resized
    torch.testing.assert_close(pixels[:, :height, :width], expected, atol=1e-6, rtol=1e-5)
    assert (pixels[:, height:] == 0).all() and (pixels[..., width:] == 0).all(), \
        "padding comes after normalisation"


@pytest.mark.parametrize(("camera", "expected"), [
    ((720, 1280), (576, 1024)), ((480, 854), (576, 1024)), ((480, 640), (768, 1024)),
    ((640, 480), (1024, 768)), ((500, 500), (1024, 1024)), ((100, 1600), (64, 1024)),
    ((1, 1), (1024, 1024))])
def test_rectangle_gives_the_nearest_sides_without_padding(
        camera: tuple[int, int], expected: tuple[int, int]) -> None:
    size = input_size(camera, 1024, "rectangle")
    assert size.resized == size.padded == expected


@pytest.mark.parametrize("image_size", [64, 192, 256, 512])
@pytest.mark.parametrize("fit", ["pad", "rectangle"])
def test_any_camera_gives_sides_that_the_model_takes(image_size: int, fit: str) -> None:
    for height in (1, 2, 7, 63, 480, 1081):
        for width in (1, 5, 64, 641, 1920):
            if max(height, width) > 16 * min(height, width):
                with pytest.raises(FrameError, match="aspect"):
                    input_size((height, width), image_size, fit)
                continue
            size = input_size((height, width), image_size, fit)
            assert max(size.padded) == image_size and all(s % 64 == 0 for s in size.padded)
            assert all(1 <= r <= p for r, p in zip(size.resized, size.padded, strict=True))


@pytest.mark.parametrize("camera", [(480, 640), (1080, 1920), (90, 120)])
def test_the_fast_resize_differs_by_a_few_grey_levels(camera: tuple[int, int]) -> None:
    frame = make_frames(1, *camera)[0]
    exact, _ = prepare_frame(frame, PAD)
    fast, _ = prepare_frame(frame, PAD, fast=True)
    grey_levels = (exact - fast).abs() * torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255
    assert exact.shape == fast.shape
    assert grey_levels.mean() < 1.5 and grey_levels.quantile(0.99) < 24


def test_masks_come_back_by_cropping_the_padding_then_bilinear() -> None:
    size = input_size((45, 80), 128, "pad")
    high = torch.randn(2, 128, 128, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(high[:, None, : size.resized[0], : size.resized[1]], (45, 80),
                             mode="bilinear", align_corners=False)[:, 0]
    assert torch.equal(restore_logits(high, size), expected)


@pytest.mark.parametrize("fit", ["pad", "rectangle"])
@pytest.mark.parametrize("camera", [(120, 200), (200, 120), (101, 77)])
def test_a_place_in_the_frame_survives_the_way_there_and_back(
        fit: str, camera: tuple[int, int]) -> None:
    frame = np.zeros((*camera, 3), np.uint8)
    frame[20:60, 30:70] = 255
    pixels, size = prepare_frame(frame, ModelConfig(image_size=256, fit=fit))
    mask = restore_logits(pixels[:1], size)[0] > 0
    box = tight_box(mask.numpy())
    assert np.abs(np.array([box.x0, box.y0, box.x1, box.y1]) - (30, 20, 70, 60)).max() <= 1


def test_thresholds_on_logits_and_on_probabilities_agree() -> None:
    logits = torch.linspace(-5, 5, 101)
    for probability in (0.1, 0.5, 0.9):
        by_logit = logits > logit_threshold(probability)
        assert torch.equal(by_logit, logits.double().sigmoid() > probability)
    assert logit_threshold(0.5) == 0.0


@pytest.mark.parametrize(("rows", "columns", "box"), [
    ([], [], None), ([3], [5], Box(5, 3, 6, 4)), ([0, 7], [0, 9], Box(0, 0, 10, 8)),
    ([2, 2, 4], [6, 1, 3], Box(1, 2, 7, 5))])
def test_boxes_are_tight_with_exclusive_ends(rows: list, columns: list, box: Box | None) -> None:
    mask = np.zeros((8, 10), bool)
    mask[rows, columns] = True
    assert tight_box(mask) == box
