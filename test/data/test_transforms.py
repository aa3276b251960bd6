"""Resize rules, augmentation and captions of docs/model.md, 6.5."""

import numpy as np
import pytest
import torch

from samwise_ros.data.transforms import (
    ClipTransform,
    distort_colours,
    image_transform,
    normalise_caption,
    training_size,
    video_transform,
)
from samwise_ros.streaming.image_ops import input_size
from samwise_ros.structures import ConfigError


@pytest.mark.parametrize(("camera", "training", "inference"), [
    ((480, 854), (576, 1024), (575, 1024)),
    ((854, 480), (1024, 576), (1024, 575)),
    ((720, 1280), (576, 1024), (576, 1024)),
    ((600, 600), (1024, 1024), (1020, 1020)),
    # 1024 * 300 / 640 = 480; 480 * 640 / 300 = 1024.
    ((300, 640), (480, 1024), (480, 1024)),
    # Wide: round(1024 * 100 / 301) = 340, int(340 * 301 / 100) = 1023.
    ((100, 301), (340, 1023), (340, 1024)),
])
def test_training_and_inference_sizes_follow_their_published_rules(camera, training,
                                                                   inference) -> None:
    assert training_size(*camera, 1024, 1024) == training
    assert input_size(camera, 1024, "pad").resized == inference


def test_a_short_side_below_the_limit_is_kept() -> None:
    assert training_size(480, 854, 320, 1024) == (320, 569)
    assert training_size(480, 854, 720, 1024) == (576, 1024)


def test_transform_normalises_pixels_and_keeps_masks_aligned() -> None:
    frames = [np.full((30, 50, 3), 255, np.uint8)] * 2
    masks = np.zeros((2, 30, 50), bool)
    masks[:, 15:, :] = True

    pixels, resized = ClipTransform(100)(frames, masks, np.random.default_rng(0))

    assert pixels.shape == (2, 3, 60, 100) and pixels.dtype == torch.float32
    # (1 - mean) / std of each channel.
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.tensor([2.2489, 2.4286, 2.6400]),
                               atol=1e-3, rtol=0)
    assert resized.dtype == torch.bool
    assert not resized[:, :30].any() and resized[:, 30:].all()


def test_transform_leaves_its_input_alone_and_is_plain_without_augmentation() -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(2)]
    before = [frame.copy() for frame in frames]
    masks = np.ones((2, 20, 30), bool)

    first, _ = video_transform(64)(frames, masks, np.random.default_rng(1))
    second, _ = video_transform(64)(frames, masks, np.random.default_rng(2))

    assert torch.equal(first, second)
    for frame, original in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame, original)


def test_augmented_video_clips_use_the_published_short_sides() -> None:
    frames, masks = [np.zeros((16, 16, 3), np.uint8)], np.ones((1, 16, 16), bool)
    sides = {video_transform(1024, augment=True)(frames, masks, np.random.default_rng(seed))[0]
             .shape[-1] for seed in range(24)}

    assert sides == {320, 392, 448, 480, 512, 640, 720}


def test_augmented_images_change_size_but_not_colour() -> None:
    frames, masks = [np.full((100, 100, 3), 200, np.uint8)], np.ones((1, 100, 100), bool)
    plain, _ = image_transform(1024)(frames, masks, np.random.default_rng(0))
    augmented, _ = image_transform(1024, augment=True)(frames, masks, np.random.default_rng(0))

    assert augmented.shape[-1] in range(480, 769, 32)
    torch.testing.assert_close(augmented[0, :, 0, 0], plain[0, :, 0, 0])


def test_distortion_changes_about_the_published_amount() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    values = [distort_colours(grey, np.random.default_rng(seed))[0, 0] for seed in range(400)]

    # Grey has no hue or saturation: brightness +-32 then contrast 0.5..1.5 bound each channel.
    assert min(value.min() for value in values) >= int(68 * 0.5) - 1
    assert max(value.max() for value in values) <= int(132 * 1.5) + 1
    assert sum((value == 100).all() for value in values) > 60, "a quarter stays as it is"
    assert len({tuple(value) for value in values}) > 100


def test_distortion_keeps_hue_within_eighteen_degrees_of_some_channel_order() -> None:
    import colorsys

    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    for seed in range(100):
        pixel = distort_colours(red, np.random.default_rng(seed))[0, 0] / 255.0
        hue = colorsys.rgb_to_hsv(*pixel)[0] * 360.0
        # A channel permutation maps hues 0 +- 18 near 0, 120 or 240 (rounding adds).
        assert min(abs((hue - centre + 180) % 360 - 180) for centre in (0, 120, 240)) < 22


def test_captions_are_lower_case_with_single_spaces() -> None:
    assert normalise_caption("  The RED\tmug  on it ") == "the red mug on it"


def test_sides_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="expected positive sides"):
        ClipTransform(0)
