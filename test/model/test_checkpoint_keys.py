"""Every official name has its place in our model, and every weight of ours has an official name."""

import json
from pathlib import Path

import pytest
import torch

from samwise_ros.model import key_map
from samwise_ros.model.checkpoint import build_model, empty_model
from samwise_ros.model.checkpoint_check import compare, recognise_size, shapes_of
from samwise_ros.sizes import model_config
from samwise_ros.structures import CheckpointError


def official_shapes(shared_dir: Path, size: str) -> dict[str, tuple[int, ...]]:
    text = (shared_dir / "goldens" / f"official_keys_{size}.json").read_text(encoding="utf-8")
    return {name: tuple(info["shape"]) for name, info in json.loads(text)["keys"].items()}


@pytest.mark.parametrize("size", ["tiny", "base_plus"])
def test_every_official_key_maps_both_ways_with_its_shape(shared_dir: Path, size: str) -> None:
    official = official_shapes(shared_dir, size)
    ours = shapes_of(empty_model(model_config(size)).state_dict())
    mapped = {key_map.from_official(name): shape for name, shape in official.items()}
    unused = [name for name in official if key_map.from_official(name) is None]
    assert mapped.pop(None, None) is not None and len(mapped) == len(official) - len(unused)
    assert all("lm_head" in n or n.endswith(("_float_tensor", ".version")) for n in unused)
    difference = compare(mapped, ours)
    assert difference.missing == (key_map.TOKEN_TYPES,)
    assert not difference.unexpected and not difference.misshaped

    back = {key_map.to_official(name): shape for name, shape in ours.items()}
    assert back.pop(None) == ours[key_map.TOKEN_TYPES]
    assert back == {name: shape for name, shape in official.items() if name not in unused}


@pytest.mark.parametrize("size", ["tiny", "base_plus"])
def test_the_size_is_recognised_from_official_shapes(shared_dir: Path, size: str) -> None:
    assert recognise_size(official_shapes(shared_dir, size)) == size


def test_unknown_text_entries_are_refused() -> None:
    with pytest.raises(CheckpointError, match="layers.0.extra"):
        key_map.from_official(key_map.FAIRSEQ + "layers.0.extra.weight")
    with pytest.raises(CheckpointError, match="pooler"):
        key_map.to_official(key_map.TEXT + "pooler.dense.weight")


def fairseq_roberta(prefix: str, fused: bool) -> dict[str, torch.Tensor]:
    """A one-layer fairseq RoBERTa of width 4 in the old or the new spelling."""
    generator = torch.Generator().manual_seed(0)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    start = f"{prefix}.sentence_encoder."
    norm = "emb_layer_norm" if fused else "layernorm_embedding"
    weight, bias = tensor(12, 4), tensor(12)
    state = {start + "embed_tokens.weight": tensor(9, 4),
             start + "embed_positions.weight": tensor(6, 4),
             start + f"{norm}.weight": tensor(4), start + "layers.0.fc1.weight": tensor(8, 4),
             f"{prefix}.lm_head.bias": tensor(9)}
    if fused:
        state[start + "layers.0.self_attn.in_proj_weight"] = weight
        state[start + "layers.0.self_attn.in_proj_bias"] = bias
    else:
        for part, w, b in zip("qkv", weight.chunk(3), bias.chunk(3), strict=True):
            state[start + f"layers.0.self_attn.{part}_proj.weight"] = w
            state[start + f"layers.0.self_attn.{part}_proj.bias"] = b
    return state


def test_old_and_new_fairseq_spelling_give_the_same_weights() -> None:
    old = key_map.map_fairseq_roberta(fairseq_roberta("decoder", fused=True))
    new = key_map.map_fairseq_roberta(fairseq_roberta("encoder", fused=False))
    assert old.keys() == new.keys() and len(old) == 10
    assert all(torch.equal(old[name], new[name]) for name in old)
    query = old[key_map.TEXT + "encoder.layer.0.attention.self.query.weight"]
    assert torch.equal(query, fairseq_roberta("decoder", True)[
        "decoder.sentence_encoder.layers.0.self_attn.in_proj_weight"][:4])


def test_another_fairseq_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a fairseq RoBERTa"):
        key_map.map_fairseq_roberta({"encoder.layers.0.fc1.weight": torch.zeros(1)})


def test_hugging_face_files_lose_prefix_pooler_and_head() -> None:
    state = {"roberta.embeddings.LayerNorm.gamma": torch.ones(4),
             "roberta.embeddings.position_ids": torch.arange(3),
             "roberta.pooler.dense.weight": torch.ones(4, 4), "lm_head.bias": torch.ones(9)}
    assert list(key_map.map_hf_roberta(state)) == [key_map.TEXT + "embeddings.LayerNorm.weight"]


def test_the_prefix_of_distributed_training_is_dropped() -> None:
    state = {"module.sam.no_mem_embed": torch.ones(1)}
    assert list(key_map.map_official(state)) == ["sam.no_mem_embed"]


def test_what_ris_lacks_is_hsa_and_object_score_only() -> None:
    names = build_model(model_config("nano")).state_dict()
    absent = {name for name in names if key_map.absent_in_ris(name)}
    plain = build_model(model_config("nano", cmt={"hsa": False},
                                     decoder={"predict_object_score": False})).state_dict()
    assert absent == set(names) - set(plain)
