"""From a training checkpoint to a folder that `load_model` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samwise_ros.config import ModelConfig
from samwise_ros.model.checkpoint import build_model, load_strict, save_model, tokenizer_for
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.training.checkpointing import best_weights, read_state
from samwise_ros.training.state_file import write_tree
from samwise_ros.user_files import claim_outputs


def export_checkpoint(checkpoint: Path | str, folder: Path | str, *, dtype: str = "fp16",
                      tokenizer: Path | str | None = None, **changes: Any) -> Path:
    """Write the averaged weights (the plain ones where nothing was averaged) as a model folder.

    The recipe's `score_shift` is part of the weights then.

    Args:
        checkpoint: Written by `samwise train`.
        folder: Made if absent; model, config and tokeniser files in it are replaced.
        dtype: Of the stored weights, "fp32" or "fp16".
        tokenizer: Folder of the tokeniser; default: the packaged one.
        changes: Fields of the model's configuration to change, such as parts that a stage of
            training had switched off.

    Raises CheckpointError for a file that cannot be read or does not fit.
    """
    state = read_state(Path(checkpoint))
    config = ModelConfig.from_dict(state["model_config"]).replace(**changes)
    model = trained_model(state, str(checkpoint), config, changes, tokenizer)
    shift_score(model, state["config"].get("score_shift", 0.0))
    stage = state["config"]["name"]
    return save_model(model, folder, dtype=dtype, source=f"samwise train, {stage}")


def trained_model(state: dict[str, Any], source: str, config: ModelConfig,
                  changes: Mapping[str, Any], tokenizer: Path | str | None = None) -> SamwiseModel:
    """The network of a training checkpoint with the weights to ship and its tokeniser.

    Args:
        state: From `read_state`. source: Names it in messages.
        config: Of the network, with its `changes`.
        tokenizer: Folder of the tokeniser; default: the packaged one.

    Raises CheckpointError for weights that do not fit.
    """
    model = build_model(config)
    load_strict(model, best_weights(state), source, changes)
    model.tokenizer = tokenizer_for(config, tokenizer)
    return model


def shift_score(model: SamwiseModel, shift: float) -> None:
    """Add to the object score logit: below zero, more is called absent."""
    if shift:
        with torch.no_grad():
            model.sam.sam_mask_decoder.pred_obj_score_head.layers[-1].bias += shift


def slim_checkpoint(checkpoint: Path | str, out: Path | str, *, resumable: bool = False) -> Path:
    """What a further stage starts from, small enough for a repository.

    Keeps the averaged weights and the auxiliary heads in fp16. The result serves as `model.init` of
    a recipe and, if asked for, for `--resume`.

    Args:
        checkpoint: Written by `samwise train`.
        out: File to write.
        resumable: Keep the optimiser's moments in bf16 and the state of the random generators. The
            run goes on from its averaged weights, not with the same numbers as an unbroken one.

    Raises ConfigError when `out` exists.
    """
    out = Path(out)
    claim_outputs(out.parent, [out.name], [Path(checkpoint)])
    state = read_state(Path(checkpoint))
    heads = state["heads"]
    slim = {**state, "model": _shortened(best_weights(state), torch.float16), "average": None,
            "heads": None if heads is None else _shortened(heads, torch.float16),
            "optimizer": None, "random": None}
    if resumable:
        moments = {index: {name: value if name == "step" else value.bfloat16()
                           for name, value in entry.items()}
                   for index, entry in state["optimizer"]["state"].items()}
        slim |= {"optimizer": {**state["optimizer"], "state": moments}, "random": state["random"]}
    write_tree(out, slim)
    return out


def _shortened(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: value.to(dtype) if value.is_floating_point() else value
            for name, value in state.items()}
