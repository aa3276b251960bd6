"""Constants are made once, and made anew whenever a weight has changed."""

import copy

import pytest
import torch
from model_builders import MICRO, make_model, pixels_of

from samwise_ros.model.constants import constant
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import Tokens

pytestmark = pytest.mark.usefixtures("one_thread")
TOKENS = Tokens(torch.tensor([[0, 30, 40, 2]]), torch.ones(1, 4, dtype=torch.bool))


def answer(model: SamwiseModel) -> torch.Tensor:
    """Masks of three frames: memory, HSA, feature pyramid and decoder have all run."""
    with torch.inference_mode():
        return model(pixels_of(MICRO, 3), TOKENS, causal=True).low_res


def test_a_constant_is_made_once_and_anew_after_a_write() -> None:
    layer, made = torch.nn.Linear(3, 3), []

    def make() -> torch.Tensor:
        made.append(1)
        return 2 * layer.weight

    with torch.no_grad():
        for _ in range(3):
            doubled = constant(layer, "doubled", (layer.weight,), make)
        assert len(made) == 1
        layer.weight.add_(1)
        assert torch.equal(constant(layer, "doubled", (layer.weight,), make), 2 * layer.weight)
        assert not torch.equal(doubled, 2 * layer.weight)
        layer.double()
        assert constant(layer, "doubled", (layer.weight,), make).dtype == torch.float64
    assert constant(layer, "doubled", (layer.weight,), make).requires_grad, "gradients go through"


def test_an_answer_after_loading_other_weights_is_that_of_a_new_model() -> None:
    model, other = make_model(MICRO, seed=1), make_model(MICRO, seed=2)
    first, wanted = answer(model), answer(other)
    model.load_state_dict(other.state_dict())
    assert torch.equal(answer(model), wanted) and not torch.equal(first, wanted)


def test_every_weight_still_changes_the_answer_after_a_first_frame() -> None:
    """Whatever is folded into a constant is noticed when it is written to in place."""
    model = make_model(MICRO, seed=1)
    before = answer(model)
    folded = ("proj_vis", "norm_pre_HSA", "hsa.self_attn.in_proj", "spatial_pos_embed", "conv_s0",
              "conv_s1", "neck.convs", "q_proj", "k_proj", "maskmem_tpos_enc",
              "gaussian_matrix")
    weights = {name: weight for name, weight in model.state_dict(keep_vars=True).items()
               if weight.is_floating_point()}
    for part in folded:
        name, weight = next((n, w) for n, w in weights.items() if part in n)
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.mul_(1.5).add_(0.1)
            fresh = copy.deepcopy(model)
        assert torch.equal(answer(model), answer(fresh)), name
        with torch.no_grad():
            weight.copy_(kept)
    assert torch.equal(answer(model), before)


def test_training_after_a_frame_has_gradients_everywhere() -> None:
    model = make_model(MICRO, seed=1)
    answer(model)
    model.requires_grad_(True)
    model(pixels_of(MICRO, 2), TOKENS, causal=True).low_res.sum().backward()
    for name in ("cmt_adapters.0.proj_vis_down.0.weight", "cmt_adapters.1.norm_pre_HSA.weight",
                 "sam.sam_mask_decoder.conv_s0.weight", "sam.maskmem_tpos_enc"):
        assert model.get_parameter(name).grad is not None, name
