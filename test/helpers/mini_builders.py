"""A small model built like mini: Lite0's network with random weights, a BERT of three layers."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from model_builders import make_model

from samwise_ros.config import (
    CmtConfig,
    DecoderConfig,
    GroundingConfig,
    MemoryConfig,
    ModelConfig,
    TextConfig,
)
from samwise_ros.model.checkpoint import start_model
from samwise_ros.model.noun_finder import END, START, padded
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.sizes import model_config
from samwise_ros.structures import CheckpointError

MICRO_MINI = ModelConfig(
    name="micro mini", image_size=128, fit="rectangle", hidden_dim=64, motion_lag=2, trunk="lite0",
    text=TextConfig(7000, 32, 3, 2, 64, 64, (3, 3, 3), "bert"),
    cmt=CmtConfig(dim=32, num_heads=4, feedback=False, narrow=(8, 8, 8), dropout=0.1),
    grounding=GroundingConfig(enabled=True, width=16, groups=2),
    memory=MemoryConfig(dim=32, attention_layers=1, feedforward=64),
    decoder=DecoderConfig(feedforward=64, iou_hidden=32, relative_peak=True, colour=1.0),
)


class WordNumbers:
    """In place of the published tokeniser: each word is one of 900 ids."""

    def __call__(self, sentences: list[str]) -> Tokens:
        """Ids from the letters of each word."""
        return padded([[START, *(200 + sum(map(ord, word)) % 900 for word in sentence.split()), END]
                       for sentence in sentences])


@lru_cache(maxsize=1)
def published_mini() -> SamwiseModel:
    """Mini with its published frozen parts; tests must not change it, and skip without them."""
    try:
        return start_model(model_config("mini"), seed=3)
    except CheckpointError as error:
        pytest.skip(f"needs the frozen parts of mini: {error}")


def make_mini(seed: int = 0, config: ModelConfig = MICRO_MINI) -> SamwiseModel:
    """A seeded small model whose outputs react to every input."""
    model = make_model(config, WordNumbers(), seed)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    embeddings = model.grounding.class_embeddings
    drawn = torch.randn(embeddings.shape, generator=generator)
    embeddings.copy_(torch.nn.functional.normalize(drawn, dim=1))
    model.grounding.set_classifier(torch.randn(model.grounding.answers.shape, generator=generator))
    return model
