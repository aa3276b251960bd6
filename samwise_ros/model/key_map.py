"""Names of weights: official SAMWISE, fairseq and HF RoBERTa, SAM 2 -> ours, and back.

Ours equal the official ones except for the text encoder, which is an HF `RobertaModel` here and a
fairseq encoder there (docs/model.md, 5.2). Everything works on names alone; no tensor is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from samwise_ros.structures import CheckpointError

SAM = "sam."
TEXT = "text_encoder.roberta."
FAIRSEQ = "text_encoder.model.encoder.sentence_encoder."
TOKEN_TYPES = TEXT + "embeddings.token_type_embeddings.weight"  # zeros here, absent there

# In the official file but without any use: constants, and the language-model head.
_UNUSED = re.compile(
    r"^text_encoder\.(_float_tensor$|model\.encoder\.(sentence_encoder\.version$|lm_head\.))")

_NAMES = {
    "embed_tokens": "embeddings.word_embeddings",
    "embed_positions": "embeddings.position_embeddings",
    "layernorm_embedding": "embeddings.LayerNorm",
    "emb_layer_norm": "embeddings.LayerNorm",  # spelling of the 2019 files
    # of a layer
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}
_NAMES_BACK = {ours: theirs for theirs, ours in _NAMES.items() if theirs != "emb_layer_norm"}

# Weights that RIS pre-training does not have (no object score, HSA off at T = 1).
_RIS_ABSENT = re.compile(
    r"^(sam\.no_obj_ptr$|sam\.sam_mask_decoder\.(obj_score_token|pred_obj_score_head)\."
    r"|cmt_adapters\.\d+\.(hsa\.|norm_pre_HSA\.|spatial_pos_embed$))")


def from_official(name: str) -> str | None:
    """Our name of an official state-dict entry; None for entries without any use.

    Raises CheckpointError for text-encoder entries that no known RoBERTa has.
    """
    if _UNUSED.match(name):
        return None
    if name.startswith(FAIRSEQ):
        return TEXT + _fairseq_to_hf(name.removeprefix(FAIRSEQ))
    if name.startswith("text_encoder.") and not name.startswith(TEXT):
        raise CheckpointError(f"unknown text-encoder entry {name!r}")
    return name


def to_official(name: str) -> str | None:
    """Official name of one of our entries; None for the token-type row, which they lack."""
    if name == TOKEN_TYPES:
        return None
    if not name.startswith(TEXT):
        return name
    return FAIRSEQ + _renamed(name.removeprefix(TEXT), "encoder.layer.", "layers.", _NAMES_BACK)


def _fairseq_to_hf(name: str) -> str:
    """Name inside a fairseq sentence encoder -> name inside HF `RobertaModel`."""
    return _renamed(name, "layers.", "encoder.layer.", _NAMES)


def _renamed(name: str, layers: str, new_layers: str, names: Mapping[str, str]) -> str:
    """Another name of an entry: of the number of its layer only what stands before it changes."""
    found = re.fullmatch(rf"({re.escape(layers)}\d+\.)?(.+)\.(weight|bias)", name)
    if not found or found[2] not in names:
        raise CheckpointError(f"unknown text-encoder entry {name!r}")
    layer = new_layers + found[1].removeprefix(layers) if found[1] else ""
    return f"{layer}{names[found[2]]}.{found[3]}"


def map_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official state dict (with or without `module.`) -> our names, unused entries dropped.

    Raises CheckpointError for unknown text-encoder entries.
    """
    mapped = {}
    for name, tensor in strip_module(state).items():
        ours = from_official(name)
        if ours is not None:
            mapped[ours] = tensor
    return mapped


def strip_module(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the `module.` that DistributedDataParallel puts before every name."""
    if state and all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return dict(state)


def map_sam2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SAM 2.0 state dict (entry `model` of the published file) -> our names."""
    return {SAM + name: tensor for name, tensor in state.items()}


def map_fairseq_roberta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of fairseq's RoBERTa `model.pt`, old or new spelling -> our names.

    Old files start with `decoder.` and fuse query, key and value in `in_proj_weight` / `_bias`.
    The language-model head is dropped. Raises CheckpointError for entries of another network.
    """
    mapped = {}
    for name, tensor in state.items():
        inner = re.sub(r"^(decoder|encoder)\.", "", name)
        if inner.startswith("lm_head.") or inner == "sentence_encoder.version":
            continue
        if not inner.startswith("sentence_encoder."):
            raise CheckpointError(f"not a fairseq RoBERTa: unknown entry {name!r}")
        inner = inner.removeprefix("sentence_encoder.")
        for part_name, part in _split_fused(inner, tensor):
            mapped[TEXT + _fairseq_to_hf(part_name)] = part
    return mapped


def _split_fused(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """`in_proj_weight` / `in_proj_bias` -> its query, key and value thirds; others unchanged."""
    fused = re.match(r"(.+\.)in_proj_(weight|bias)$", name)
    if not fused:
        return [(name, tensor)]
    return [(f"{fused[1]}{part}_proj.{fused[2]}", third)
            for part, third in zip("qkv", tensor.chunk(3), strict=True)]


def map_hf_roberta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """HF `RobertaModel` or `RobertaForMaskedLM` -> our names; pooler and head are dropped."""
    mapped = {}
    for name, tensor in state.items():
        inner = name.removeprefix("roberta.")
        if inner.startswith(("pooler.", "lm_head.")) or inner.endswith("position_ids"):
            continue
        # Files converted from TensorFlow name norms gamma and beta.
        inner = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", inner)
        inner = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", inner)
        mapped[TEXT + inner] = tensor
    return mapped


def absent_in_ris(name: str) -> bool:
    """Whether an entry (ours = official name) is missing from the RIS pre-training file."""
    return _RIS_ABSENT.match(name) is not None
