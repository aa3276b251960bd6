"""The parts that SAMWISE is made of: SAM 2, RoBERTa and its tokeniser, from published files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from samwise_ros.config import ModelConfig, TextConfig
from samwise_ros.model import key_map
from samwise_ros.model.checkpoint_check import recognise_size, shapes_of
from samwise_ros.model.checkpoint_files import Kind, read_weights
from samwise_ros.model.download import cache_dir
from samwise_ros.model.frozen_parts import MINILM_TOKENIZER, locate
from samwise_ros.model.tokenizer import (
    PACKAGED_TOKENIZER,
    TOKENIZER_FILES,
    ExpressionTokenizer,
    spacy_verb_finder,
)
from samwise_ros.model.wordpiece import WordPieceTokenizer
from samwise_ros.sizes import SIZES
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


def tokenizer_for(config: ModelConfig, given: Path | str | None = None,
                  beside: Path | None = None) -> ExpressionTokenizer | WordPieceTokenizer:
    """The tokeniser of a model.

    Args:
        config: Its vocabulary must hold all ids.
        given: Folder with vocab.json and merges.txt; without it they are looked for.
        beside: Where to look first; then the cache (RoBERTa) or the package (nano).

    Raises CheckpointError.
    """
    if config.text.kind == "bert":
        return WordPieceTokenizer(locate(MINILM_TOKENIZER), config.text.max_tokens)
    folder = Path(given) if given else _find_tokenizer(config, beside)
    finder = spacy_verb_finder() if config.motion_prompt else None
    tokenizer = ExpressionTokenizer(folder, config.text.max_tokens, finder)
    if tokenizer.vocab_size > config.text.vocab_size:
        raise CheckpointError(
            f"the tokeniser in {folder} has {tokenizer.vocab_size} ids, the text encoder of "
            f"{config.name!r} only {config.text.vocab_size}: they do not belong together")
    return tokenizer


def _find_tokenizer(config: ModelConfig, beside: Path | None) -> Path:
    published = config.text.vocab_size == TextConfig().vocab_size
    candidates = [cache_dir() / "roberta-base" if published else PACKAGED_TOKENIZER]
    if beside is not None:
        candidates[:0] = [beside, beside / "roberta-base"]
    for folder in candidates:
        if all((folder / name).is_file() for name in TOKENIZER_FILES):
            return folder
    raise CheckpointError(
        "no tokeniser files (vocab.json, merges.txt) found in "
        f"{', '.join(map(str, candidates))}: run `samwise checkpoint download roberta`, or give "
        "their folder as tokenizer_dir")
