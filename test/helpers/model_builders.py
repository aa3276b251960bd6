"""Small real models and frames for tests. All weights matter: nothing is left at zero or one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from samwise_ros.config import (
    CmtConfig,
    DecoderConfig,
    HieraConfig,
    MemoryConfig,
    ModelConfig,
    TextConfig,
)
from samwise_ros.model.checkpoint import build_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer

TINY = ModelConfig(
    name="test", image_size=128, hidden_dim=64,
    hiera=HieraConfig(16, 1, (1, 1, 2, 1), (3,), (7, 7), (8, 4, 4, 2)),
    text=TextConfig(400, 32, 4, 2, 64, 514, (1, 2, 4)),
    cmt=CmtConfig(dim=32, num_heads=4),
    memory=MemoryConfig(dim=32, attention_layers=2, feedforward=64),
    decoder=DecoderConfig(feedforward=64, iou_hidden=32),
)
MICRO = TINY.replace(name="micro", image_size=64, memory={"attention_layers": 1},
                     hiera={"stages": (1, 1, 1, 1), "global_att_blocks": ()},
                     text={"num_layers": 3, "fusion_layers": (1, 2, 3)})


def make_model(config: ModelConfig, tokenizer: ExpressionTokenizer | None = None,
               seed: int = 0) -> SamwiseModel:
    """A seeded model in eval mode whose outputs react to every input.

    Trained networks use every weight; fresh ones have zero biases, unit norms, a layer scale of
    1e-6 and zero position tables, behind which mistakes would hide.
    """
    model = build_model(config, seed)
    generator = torch.Generator().manual_seed(seed + 1)

    def noise(like: torch.Tensor, scale: float) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator) * scale

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "token_type" in name:
                continue
            if weight.ndim <= 1 or "gamma" in name:
                base = weight.round() if "gamma" not in name else torch.full_like(weight, 0.5)
                weight.copy_(base + noise(weight, 0.1))
            elif "pos_embed" in name or name.endswith(("_token.weight", "_embed.weight")) \
                    or "tpos_enc" in name or "no_mem_embed" in name or "no_obj_ptr" in name:
                weight.copy_(noise(weight, 0.5))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(noise(module.running_mean, 0.2))
                module.running_var.copy_(1 + noise(module.running_var, 0.2).abs())
    model.tokenizer = tokenizer
    return model.requires_grad_(False)


def set_object_score(model: SamwiseModel, value: float) -> None:
    """Make the object score a constant, so that every target is visible or absent."""
    heads = [model.sam.sam_mask_decoder.pred_obj_score_head]
    if model.grounding is not None:
        heads.append(model.sam.sam_prompt_encoder.score_evidence)
    with torch.no_grad():
        for head in heads:
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.zero_()
        heads[0].layers[-1].bias.fill_(value)


def set_cme(model: SamwiseModel, *, switch: bool) -> None:
    """Make the CME always or never ask for a switch."""
    head = model.conditional_memory_encoder.decision_class_head
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 1.0 if switch else -1.0]))


def make_frames(count: int, height: int = 96, width: int = 128, seed: int = 0) -> list[np.ndarray]:
    """uint8 [H, W, 3] frames: coloured discs that move over a smooth background."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
    background = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    colours = rng.integers(0, 255, (3, 3)).tolist()
    starts, speeds = rng.uniform(0, 1, (3, 2)), rng.uniform(-0.1, 0.1, (3, 2))
    frames = []
    for t in range(count):
        frame = background.copy()
        for colour, start, speed in zip(colours, starts, speeds, strict=True):
            x, y = ((start + t * speed) % 1.0) * (width, height)
            cv2.circle(frame, (int(x), int(y)), max(1, min(height, width) // 6), colour, -1)
        frames.append(frame)
    return frames


def pixels_of(config: ModelConfig, frames: int, seed: int = 0,
              size: tuple[int, int] | None = None) -> torch.Tensor:
    """Normalised random input [1, T, 3, S_h, S_w]."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size or (config.image_size,) * 2
    return torch.randn(1, frames, 3, height, width, generator=generator)


def changed(config: ModelConfig, **changes: Mapping[str, Any] | Any) -> ModelConfig:
    """The configuration with some fields changed."""
    return config.replace(**changes)
