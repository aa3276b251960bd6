"""What is trained, how fast, and how weights are averaged."""

import pytest
import torch
from model_builders import MICRO, make_model, pixels_of
from torch import nn

from samwise_ros.model.checkpoint import build_model
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.sizes import model_config
from samwise_ros.structures import ConfigError
from samwise_ros.training.optim import (
    WeightAverage,
    freeze_rest,
    learning_rate,
    make_optimizer,
    set_train_mode,
    trainable_names,
)
from samwise_ros.training.recipe import OptimSetup


def test_published_recipe_trains_adapters_cme_and_text_projection_only() -> None:
    names = trainable_names(build_model(MICRO), "adapters")
    tops = {name.split(".")[0] if not name.startswith("sam.") else name for name in names}
    projection = {name for name in tops if name.startswith("sam.")}
    assert tops - projection == {"cmt_adapters", "conditional_memory_encoder"}
    assert projection and all("sam_prompt_encoder.project_text" in name for name in projection)


def test_published_number_of_trained_parameters_for_base_plus() -> None:
    # Only frozen parts are made smaller: their depth and vocabulary do not matter here.
    model = build_model(model_config(
        "base_plus", hiera={"stages": (1, 1, 1, 1), "global_att_blocks": ()},
        text={"vocab_size": 300, "num_layers": 3, "fusion_layers": (1, 2, 3)}))
    assert freeze_rest(model, "adapters") == 5_235_906  # docs/model.md, 1.1


def test_motion_projection_is_not_trained_as_published() -> None:
    model = build_model(MICRO.replace(motion_prompt=True))
    assert not [name for name in trainable_names(model, "adapters") if "motion" in name]


def test_frozen_parts_are_taken_out_of_the_trained_set() -> None:
    model = build_model(MICRO)
    freeze_rest(model, "all", ["trunk.blocks.0."])
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen and all("trunk.blocks.0." in name for name in frozen)
    freeze_rest(model, "cme")
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained and all(name.startswith("conditional_memory_encoder") for name in trained)


@torch.no_grad()
def test_training_the_memory_leaves_the_pass_without_memory_as_it_is() -> None:
    model = make_model(MICRO)
    ids = torch.tensor([[0, 30, 40, 2]])
    tokens = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    pixels = pixels_of(MICRO, 3)
    before = model(pixels, tokens, causal=True, run_cme=False).low_res
    freeze_rest(model, "memory")
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.mul_(1.5)
    after = model(pixels, tokens, causal=True, run_cme=False).low_res
    assert torch.equal(before[:, 0], after[:, 0]) and not torch.allclose(before[:, 1], after[:, 1])


def test_nothing_left_to_train_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        freeze_rest(nn.Linear(2, 2), "cme")


def test_multistep_schedule_drops_at_the_milestone() -> None:
    setup = OptimSetup(lr=1e-4, milestones=(60000,))
    assert learning_rate(setup, 59999, 60200) == pytest.approx(1e-4)
    assert learning_rate(setup, 60000, 60200) == pytest.approx(1e-5)


def test_cosine_schedule_warms_up_and_ends_near_zero() -> None:
    setup = OptimSetup(lr=1.0, schedule="cosine", warmup=10)
    assert learning_rate(setup, 0, 110) == pytest.approx(0.1)
    assert learning_rate(setup, 9, 110) == pytest.approx(1.0)
    assert learning_rate(setup, 60, 110) == pytest.approx(0.5)
    assert learning_rate(setup, 110, 110) == pytest.approx(0.0)


def test_weight_decay_spares_vectors() -> None:
    optimizer = make_optimizer(nn.Linear(3, 2), OptimSetup(weight_decay=0.1))
    decays = {p.ndim: group["weight_decay"] for group in optimizer.param_groups
              for p in group["params"]}
    assert decays == {2: 0.1, 1: 0.0}
    single = make_optimizer(nn.Linear(3, 2), OptimSetup())
    assert len(single.param_groups) == 1  # as published


def test_slow_parts_get_their_share_of_the_rate() -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(3, 2), "head": nn.Linear(3, 2)})
    optimizer = make_optimizer(model, OptimSetup(slow=("trunk",), slow_rate=0.25))
    scales = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    assert {scales[id(p)] for p in model["trunk"].parameters()} == {0.25}
    assert {scales[id(p)] for p in model["head"].parameters()} == {1.0}


def test_average_follows_the_weights_with_a_growing_decay() -> None:
    model = build_model(MICRO)
    name, weight = "sam.no_mem_embed", model.sam.no_mem_embed
    nn.init.zeros_(weight)
    average = WeightAverage(model, 0.9)
    nn.init.ones_(weight)
    average.update(model)
    first = 1 - 2 / 11
    assert average.state[name].mean().item() == pytest.approx(first)
    average.update(model)
    assert average.state[name].mean().item() == pytest.approx(1 - (1 - first) * 3 / 12)


def test_dropout_and_batchnorm_follow_the_recipe() -> None:
    model = build_model(MICRO)
    set_train_mode(model, dropout=True, freeze_batchnorm=False)
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert max(rates) == pytest.approx(0.1) and norms and all(norm.training for norm in norms)
    set_train_mode(model, dropout=False, freeze_batchnorm=True)
    assert all(module.p == 0 for module in model.modules() if isinstance(module, nn.Dropout))
    assert all(adapter.hsa.dropout == 0 for adapter in model.cmt_adapters)
    assert model.training and not any(norm.training for norm in norms)
