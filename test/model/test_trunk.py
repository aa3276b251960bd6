"""Trunks: one contract for all, and Lite0 against a literal reading of the published network."""

import pytest
import torch
import torch.nn.functional as F
from mini_builders import MICRO_MINI
from model_builders import TINY
from torch import Tensor

from samwise_ros.config import ModelConfig
from samwise_ros.model.efficientnet import _BLOCKS, Lite0Trunk, fold_published
from samwise_ros.model.frozen_parts import LITE0, locate
from samwise_ros.model.precision import arithmetic
from samwise_ros.model.trunk import Trunk, build_trunk
from samwise_ros.structures import IMAGENET_MEAN, IMAGENET_STD, CheckpointError

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIGS = {"hiera": TINY, "lite0": MICRO_MINI}


def stages_of(trunk: Trunk, pixels: Tensor) -> list[Tensor]:
    v, maps = trunk.embed(pixels, tuple(pixels.shape[-2:])), []
    for stage in range(4):
        v = trunk.run_stage(v, stage)
        maps.append(v)
    return maps


@pytest.mark.parametrize("name", CONFIGS)
def test_a_trunk_has_four_stages_at_strides_4_to_32(name: str) -> None:
    config: ModelConfig = CONFIGS[name]
    trunk = build_trunk(config).eval()
    maps = stages_of(trunk, torch.randn(2, 3, 64, 128))
    for stage, v in enumerate(maps):
        assert v.shape == (2, 64 >> (2 + stage), 128 >> (2 + stage), config.channels[stage])
    assert tuple(trunk.channel_list[::-1]) == config.channels


@pytest.mark.parametrize("name", CONFIGS)
def test_pictures_of_a_batch_do_not_see_each_other(name: str) -> None:
    trunk = build_trunk(CONFIGS[name]).eval()
    pixels = torch.randn(3, 3, 64, 64)
    together = stages_of(trunk, pixels)
    for joint, alone in zip(together, stages_of(trunk, pixels[1:2]), strict=True):
        torch.testing.assert_close(joint[1:2], alone, atol=1e-5, rtol=1e-4)


def test_lite0_never_trains() -> None:
    trunk = Lite0Trunk().train()
    assert not trunk.training and not any(module.training for module in trunk.modules())
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


def published_weights() -> dict[str, Tensor]:
    try:
        path = locate(LITE0)
    except CheckpointError as error:
        pytest.skip(f"needs Lite0's weights: {error}")
    return torch.load(path, weights_only=True)


def literal_features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The published network on (x - 127) / 128, BatchNorm as such, TensorFlow's padding."""

    def step(conv: str, norm: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        missing = weight.shape[-1] - stride
        x = F.pad(x, (missing // 2, missing - missing // 2) * 2)
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        parts = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight",
                                                      "bias"))
        return F.batch_norm(x, *parts, eps=1e-3)

    x = F.relu6(step("_conv_stem", "_bn0", x, 2))
    for index, (_, stride, expansion, _) in enumerate(_BLOCKS):
        block, y = f"_blocks.{index}.", x
        if expansion > 1:
            y = F.relu6(step(block + "_expand_conv", block + "_bn0", y))
        y = F.relu6(step(block + "_depthwise_conv", block + "_bn1", y, stride, y.shape[1]))
        y = step(block + "_project_conv", block + "_bn2", y)
        x = x + y if x.shape == y.shape else y
    return F.relu6(step("_conv_head", "_bn1", x))


def ours_and_picture(size: tuple[int, int],
                     state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Our last features [1, 1280, h, w] of a picture, and it as the published network takes it."""
    trunk = Lite0Trunk()
    trunk.load_state_dict(fold_published(state))
    generator = torch.Generator().manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 20, 20, generator=generator), size, mode="bicubic")
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    last = stages_of(trunk, (picture - mean) / std)[3]
    return trunk.semantic(last).permute(0, 3, 1, 2), (picture * 255 - 127) / 128


def test_lite0_is_the_published_network() -> None:
    state = published_weights()
    ours, picture = ours_and_picture((192, 256), state)
    theirs = literal_features(state, picture)
    assert ours.shape == theirs.shape == (1, 1280, 6, 8)
    torch.testing.assert_close(ours, theirs, atol=2e-3 * float(theirs.max()), rtol=1e-3)


def test_lite0_runs_in_full_precision_beside_halves() -> None:
    trunk, pixels = Lite0Trunk(), torch.rand(1, 3, 64, 64)
    full = stages_of(trunk, pixels)
    with arithmetic(torch.device("cpu"), "bf16"):
        halves = stages_of(trunk, pixels)
        assert trunk.semantic(full[3].bfloat16()).dtype == torch.float32
        assert trunk.run_stage(full[2].bfloat16(), 3).dtype == torch.float32  # after an adapter
    for one, other in zip(full, halves, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
