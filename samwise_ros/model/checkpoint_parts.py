"""The parts that SAMWISE is made of, read from their published files under our names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from samwise_ros.config import SIZES
from samwise_ros.model import key_map
from samwise_ros.model.checkpoint_check import recognise_size, shapes_of
from samwise_ros.model.checkpoint_files import Kind, read_weights
from samwise_ros.structures import CheckpointError

_log = logging.getLogger(__name__)


def sam2_part(path: Path | str) -> dict[str, Tensor]:
    """The image part from a SAM 2.0 file, our names. Raises CheckpointError."""
    file = read_weights(path)
    if file.kind is Kind.SAM21:
        raise CheckpointError(
            f"{path} is SAM 2.1; SAMWISE is built on SAM 2.0: take a file of 072824 "
            "(`samwise checkpoint download sam2_base_plus`)")
    if file.kind is not Kind.SAM2:
        raise CheckpointError(f"{path} is a {file.kind.value}; expected a SAM 2.0 checkpoint")
    return key_map.map_sam2(file.state)


def size_of_sam2(part: Mapping[str, Tensor], what: str) -> str:
    """The size that a SAM 2.0 part (our names) belongs to. Raises CheckpointError."""
    size = recognise_size(shapes_of(part))
    if size is None:
        raise CheckpointError(f"{what}: the image trunk has none of the sizes {', '.join(SIZES)}")
    return size


def roberta_part(path: Path | str) -> dict[str, Tensor]:
    """The text encoder from fairseq's `model.pt`, or an HF file or folder, our names.

    Raises CheckpointError.
    """
    path = Path(path)
    if path.is_dir():
        names = ("model.safetensors", "pytorch_model.bin", "model.pt")
        found = [path / name for name in names if (path / name).is_file()]
        if not found:
            raise CheckpointError(f"no RoBERTa in {path}: expected one of {', '.join(names)}")
        path = found[0]
    file = read_weights(path)
    if file.kind is Kind.FAIRSEQ:
        return with_token_types(key_map.map_fairseq_roberta(file.state))
    if file.kind is Kind.HF_ROBERTA:
        return key_map.map_hf_roberta(file.state)
    raise CheckpointError(f"{path} is a {file.kind.value}; expected a RoBERTa (fairseq or HF)")


def with_token_types(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the row that only HF's RoBERTa has; zero, so that it changes nothing."""
    words = state.get(key_map.TEXT + "embeddings.word_embeddings.weight")
    if words is None or words.ndim != 2 or key_map.TOKEN_TYPES in state:
        return state
    return {**state, key_map.TOKEN_TYPES: torch.zeros(1, words.shape[1])}


def fill_ris(state: Mapping[str, Tensor], initial: Mapping[str, Tensor], seed: int,
             sam2: Path | str | None = None) -> dict[str, Tensor]:
    """Add exactly the entries that the RIS pre-training checkpoint lacks.

    The object-score head comes from the SAM 2.0 file `sam2`, or is seeded without one; HSA is
    seeded, as when the official fine-tuning starts. Nothing else is filled: any other missing name
    is still reported by strict loading.

    Args:
        state: The file, our names.
        initial: The state dict of the model with its seeded initial values.
        seed: The seed of `initial`, for the log.
        sam2: SAM 2.0 file of the same size.
    """
    part = {} if sam2 is None else sam2_part(sam2)
    filled = dict(state)
    sources: dict[str, int] = {}
    for name, value in initial.items():
        if name not in filled and key_map.absent_in_ris(name):
            filled[name] = part.get(name, value)
            source = f"the SAM 2 file {sam2}" if name in part else f"seed {seed}"
            sources[source] = sources.get(source, 0) + 1
    for source, count in sources.items():
        _log.warning("RIS checkpoint: %d absent entries filled from %s", count, source)
    return filled
