"""Weights are loaded exactly or not at all, from every published format, without running code."""

import argparse
import collections
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from model_builders import TINY, make_model
from torch import Tensor

from samwise_ros.config import ModelConfig
from samwise_ros.model import key_map
from samwise_ros.model.checkpoint import (
    build_model,
    load_model,
    load_parts,
    resolve_device,
    save_model,
)
from samwise_ros.model.checkpoint_files import read_folder
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.sizes import model_config
from samwise_ros.structures import CheckpointError, ConfigError

# A small size that is recognised like a published one stands in for the large ones here.
SIZE = "nano"
CMT_PREFIX = "cmt_adapters.0."


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def nano() -> SamwiseModel:
    return make_model(model_config(SIZE), seed=3)


@pytest.fixture(scope="module")
def official(nano: SamwiseModel) -> dict[str, Tensor]:
    """State dict of a model under its official names, with the entries that nobody uses."""
    state = {key_map.to_official(name): tensor for name, tensor in nano.state_dict().items()}
    state.pop(None)
    embedding = state[key_map.FAIRSEQ + "embed_tokens.weight"]
    return {**state, "text_encoder._float_tensor": torch.zeros(1),
            key_map.FAIRSEQ + "version": torch.tensor([3.0]),
            "text_encoder.model.encoder.lm_head.weight": embedding}


@pytest.fixture
def tokenizer_dir(tiny_tokenizer: ExpressionTokenizer) -> Path:
    return tiny_tokenizer.folder


def assert_same_weights(model: SamwiseModel, expected: SamwiseModel) -> None:
    ours, theirs = model.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def load(path: Path, tokenizer_dir: Path, **options: Any) -> SamwiseModel:
    return load_model(path, device="cpu", tokenizer_dir=tokenizer_dir, **options)


@pytest.mark.parametrize(("legacy", "prefix", "bare"), [
    (True, "", False), (True, "module.", True), (False, "module.", False), (False, "", True)])
def test_a_released_file_loads_in_every_form(
        tmp_path: Path, nano: SamwiseModel, official: dict[str, Tensor], tokenizer_dir: Path,
        legacy: bool, prefix: str, bare: bool) -> None:
    state = {prefix + name: tensor for name, tensor in official.items()}
    training = {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
                "lr_scheduler": {"milestones": collections.Counter({2: 1})}, "epoch": 5,
                "args": argparse.Namespace(HSA=True, lr=1e-4, HSA_patch_size=[8, 4, 2])}
    path = tmp_path / "released.pth"
    torch.save(state if bare else training, path, _use_new_zipfile_serialization=not legacy)
    model = load(path, tokenizer_dir)
    assert_same_weights(model, nano)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert model.tokenizer(["the red mug"]).ids.shape[0] == 1


class Payload:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_file_that_wants_to_run_code_is_refused(tmp_path: Path, legacy: bool) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save({"model": {"sam.x": torch.ones(1)}, "args": Payload(trace)}, path,
               _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="refused"):
        load_model(path)
    assert not trace.exists()


def write_official(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    path = tmp_path / "released.pth"
    torch.save({"model": state}, path)
    return path


def test_a_missing_entry_is_named(tmp_path: Path, official: dict[str, Tensor],
                                  tokenizer_dir: Path) -> None:
    name = CMT_PREFIX + "proj_text_up.0.weight"
    path = write_official(tmp_path, {n: t for n, t in official.items() if n != name})
    with pytest.raises(CheckpointError, match="incomplete") as caught:
        load(path, tokenizer_dir)
    assert f"{name} {list(official[name].shape)}" in str(caught.value)


def test_an_unexpected_entry_is_named(tmp_path: Path, official: dict[str, Tensor],
                                      tokenizer_dir: Path) -> None:
    path = write_official(tmp_path, {**official, "sam.surplus": torch.zeros(2, 3)})
    with pytest.raises(CheckpointError, match=r"sam\.surplus \[2, 3\]"):
        load(path, tokenizer_dir)


def test_a_wrong_shape_is_given_with_both_shapes(tmp_path: Path, official: dict[str, Tensor],
                                                 tokenizer_dir: Path) -> None:
    name = CMT_PREFIX + "spatial_pos_embed"
    path = write_official(tmp_path, {**official, name: torch.zeros(1, 1, 1, 25, 64)})
    with pytest.raises(CheckpointError, match="other patch sides") as caught:
        load(path, tokenizer_dir)
    assert f"{name}: [1, 1, 1, 25, 64] in the file, [1, 1, 1, 16, 64]" in str(caught.value)


def test_a_trunk_of_no_known_size_is_refused(tmp_path: Path, official: dict[str, Tensor],
                                             tokenizer_dir: Path) -> None:
    name = "sam.image_encoder.trunk.pos_embed"
    path = write_official(tmp_path, {**official, name: torch.zeros(1, 33, 7, 7)})
    with pytest.raises(CheckpointError, match="no size of SAMWISE"):
        load(path, tokenizer_dir)


def test_long_lists_of_names_are_cut(tmp_path: Path, official: dict[str, Tensor],
                                     tokenizer_dir: Path) -> None:
    path = write_official(tmp_path, {
        n: t for n, t in official.items() if not n.startswith("conditional_memory_encoder.")})
    with pytest.raises(CheckpointError, match=r"17 missing:[\s\S]*and 5 more"):
        load(path, tokenizer_dir)


def ris_file(tmp_path: Path, official: dict[str, Tensor]) -> Path:
    return write_official(tmp_path, {
        n: t for n, t in official.items() if not key_map.absent_in_ris(n)})


def test_the_ris_file_is_refused_unless_asked_for(
        tmp_path: Path, official: dict[str, Tensor], tokenizer_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="RIS pre-training.*allow_ris"):
        load(ris_file(tmp_path, official), tokenizer_dir)


def test_the_ris_file_runs_as_it_was_trained(
        tmp_path: Path, official: dict[str, Tensor], tokenizer_dir: Path) -> None:
    model = load(ris_file(tmp_path, official), tokenizer_dir, cmt={"hsa": False},
                 decoder={"predict_object_score": False})
    assert not model.config.cmt.hsa and not hasattr(model.sam, "no_obj_ptr")


def sam2_file(tmp_path: Path, nano: SamwiseModel, extra: dict[str, Tensor] | None = None) -> Path:
    state = {n.removeprefix("sam."): t for n, t in nano.state_dict().items()
             if n.startswith("sam.") and ".project_" not in n}
    torch.save({"model": {**state, **(extra or {})}}, tmp_path / "sam2.pt")
    return tmp_path / "sam2.pt"


@pytest.mark.parametrize("with_sam2", [True, False])
def test_allow_ris_fills_exactly_what_ris_lacks(
        tmp_path: Path, nano: SamwiseModel, official: dict[str, Tensor], tokenizer_dir: Path,
        caplog: pytest.LogCaptureFixture, with_sam2: bool) -> None:
    sam2 = sam2_file(tmp_path, nano) if with_sam2 else None
    with caplog.at_level(logging.WARNING):
        model = load(ris_file(tmp_path, official), tokenizer_dir, allow_ris=True, sam2=sam2, seed=7)
    seeded = build_model(model_config(SIZE), 7).state_dict()
    for name, tensor in model.state_dict().items():
        from_sam2 = with_sam2 and name.startswith("sam.")
        source = seeded if key_map.absent_in_ris(name) and not from_sam2 else nano.state_dict()
        assert torch.equal(tensor, source[name]), name
    assert "seed 7" in caplog.text and ("sam2.pt" in caplog.text) == with_sam2


def test_allow_ris_fills_nothing_else(tmp_path: Path, official: dict[str, Tensor],
                                      tokenizer_dir: Path) -> None:
    state = {n: t for n, t in official.items() if not key_map.absent_in_ris(n)}
    state.pop("sam.no_mem_embed")
    with pytest.raises(CheckpointError, match=r"1 missing:\s+sam\.no_mem_embed"):
        load(write_official(tmp_path, state), tokenizer_dir, allow_ris=True)


def test_parts_that_are_switched_off_may_be_in_the_file(
        tmp_path: Path, official: dict[str, Tensor], tokenizer_dir: Path) -> None:
    path = write_official(tmp_path, official)
    assert not load(path, tokenizer_dir, cmt={"hsa": False}).cmt_adapters[0].use_hsa
    assert load(path, tokenizer_dir, cmt={"enabled": False}).config.cmt.enabled is False
    assert load(path, tokenizer_dir, cme={"enabled": False}).config.cme.enabled is False


def test_a_motion_prompt_that_is_not_in_the_file_is_explained(
        tmp_path: Path, official: dict[str, Tensor], tokenizer_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="motion_prompt differs.*off"):
        load(write_official(tmp_path, official), tokenizer_dir, motion_prompt=True)


def hf_roberta(nano: SamwiseModel, folder: Path) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    state = {"roberta." + n.removeprefix(key_map.TEXT): t.clone()
             for n, t in nano.state_dict().items() if n.startswith(key_map.TEXT)}
    save_file(state, folder / "model.safetensors")
    return folder


def fairseq_roberta(official: dict[str, Tensor], path: Path) -> Path:
    """The text encoder as fairseq's 2019 file: `decoder.`, fused projections, a Namespace."""
    start = "text_encoder.model.encoder."
    state = {n.removeprefix(start): t for n, t in official.items() if n.startswith(start)}
    old = {}
    for name, tensor in state.items():
        name = name.replace("layernorm_embedding", "emb_layer_norm")
        if "self_attn.q_proj" in name:
            parts = [state[name.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            name, tensor = name.replace("q_proj.", "in_proj_"), torch.cat(parts)
        elif "self_attn.k_proj" in name or "self_attn.v_proj" in name:
            continue
        old["decoder." + name] = tensor
    torch.save({"args": argparse.Namespace(arch="roberta_base"), "model": old}, path,
               _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("form", ["hf", "fairseq"])
def test_a_start_for_training_is_put_together_from_sam2_and_roberta(
        tmp_path: Path, nano: SamwiseModel, official: dict[str, Tensor], form: str) -> None:
    roberta = (hf_roberta(nano, tmp_path / "hf") if form == "hf"
               else fairseq_roberta(official, tmp_path / "model.pt"))
    model = load_parts(model_config(SIZE), sam2_file(tmp_path, nano), roberta, seed=5)
    seeded = build_model(model_config(SIZE), 5).state_dict()
    for name, tensor in model.state_dict().items():
        loaded = name.startswith((key_map.SAM, key_map.TEXT)) and ".project_" not in name
        assert torch.equal(tensor, (nano.state_dict() if loaded else seeded)[name]), name


def test_sam21_is_told_apart(tmp_path: Path, nano: SamwiseModel) -> None:
    path = sam2_file(tmp_path, nano, {"no_obj_embed_spatial": torch.zeros(1, 64)})
    with pytest.raises(CheckpointError, match="SAM 2.1"):
        load_parts(model_config(SIZE), path, hf_roberta(nano, tmp_path / "hf"))
    with pytest.raises(CheckpointError, match="SAM 2.1"):
        load_model(path)


def test_a_bare_sam2_file_is_no_samwise_model(tmp_path: Path, nano: SamwiseModel) -> None:
    with pytest.raises(CheckpointError, match="image part only.*--roberta"):
        load_model(sam2_file(tmp_path, nano))


def test_a_part_of_another_size_is_refused(tmp_path: Path, nano: SamwiseModel) -> None:
    other: ModelConfig = model_config("nano", hiera={"stages": (1, 2, 4, 1)})
    with pytest.raises(CheckpointError, match=r"missing:[\s\S]*trunk\.blocks\.7\."):
        load_parts(other, sam2_file(tmp_path, nano), hf_roberta(nano, tmp_path / "hf"))


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", 0.0), ("fp16", 1e-3), ("bf16", 8e-3)])
def test_our_folder_restores_model_config_and_tokeniser(
        tmp_path: Path, tiny_tokenizer: ExpressionTokenizer, dtype: str, bound: float) -> None:
    model = make_model(TINY, tiny_tokenizer)
    save_model(model, tmp_path / "saved", dtype=dtype)
    loaded = load_model(tmp_path / "saved", device="cpu")
    assert loaded.config == TINY and loaded.tokenizer.folder == tmp_path / "saved"
    for name, tensor in loaded.state_dict().items():
        expected = model.state_dict()[name]
        assert tensor.dtype == expected.dtype
        assert (tensor - expected).abs().max() <= bound * (1 + expected.abs().max())
    assert not list((tmp_path / "saved").glob("*.part"))
    config = tmp_path / "saved" / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())  # as some editors save it
    assert read_folder(tmp_path / "saved").config == TINY
    modes = {file.stat().st_mode for file in (tmp_path / "saved").iterdir()}
    assert len(modes) == 1  # whoever may read the configuration may read the weights


def test_a_changed_option_reaches_the_loaded_model(
        tmp_path: Path, tiny_tokenizer: ExpressionTokenizer) -> None:
    save_model(make_model(TINY, tiny_tokenizer), tmp_path)
    assert load_model(tmp_path, image_size=192, fit="rectangle").config.image_size == 192


def test_a_foreign_tokeniser_is_noticed(
        tmp_path: Path, tiny_tokenizer: ExpressionTokenizer) -> None:
    save_model(make_model(TINY, tiny_tokenizer), tmp_path)
    merges = tmp_path / "merges.txt"
    merges.write_text(merges.read_text(encoding="utf-8") + "q z\n", encoding="utf-8")
    vocab = tmp_path / "vocab.json"
    text = vocab.read_text(encoding="utf-8").rstrip().removesuffix("}").rstrip()
    vocab.write_text(text + ',\n"qz": 399\n}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="another tokeniser"):
        load_model(tmp_path)


def test_a_vocabulary_that_is_too_large_is_refused(
        tmp_path: Path, shared_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="50265 ids"):
        load_model("nano", seeded=True, tokenizer_dir=shared_dir / "tokenizer" / "roberta-base")


def test_damaged_and_foreign_files_are_reported(tmp_path: Path, nano: SamwiseModel) -> None:
    path = sam2_file(tmp_path, nano)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged, incomplete"):
        load_model(path)
    safe = tmp_path / "x.safetensors"
    safe.write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(safe)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="no weights"):
        load_model(path)
    with pytest.raises(CheckpointError, match="not a samwise_ros model folder"):
        load_model(tmp_path)


def test_names_without_weights_say_how_to_get_them() -> None:
    with pytest.raises(CheckpointError, match="checkpoint convert.*seeded=True"):
        load_model("tiny")
    with pytest.raises(CheckpointError, match="samwise checkpoint download mevis"):
        load_model("mevis")
    with pytest.raises(CheckpointError, match="neither a file"):
        load_model("no_such_thing")


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state(
        tokenizer_dir: Path) -> None:
    before = torch.get_rng_state()
    first = load_model(SIZE, seeded=True, seed=4, tokenizer_dir=tokenizer_dir)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_weights(load_model(SIZE, seeded=True, seed=4, tokenizer_dir=tokenizer_dir), first)
    other = load_model(SIZE, seeded=True, seed=5, tokenizer_dir=tokenizer_dir)
    assert not torch.equal(first.sam.no_mem_embed, other.sam.no_mem_embed)


def test_absent_devices_are_named() -> None:
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="cuda:99"):
        resolve_device("cuda:99")
    with pytest.raises(ConfigError, match="expected auto"):
        resolve_device("toaster")
