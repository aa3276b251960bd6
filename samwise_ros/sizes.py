"""The named sizes: published ones after sam2's 072824 configurations, `nano` and `mini` our own."""

from __future__ import annotations

from typing import Any

from samwise_ros.config import (
    CmtConfig,
    DecoderConfig,
    GroundingConfig,
    HieraConfig,
    MemoryConfig,
    ModelConfig,
    TextConfig,
)
from samwise_ros.structures import ConfigError


def _large_hiera() -> HieraConfig:
    return HieraConfig(144, 2, (2, 6, 36, 4), (23, 33, 43), (7, 7), (8, 4, 16, 8))


def _nano() -> ModelConfig:
    return ModelConfig(
        name="nano", image_size=192, fit="rectangle", hidden_dim=128, motion_lag=2,
        shown="masks",
        # Text meets the image at strides 16 and 32 only: what comes before is shared by all
        # expressions of an image, which makes training and several targets several times cheaper.
        hiera=HieraConfig(32, 1, (1, 2, 3, 1), (4, 5), (7, 7), (8, 8, 8, 4), "conv"),
        text=TextConfig(1024, 128, 3, 4, 512, 130, (1, 2)),
        cmt=CmtConfig(dim=64, num_heads=4, fusion_stages=(2, 3), hsa_patch_sides=(4, 2)),
        memory=MemoryConfig(attention_layers=2, feedforward=512),
        decoder=DecoderConfig(feedforward=512, iou_hidden=128),
    )


def _mini() -> ModelConfig:
    return ModelConfig(
        name="mini", image_size=448, fit="rectangle", hidden_dim=128, motion_lag=2,
        motion_shrink=2, trunk="lite0",
        # All text layers run before the first adapter: they are paid once a command, not per frame.
        text=TextConfig(30522, 384, 6, 12, 1536, 512, (6, 6, 6), "bert"),
        cmt=CmtConfig(dim=64, num_heads=4, feedback=False, narrow=(16, 24, 16), dropout=0.1),
        grounding=GroundingConfig(enabled=True, regions=True, coarse=True, dropout=0.2),
        memory=MemoryConfig(4, 4, attention_layers=2, feedforward=512),
        decoder=DecoderConfig(feedforward=512, iou_hidden=128, relative_peak=True),
    )


_PRESETS = {
    "nano": _nano,
    "mini": _mini,
    "tiny": lambda: ModelConfig(name="tiny", shown="sam2"),
    "small": lambda: ModelConfig(name="small", shown="sam2", hiera=HieraConfig(
        96, 1, (1, 2, 11, 2), (7, 10, 13), (7, 7), (8, 4, 14, 7))),
    "base_plus": lambda: ModelConfig(name="base_plus", shown="sam2", hiera=HieraConfig(
        112, 2, (2, 3, 16, 3), (12, 16, 20), (14, 14), (8, 4, 14, 7))),
    "large": lambda: ModelConfig(name="large", shown="sam2", hiera=_large_hiera()),
}

SIZES = tuple(_PRESETS)
DEFAULT_MODEL = "mini"  # for pictures of the real world


def model_config(name: str, **changes: Any) -> ModelConfig:
    """The configuration of a named size: nano, mini, tiny, small, base_plus or large.

    Raises ConfigError for an unknown name or a bad change.
    """
    if name not in _PRESETS:
        raise ConfigError(f"unknown model size {name!r}; known are {', '.join(SIZES)}")
    return _PRESETS[name]().replace(**changes)
