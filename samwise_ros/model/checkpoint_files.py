"""Reading and writing weight files: torch pickles (never arbitrary ones), safetensors, our folder.

Our folder holds `model.safetensors`, `config.json` and the tokeniser's two files; it is all that
is needed to run without any network.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from samwise_ros.config import ModelConfig
from samwise_ros.model.key_map import FAIRSEQ, TEXT, strip_module
from samwise_ros.model.tokenizer import TOKENIZER_FILES
from samwise_ros.structures import CheckpointError
from samwise_ros.user_files import load_json

FORMAT = "samwise_ros/1"
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

# Everything that a training checkpoint of the official code or of fairseq may contain besides
# tensors and plain containers. Nothing here runs code when it is unpickled.
_ALLOWED = [argparse.Namespace, collections.Counter, collections.defaultdict, dict]


class Kind(str, Enum):
    """What a weight file holds."""

    SAMWISE = "SAMWISE checkpoint"
    OWN = "samwise_ros state dict"
    SAM2 = "SAM 2.0 checkpoint"
    SAM21 = "SAM 2.1 checkpoint"
    FAIRSEQ = "fairseq RoBERTa"
    HF_ROBERTA = "Hugging Face RoBERTa"
    UNKNOWN = "unknown file"


@dataclass(frozen=True)
class WeightFile:
    """The tensors of one file, under the names they have in it.

    Attributes:
        path: Where it was read.
        kind: Recognised from the names.
        state: Names (a `module.` prefix removed) to CPU tensors.
        extras: Names of the other top-level entries (optimizer, args, epoch...).
    """

    path: Path
    kind: Kind
    state: dict[str, Tensor]
    extras: tuple[str, ...] = ()


def read_weights(path: Path | str) -> WeightFile:
    """Read a `.pth`, `.pt`, `.bin` or `.safetensors` file onto the CPU.

    Pickles are read with `weights_only=True` and a short allow-list: a file that asks for any other
    class is refused. Both the legacy and the zip format work, with the weights under `model` or
    bare. Raises CheckpointError.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no such weight file: {path}")
    if path.suffix == ".safetensors":
        return _weight_file(path, _read_safetensors(path), ())
    content = _read_pickle(path)
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not _all_tensors(state):
        raise CheckpointError(
            f"{path} holds no weights: expected names with tensors, bare or under 'model', got "
            f"{_describe(content)}")
    extras = tuple(str(key) for key in content if key != "model") if state is not content else ()
    return _weight_file(path, dict(state), extras)


def _weight_file(path: Path, state: dict[str, Tensor], extras: tuple[str, ...]) -> WeightFile:
    state = strip_module(state)
    return WeightFile(path, recognise_kind(state), state, extras)


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([*_ALLOWED]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for broken or refused files
        raise CheckpointError(
            f"cannot read {path}: it is damaged, incomplete, not a torch file, or wants to load "
            f"classes beyond tensors and argparse.Namespace, which is refused ({error})"
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot read {path}: damaged or incomplete ({error})") from error


def _all_tensors(state: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(content)[:6])) or 'nothing'}"
    return type(content).__name__


def recognise_kind(state: Mapping[str, Tensor]) -> Kind:
    """What a state dict belongs to, from its names."""
    def has(start: str) -> bool:
        return any(name.startswith(start) for name in state)

    if has(TEXT):
        return Kind.OWN
    if has(FAIRSEQ) or has("cmt_adapters.") or has("conditional_memory_encoder."):
        return Kind.SAMWISE
    if has("image_encoder.trunk."):
        newer = has("no_obj_embed_spatial") or has("obj_ptr_tpos_proj.")
        return Kind.SAM21 if newer else Kind.SAM2
    if any("sentence_encoder." in name for name in state):
        return Kind.FAIRSEQ
    if has("roberta.embeddings.") or has("embeddings.word_embeddings."):
        return Kind.HF_ROBERTA
    return Kind.UNKNOWN


@dataclass(frozen=True)
class Folder:
    """A folder in our own format.

    Attributes:
        path: The folder.
        config: The model that the weights belong to.
        about: The rest of `config.json`: dtype, source, tokeniser digest.
    """

    path: Path
    config: ModelConfig
    about: dict[str, Any]

    def read_state(self) -> dict[str, Tensor]:
        """The weights, our names, in the stored dtype. Raises CheckpointError."""
        path = self.path / WEIGHTS_FILE
        if not path.is_file():
            raise CheckpointError(f"{self.path} has no {WEIGHTS_FILE}")
        return _read_safetensors(path)


def read_folder(path: Path | str) -> Folder:
    """Open a folder written by `write_folder`. Raises CheckpointError (ConfigError for a value)."""
    path = Path(path)
    config = path / CONFIG_FILE
    if not config.is_file():
        raise CheckpointError(f"{path} is not a samwise_ros model folder: no {CONFIG_FILE} in it")
    try:
        about = load_json(config)
    except ValueError as error:
        raise CheckpointError(f"{config} is not JSON: {error}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a samwise_ros model folder: expected \"format\": \"{FORMAT}\" in "
            f"{CONFIG_FILE}. A released file is turned into one with `samwise checkpoint convert`")
    model = about.pop("model", None)
    if not isinstance(model, dict):
        raise CheckpointError(f"{config} has no \"model\" entry")
    return Folder(path, ModelConfig.from_dict(model), about)


def write_folder(path: Path | str, config: ModelConfig, state: Mapping[str, Tensor], *,
                 dtype: str = "fp32", tokenizer_dir: Path | None = None,
                 source: str | None = None,
                 frozen: Mapping[str, Mapping[str, str | None]] | None = None) -> Path:
    """Write our folder format; an interrupted call leaves no half-written weights behind.

    Args:
        path: Folder, made if absent.
        config: The model that the weights belong to.
        state: Our names. Floating tensors are stored as `dtype`, integers as they are.
        dtype: "fp32", "fp16" or "bf16".
        tokenizer_dir: Its two files are copied in, and their digest is noted.
        source: Where the weights come from, for `inspect`.
        frozen: Parts that are not in `state`, with their digests.

    Returns the folder. Raises CheckpointError.
    """
    if dtype not in DTYPES:
        raise CheckpointError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {"format": FORMAT, "dtype": dtype, "source": source}
    if frozen:
        about["frozen"] = frozen
    if tokenizer_dir is not None:
        _copy_tokenizer(tokenizer_dir, path)
        about["tokenizer_sha256"] = tokenizer_digest(path)
    stored = {name: _stored(tensor, DTYPES[dtype]) for name, tensor in state.items()}
    partial = path / (WEIGHTS_FILE + ".part")
    save_file(stored, partial, metadata={"format": "pt"})
    text = json.dumps({**about, "model": config.to_dict()}, indent=2)
    (path / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    shutil.copymode(path / CONFIG_FILE, partial)  # safetensors makes files only the owner can read
    partial.replace(path / WEIGHTS_FILE)
    return path


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()


def _copy_tokenizer(source: Path, target: Path) -> None:
    for name in TOKENIZER_FILES:
        if source.resolve() != target.resolve():
            shutil.copyfile(source / name, target / name)


def tokenizer_digest(folder: Path) -> str:
    """Return the sha256 over all that is read of a tokeniser: weights need the ids they learnt."""
    digest = hashlib.sha256()
    for name in TOKENIZER_FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
