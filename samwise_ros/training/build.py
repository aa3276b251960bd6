"""From a recipe to its network and its batches."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from samwise_ros.config import ModelConfig
from samwise_ros.model.checkpoint import (
    build_model,
    load_model,
    load_parts,
    load_strict,
    start_model,
    tokenizer_for,
)
from samwise_ros.model.checkpoint_parts import fill_ris
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.sizes import model_config
from samwise_ros.structures import ConfigError
from samwise_ros.training.auxiliary import AuxiliaryHeads
from samwise_ros.training.batches import PackedBatches, TrainBatch, Vocabulary
from samwise_ros.training.checkpointing import (
    best_weights,
    is_training_checkpoint,
    read_state,
)
from samwise_ros.training.loader import LoaderBatches, make_datasets
from samwise_ros.training.recipe import TrainConfig
from samwise_ros.training.shown import ShownBatches


class BatchSource(Protocol):
    """Where the loop gets its batches from."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the data."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What simulated data tells apart; nothing elsewhere."""

    def batch(self, number: int) -> TrainBatch:
        """The batch with this number."""


def make_model(config: TrainConfig) -> SamwiseModel:
    """The network of a recipe with its starting weights and its tokeniser, on the CPU.

    Raises ConfigError when an official size has nothing to start from, CheckpointError when weights
    do not fit.
    """
    setup = config.model
    target = model_config(setup.name).replace(**setup.changes)
    if setup.init is not None:
        model = _from_start(config, target)
    elif setup.sam2 is not None and setup.roberta is not None:
        model = load_parts(target, setup.sam2, setup.roberta, config.seed)
    elif setup.trainable in ("all", "follow"):
        model = start_model(target, config.seed)
    else:
        raise ConfigError(
            "model: adapters are trained on pre-trained parts: give model.sam2 (a SAM 2.0 file) "
            "and model.roberta (a folder with roberta-base), or model.init (weights to start from)")
    model.tokenizer = tokenizer_for(target, setup.tokenizer, _folder_of(setup.init))
    return model


def _from_start(config: TrainConfig, target: ModelConfig) -> SamwiseModel:
    """Start from a training checkpoint, a released file or a folder."""
    setup = config.model
    path = Path(str(setup.init))
    if not is_training_checkpoint(path):
        return load_model(path, device="cpu", tokenizer_dir=setup.tokenizer, sam2=setup.sam2,
                          allow_ris=setup.allow_ris, **setup.changes)
    model = build_model(target, config.seed)
    state = best_weights(read_state(path))
    if setup.allow_ris:
        state = fill_ris(state, model.state_dict(), config.seed, setup.sam2)
    for name, value in model.state_dict().items():
        if name not in state and any(part in name for part in setup.grown):
            state[name] = value
    load_strict(model, state, str(path), setup.changes)
    return model


def load_heads(heads: AuxiliaryHeads, init: str | None) -> bool:
    """Take the auxiliary heads over from the training checkpoint that a stage starts from.

    Those that it lacks, or has in another shape, start anew. Returns whether any was taken over.
    """
    if init is None or not is_training_checkpoint(Path(init)):
        return False
    shapes = {name: value.shape for name, value in heads.state_dict().items()}
    state = {name: value for name, value in (read_state(Path(init))["heads"] or {}).items()
             if shapes.get(name) == value.shape}
    heads.load_state_dict(state, strict=False)
    return bool(state)


def _folder_of(init: str | None) -> Path | None:
    if init is None:
        return None
    return Path(init) if Path(init).is_dir() else Path(init).parent


def make_batches(config: TrainConfig, rank: int, world: int) -> BatchSource:
    """The data of a recipe, for one of `world` processes."""
    if config.data.prompts:
        return ShownBatches(config.data, config.seed * world + rank)
    if config.data.kind == "packed":
        return PackedBatches(config.data, config.seed * world + rank)
    size = model_config(config.model.name).replace(**config.model.changes).image_size
    datasets = make_datasets(config.data, size, config.seed)
    return LoaderBatches(datasets, config.data.clips, size, config.data.workers, config.seed, rank,
                         world)
