"""Models from configurations and weights: build, load, save. Loading is strict.

The official loader keeps a random tensor wherever a name or a shape does not fit, in silence. Here
every difference is a CheckpointError that lists it and names the likely cause.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from samwise_ros.config import ModelConfig
from samwise_ros.model import key_map
from samwise_ros.model.checkpoint_check import (
    compare,
    mismatch_error,
    recognise_config,
    shapes_of,
    switched_off,
)
from samwise_ros.model.checkpoint_files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Kind,
    WeightFile,
    read_folder,
    read_weights,
    tokenizer_digest,
    write_folder,
)
from samwise_ros.model.checkpoint_parts import (
    fill_ris,
    roberta_part,
    sam2_part,
    tokenizer_for,
    with_token_types,
)
from samwise_ros.model.download import cache_dir, released_path, verify
from samwise_ros.model.frozen_parts import (
    check_frozen,
    frozen_files,
    frozen_prefixes,
    join_frozen,
)
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import PACKAGED_TOKENIZER, ExpressionTokenizer
from samwise_ros.model.wordpiece import WordPieceTokenizer
from samwise_ros.quality import with_quality
from samwise_ros.sizes import DEFAULT_MODEL, SIZES, model_config
from samwise_ros.structures import CheckpointError, ConfigError

PACKAGED_NANO = PACKAGED_TOKENIZER.parent / "nano"
_RANDOM_INIT = frozenset({
    "uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_",
    "xavier_uniform_", "xavier_normal_"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """Weights under our names, ready to be loaded strictly.

    Attributes:
        what: Where they come from, for messages.
        config: The model that they belong to.
        state: Our names to tensors.
        folder: Where tokeniser files may lie beside them.
        tokenizer_sha256: Digest of the tokeniser that they were trained with, if noted.
    """

    what: str
    config: ModelConfig
    state: dict[str, Tensor]
    folder: Path | None = None
    tokenizer_sha256: str | None = None


def build_model(config: ModelConfig, seed: int = 0) -> SamwiseModel:
    """A model with seeded random weights on the CPU, in eval mode.

    The global random state is left as it was. The same seed gives the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SamwiseModel(config)
    return model.eval()


def start_model(config: ModelConfig, seed: int = 0) -> SamwiseModel:
    """A new model to train: seeded weights, and the published ones of the parts that stay frozen.

    Raises CheckpointError for a frozen part that is not here.
    """
    return join_frozen(build_model(config, seed), start=True)


class _NoRandomInit(TorchFunctionMode):
    """Inside this context random initialisation is skipped; tensors keep what memory held."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        if func.__name__ in _RANDOM_INIT:  # Tensor methods, and functions of torch.nn.init
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def empty_model(config: ModelConfig) -> SamwiseModel:
    """A model in eval mode whose weights are arbitrary until they are loaded: quick to build."""
    with _NoRandomInit():
        return SamwiseModel(config).eval()


def load_model(name_or_path: str | Path = DEFAULT_MODEL, *, device: str | torch.device = "auto",
               tokenizer_dir: Path | str | None = None, seeded: bool = False, seed: int = 0,
               allow_ris: bool = False, sam2: Path | str | None = None,
               quality: str = "exact", **config_changes: Any) -> SamwiseModel:
    """A model ready to run: eval mode, no gradients, tokeniser set.

    Args:
        name_or_path: A size (nano, mini, tiny, small, base_plus, large), a released model (mevis,
            ytvos, ris), a released SAMWISE file, or a folder in our format.
        device: "auto" (CUDA where there is one, else CPU) or a torch device.
        tokenizer_dir: Folder with vocab.json and merges.txt, if not beside the weights.
        seeded: Use random weights from `seed` instead of loading; `name_or_path` is then a size.
        seed: For `seeded`, and for what `allow_ris` fills.
        allow_ris: Accept the RIS pre-training checkpoint and fill exactly what it lacks: the
            object-score head from `sam2` (seeded without it), HSA always seeded.
        sam2: SAM 2.0 file, only for `allow_ris`.
        quality: A preset of `samwise_ros.quality`.
        config_changes: Fields of `ModelConfig` to change after that, e.g. `image_size=512`,
            `cme={"enabled": False}`. Parts switched off here may be in the file.

    Raises CheckpointError for weights that are absent, unreadable or do not fit, ConfigError for a
    bad change or an absent device.
    """
    target = resolve_device(device)
    if seeded:
        config = with_quality(model_config(str(name_or_path)), quality).replace(**config_changes)
        weights = None
        model = start_model(config, seed)
        _log.warning("model %r has seeded random weights: its masks mean nothing", config.name)
    else:
        weights = find_weights(name_or_path)
        weights = replace(weights, config=with_quality(weights.config, quality))
        model = model_from_weights(weights, seed=seed, allow_ris=allow_ris, sam2=sam2,
                                   **config_changes)
    model.tokenizer = _weights_tokenizer(model.config, weights, tokenizer_dir)
    return model.requires_grad_(False).to(target)


def find_weights(name_or_path: str | Path) -> Weights:
    """Read weights by name or path; see `load_model`. Raises CheckpointError."""
    name, path = str(name_or_path), Path(name_or_path)
    released = released_path(name)
    if name not in SIZES and released is None:  # a name wins over a path: write ./tiny for a path
        if path.is_dir():
            return _folder_weights(path)
        if path.is_file():
            return official_weights(read_weights(path))
    if released is not None and released.is_file():
        verify(released)
        return official_weights(read_weights(released))
    folder = folder_of_size(name)
    if folder is not None:
        return _folder_weights(folder)
    raise CheckpointError(_how_to_get(name, released))


def folder_of_size(name: str) -> Path | None:
    """Where weights of a size lie that are found by its name: in the cache, or in the package."""
    places = (cache_dir() / name, PACKAGED_NANO.parent / name)
    return next((place for place in places
                 if name in SIZES and (place / CONFIG_FILE).is_file()), None)


def _how_to_get(name: str, released: Path | None) -> str:
    if released is not None:
        return (f"the released model {name!r} is not here (looked for {released}): run "
                f"`samwise checkpoint download {name}`, or put the file there")
    if name in SIZES:
        return (f"no weights of size {name!r} at hand: give the path of a released SAMWISE file or "
                "of a converted folder (`samwise checkpoint convert FILE --out "
                f"{cache_dir() / name}` "
                "makes the name work), or ask for random weights with seeded=True")
    return (f"no such model: {name!r} is neither a file, a folder, a size ({', '.join(SIZES)}) nor "
            "a released model (mevis, ytvos, ris)")


def _folder_weights(path: Path) -> Weights:
    folder = read_folder(path)
    check_frozen(folder.config, folder.about.get("frozen", {}), str(path))
    return Weights(str(path / WEIGHTS_FILE), folder.config, folder.read_state(), path,
                   folder.about.get("tokenizer_sha256"))


def official_weights(file: WeightFile) -> Weights:
    """A released SAMWISE file under our names, its size recognised. Raises CheckpointError."""
    if file.kind is not Kind.SAMWISE:
        hint = {
            Kind.SAM2: "it holds the image part only; to train from scratch: `samwise checkpoint "
                       "convert --sam2 FILE --roberta FILE`",
            Kind.SAM21: "SAMWISE is built on SAM 2.0 (files of 072824), not on 2.1",
            Kind.OWN: f"its folder with {CONFIG_FILE} is needed: give the folder",
        }.get(file.kind, "expected a SAMWISE checkpoint")
        raise CheckpointError(f"{file.path} is a {file.kind.value}: {hint}")
    state = key_map.map_official(file.state)
    config = recognise_config(shapes_of(state), str(file.path))
    return Weights(str(file.path), config, with_token_types(state), file.path.parent)


def model_from_weights(weights: Weights, *, seed: int = 0, allow_ris: bool = False,
                       sam2: Path | str | None = None, **config_changes: Any) -> SamwiseModel:
    """Build the model that the weights belong to, with changes, and load it strictly."""
    config = weights.config.replace(**config_changes)
    model = build_model(config, seed) if allow_ris else empty_model(config)
    state = weights.state
    if allow_ris:
        state = fill_ris(state, model.state_dict(), seed, sam2)
    load_strict(model, state, weights.what, config_changes)
    return model


def load_strict(model: SamwiseModel, state: Mapping[str, Tensor], what: str,
                config_changes: Mapping[str, Any] | None = None) -> None:
    """Copy weights (our names) into a model; any difference stops with a CheckpointError.

    Frozen parts of the model are not in `state`, or left out: they come from where they are
    published.

    Args:
        model: Changed in place, in its own dtype.
        state: Must have exactly the model's names and shapes.
        what: Where the weights come from, for the message.
        config_changes: What the caller switched off here may be in `state`; it is left out.
    """
    frozen = frozen_prefixes(model.config)
    expected = shapes_of(own_state(model))
    off = switched_off(config_changes or {})
    state = {name: t for name, t in state.items()
             if name in expected or not (off(name) or name.startswith(frozen))}
    file = shapes_of(state)
    difference = compare(file, expected)
    if difference:
        raise mismatch_error(what, file, expected, difference, model.config)
    model.load_state_dict(state, strict=not frozen)
    join_frozen(model)


def load_parts(config: ModelConfig, sam2: Path | str, roberta: Path | str,
               seed: int = 0) -> SamwiseModel:
    """A model to train from scratch: SAM 2.0 and RoBERTa loaded, all that SAMWISE adds seeded.

    Raises CheckpointError when either part does not fit `config` exactly.
    """
    model = build_model(config, seed)
    parts = {**sam2_part(sam2), **roberta_part(roberta)}
    new = {name: tensor for name, tensor in model.state_dict().items()
           if not name.startswith((key_map.SAM, key_map.TEXT)) or ".project_" in name}
    score = {"predict_object_score": config.decoder.predict_object_score}
    load_strict(model, {**new, **parts}, f"{sam2} with {roberta}", {"decoder": score})
    return model


def own_state(model: SamwiseModel) -> dict[str, Tensor]:
    """The weights of a model less those of its frozen parts: what was trained, what ships."""
    frozen = frozen_prefixes(model.config)
    return {name: tensor for name, tensor in model.state_dict().items()
            if not name.startswith(frozen)}


def save_model(model: SamwiseModel, folder: Path | str, *, dtype: str = "fp32",
               source: str | None = None) -> Path:
    """Write a model, its configuration and its tokeniser as a folder that `load_model` reads.

    Frozen parts, their tokeniser included, are noted by digest and not written.
    """
    frozen = {file.what: {"sha256": file.sha256, "package": file.package,
                          "licence": file.licence} for file in frozen_files(model.config)}
    tokenizer = None if frozen else getattr(model.tokenizer, "folder", None)
    return write_folder(folder, model.config, own_state(model), dtype=dtype,
                        tokenizer_dir=tokenizer, source=source, frozen=frozen)


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """A torch device that exists here. Raises ConfigError otherwise."""
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(
            f"device: expected auto, cpu, cuda or cuda:N, got {device!r}") from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device: {device} is not here; this machine and this torch offer "
            f"{torch.cuda.device_count()} CUDA devices (auto falls back to the CPU)")
    try:
        torch.zeros(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device: {device} is not usable here ({error})") from error
    return resolved


def _weights_tokenizer(config: ModelConfig, weights: Weights | None,
                       given: Path | str | None,
                       ) -> ExpressionTokenizer | WordPieceTokenizer:
    """The tokeniser for `weights` (None: random ones), checked against the digest they note."""
    # Random weights make no sense of any ids, so any tokeniser that fits will do.
    tokenizer = tokenizer_for(config, given, weights.folder if weights else PACKAGED_TOKENIZER)
    noted = weights.tokenizer_sha256 if weights else None
    if weights and noted is not None and tokenizer_digest(tokenizer.folder) != noted:
        raise CheckpointError(f"{weights.what} was trained with another tokeniser than the one in "
                              f"{tokenizer.folder}")
    return tokenizer
