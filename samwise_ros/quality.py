"""Presets between exactness and speed, as data. What each costs is in docs/performance.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from samwise_ros.config import GRID, Fit, ModelConfig
from samwise_ros.structures import ConfigError

Quality = Literal["exact", "balanced", "fast"]


@dataclass(frozen=True)
class Preset:
    """What a preset changes of a model.

    Attributes:
        side: Longest input side, as a share of the model's own: 1024, 768 and 512 pixels for the
            published sizes.
        fit: How frames are brought to the input; None: the model's own way.
        kept: Share of each spatial memory's tokens that memory attention reads; 1: all.
    """

    side: float
    fit: Fit | None
    kept: float


PRESETS: dict[Quality, Preset] = {
    "exact": Preset(1.0, None, 1.0),
    "balanced": Preset(0.75, "rectangle", 1.0),
    "fast": Preset(0.5, "rectangle", 0.25),
}


def with_quality(config: ModelConfig, quality: str) -> ModelConfig:
    """The configuration at a preset; "exact" leaves it as it is. Raises ConfigError for others."""
    if quality not in PRESETS:
        raise ConfigError(f"quality: expected one of {', '.join(get_args(Quality))}, got "
                          f"{quality!r}")
    preset = PRESETS[quality]
    side = max(GRID, round(config.image_size * preset.side / GRID) * GRID)
    return config.replace(image_size=side, fit=preset.fit or config.fit,
                          memory={"kept": preset.kept})
