"""Training state on disk: everything that the next step depends on."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from samwise_ros.model.checkpoint import own_state
from samwise_ros.model.frozen_parts import frozen_prefixes
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.structures import CheckpointError
from samwise_ros.training.optim import WeightAverage
from samwise_ros.training.recipe import TrainConfig
from samwise_ros.training.state_file import has_tree, read_tree, write_tree

FORMAT = 2
SUFFIX = ".safetensors"


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: Optimiser steps done.
        best: Best score so far, or None.
        seconds: Training time so far, over all resumed parts.
    """

    step: int = 0
    best: float | None = None
    seconds: float = 0.0


def random_state() -> dict[str, Any]:
    """State of all generators that training may draw from, as plain values and tensors."""
    numpy = np.random.get_state(legacy=False)
    numpy["state"] = {**numpy["state"], "key": numpy["state"]["key"].tolist()}
    state = {"python": random.getstate(), "torch": torch.get_rng_state(), "numpy": numpy}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Undo `random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch"])
    key = np.array(state["numpy"]["state"]["key"], np.uint32)
    np.random.set_state({**state["numpy"], "state": {**state["numpy"]["state"], "key": key}})
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def save_state(path: Path, config: TrainConfig, model: SamwiseModel, heads: nn.Module | None,
               optimizer: torch.optim.Optimizer, average: WeightAverage | None,
               progress: Progress) -> None:
    """Write a checkpoint; an interrupted write leaves the old one."""
    state = {
        "format": FORMAT, "config": dataclasses.asdict(config),
        "model_config": model.config.to_dict(), "model": own_state(model),
        "heads": None if heads is None else heads.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": None if average is None else {"state": average.state,
                                                 "updates": average.updates},
        "progress": dataclasses.asdict(progress), "random": random_state(),
    }
    write_tree(path, state)


def save_start(path: Path, state: dict[str, Any], weights: dict[str, Tensor],
               heads: dict[str, Tensor] | None) -> None:
    """Write what serves as `model.init` of a recipe and for export, but not for `--resume`.

    Args:
        state: From `read_state`; its configuration and progress are kept.
        weights: In place of its averaged ones. heads: Auxiliary heads to go on with.
    """
    write_tree(path, {**state, "model": weights, "heads": heads, "average": None,
                      "optimizer": None, "random": None})


def read_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `save_state` or `save_start`; nothing in it is run.

    Raises CheckpointError for a file that is missing, damaged or of another kind.
    """
    state = read_tree(path)
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected a training checkpoint of format {FORMAT}, got "
                              f"{state.get('format')!r}")
    return state


def is_training_checkpoint(path: Path) -> bool:
    """Whether a file was written by `save_state` or `save_start`, rather than holding weights only.

    A file that cannot be read is none; whoever reads it next says why.
    """
    return path.suffix == SUFFIX and path.is_file() and has_tree(path)


def put_own_state(model: SamwiseModel, state: dict[str, Tensor]) -> None:
    """Give a model the weights that `own_state` tells; its frozen parts stay.

    Raises CheckpointError for missing and unknown names.
    """
    missing, unknown = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.startswith(frozen_prefixes(model.config))]
    if missing or unknown:
        raise CheckpointError(f"state of another network: missing {missing}, unknown {unknown}")


def restore_state(state: dict[str, Any], model: SamwiseModel, heads: nn.Module | None,
                  optimizer: torch.optim.Optimizer, average: WeightAverage | None) -> Progress:
    """Put a checkpoint's content into the objects of a run; returns where the run stood."""
    put_own_state(model, state["model"])
    if heads is not None and state["heads"] is not None:
        heads.load_state_dict(state["heads"])
    optimizer.load_state_dict(state["optimizer"])
    if average is not None and state["average"] is not None:
        average.state = state["average"]["state"]
        average.updates = state["average"]["updates"]
    elif average is not None:  # a slim checkpoint holds the averaged weights alone
        average.restart(model)
    set_random_state(state["random"])
    return Progress(**state["progress"])


def best_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The weights to score or ship: the average where there is one."""
    return state["average"]["state"] if state["average"] is not None else state["model"]
