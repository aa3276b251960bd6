"""From a recipe to its network and its batches."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from samwise_ros.config import model_config
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import PACKAGED_TOKENIZER, ExpressionTokenizer
from samwise_ros.structures import ConfigError
from samwise_ros.training.batches import PackedBatches, TrainBatch
from samwise_ros.training.checkpointing import best_weights, read_state
from samwise_ros.training.config import TrainConfig


class BatchSource(Protocol):
    """Where the loop gets its batches from."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the data."""

    @property
    def vocabulary(self) -> tuple[int, int]:
        """Number of classes and colours of simulated data, (0, 0) elsewhere."""

    def batch(self, number: int) -> TrainBatch:
        """The batch with this number."""


def make_model(config: TrainConfig) -> SamwiseModel:
    """The network of a recipe with its starting weights and its tokeniser."""
    setup = config.model
    torch.manual_seed(config.seed)
    model = SamwiseModel(model_config(setup.name, **setup.changes))
    if setup.init is not None:
        load_start(model, Path(setup.init))
    folder = Path(setup.tokenizer) if setup.tokenizer else PACKAGED_TOKENIZER
    model.tokenizer = ExpressionTokenizer(folder, model.config.text.max_tokens)
    return model


def load_start(model: SamwiseModel, path: Path) -> None:
    """Start from the (averaged) weights of a training checkpoint."""
    model.load_state_dict(best_weights(read_state(path)))


def make_batches(config: TrainConfig, rank: int, world: int) -> BatchSource:
    """The data of a recipe, for one of `world` processes."""
    if config.data.kind == "packed":
        return PackedBatches(config.data, config.seed * world + rank)
    raise ConfigError(f"data.kind {config.data.kind!r} is not known")
