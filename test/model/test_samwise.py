"""The whole network: options as data, any input size, training and streaming run the same steps."""

import dataclasses

import pytest
import torch
from model_builders import MICRO, TINY, make_frames, make_model, pixels_of

from samwise_ros.config import ModelConfig
from samwise_ros.model.features import CausalContext, extend_context
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.sizes import SIZES, model_config
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


def tokens_of(rows: int = 1, verbs: bool = False) -> Tokens:
    ids = torch.tensor([[0, 30, 41, 57, 2]] * rows) + torch.tensor([[0, 1, 1, 0, 0]]) \
        * torch.arange(rows)[:, None]
    marked = torch.zeros_like(ids, dtype=torch.bool)
    marked[:, 2] = verbs
    return Tokens(ids, torch.ones_like(marked), marked if verbs else None)


ABLATIONS = {
    "no CMT": {"cmt": {"enabled": False}}, "no HSA": {"cmt": {"hsa": False}},
    "no CME": {"cme": {"enabled": False}}, "all_mask": {"cme": {"switch_mode": "all_mask"}},
    "avg": {"cme": {"switch_mode": "avg"}}, "decision window": {"cme": {"decision_window": 1}},
    "no memory": {"memory": {"num_spatial": 0, "num_pointers": 0}},
    "few memories": {"memory": {"num_spatial": 4, "num_pointers": 1}},
    "no object score": {"decoder": {"predict_object_score": False}},
    "rectangle": {"fit": "rectangle"}, "conv stem": {"hiera": {"stem": "conv"}},
    "two adapters": {"cmt": {"fusion_stages": (2, 3), "hsa_patch_sides": (4, 2)},
                     "text": {"fusion_layers": (1, 2)}},
    "one early adapter": {"cmt": {"fusion_stages": (1,), "hsa_patch_sides": (8,)},
                          "text": {"fusion_layers": (2,)}},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_option_is_one_changed_field(
        tiny_tokenizer: ExpressionTokenizer, name: str) -> None:
    model = make_model(MICRO.replace(**ABLATIONS[name]), tiny_tokenizer)
    session = StreamingSession(model)
    session.submit("add:a: the red mug")
    for index, frame in enumerate(make_frames(8, 48, 64)):
        if index == 2:
            session.submit("add:b: duck")
        result = session.step(frame)
    assert [target.age for target in result.targets] == [7, 5]
    output = model(pixels_of(model.config, 6), tokens_of(2))
    assert output.low_res.shape == (2, 6, 16, 16) and output.low_res.isfinite().all()
    if name == "no CME":
        assert output.cme == ()


@pytest.mark.parametrize("fields", [{}, {"cmt": {"enabled": False}}])
def test_the_motion_prompt_reads_verbs_only(fields: dict) -> None:
    model = make_model(MICRO.replace(motion_prompt=True, **fields))
    pixels = pixels_of(MICRO, 1)
    one = model(pixels, tokens_of(1, verbs=True)).low_res
    none = model(pixels, dataclasses.replace(tokens_of(1, verbs=True),
                                             verbs=torch.zeros(1, 5, dtype=torch.bool))).low_res
    assert one.isfinite().all() and none.isfinite().all()
    assert not torch.allclose(one, none, atol=1e-5)


@pytest.mark.parametrize("image_size", [256, 384, 512, 768, 1024])
def test_every_published_input_size_builds_with_the_same_weights(image_size: int) -> None:
    model, other = make_model(MICRO), SamwiseModel(MICRO.replace(image_size=image_size))
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("size", [(256, 256), (64, 192), (192, 64)])
def test_a_larger_or_rectangular_input_runs(size: tuple[int, int]) -> None:
    config = MICRO.replace(image_size=max(size),
                           fit="pad" if size[0] == size[1] else "rectangle")
    out = make_model(config)(pixels_of(config, 2, size=size), tokens_of())
    assert out.low_res.shape == (1, 2, size[0] // 4, size[1] // 4)
    assert out.vision.shape == (1, 2, 64, size[0] // 16, size[1] // 16)


@pytest.mark.parametrize("name", SIZES)
def test_every_named_size_builds_and_adds_the_published_number_of_parameters(
        name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    linspace = torch.linspace  # sam2 reads numbers from one, which no meta tensor can give
    monkeypatch.setattr(torch, "linspace", lambda *args: linspace(*args, device="cpu"))
    with torch.device("meta"):
        model = SamwiseModel(model_config(name))
    published = {"tiny": 4_460_928, "base_plus": 4_576_064, "large": 4_806_336}
    added = sum(p.numel() for p in model.cmt_adapters.parameters())
    assert added == published.get(name, added)
    cme = sum(p.numel() for p in model.conditional_memory_encoder.parameters())
    assert cme == 331_394 or name in ("nano", "mini")


def test_training_frame_by_frame_runs_the_steps_of_streaming(tiny_model: SamwiseModel) -> None:
    """Causal training forward, eval weights: the same features and masks as steps by hand."""
    model, pixels, tokens = tiny_model, pixels_of(TINY, 9), tokens_of(2)
    output = model(pixels, tokens, causal=True)
    text, context, bank, evaluated = model.encode_text(tokens), None, MemoryBank(), []
    for t in range(9):
        encoded, new = model.encode(pixels[:, t : t + 1], text, context)
        context = extend_context(context, new, 7)
        features = encoded.frame(0)
        eligible = torch.zeros(2, dtype=torch.bool) if t > 4 else None
        out = model.segment_frame(features, bank, eligible, hide_absent=False)
        bank = bank.append(model.encode_memory(features.vision, out.memorised),
                           out.prediction.pointer, TINY.memory)
        torch.testing.assert_close(output.low_res[:, t], out.prediction.low_res,
                                   atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.object_scores[:, t], out.prediction.object_score,
                                   atol=1e-5, rtol=1e-4)
        if out.free is not None:
            evaluated.append(t)
    assert [record.frame for record in output.cme] == evaluated == [5, 6, 7, 8]


def test_joint_training_encodes_all_frames_at_once(tiny_model: SamwiseModel) -> None:
    pixels, tokens = pixels_of(TINY, 3), tokens_of()
    encoded, _ = tiny_model.encode(pixels, tiny_model.encode_text(tokens))
    output = tiny_model(pixels, tokens)
    torch.testing.assert_close(output.vision, encoded.vision)
    causal = tiny_model(pixels, tokens, causal=True)
    assert not torch.allclose(causal.vision[:, 0], output.vision[:, 0], atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_reach_every_part_that_is_trained(causal: bool) -> None:
    model = make_model(MICRO).requires_grad_(True)
    output = model(pixels_of(MICRO, 6), tokens_of(2), causal=causal)
    loss = output.low_res.square().mean() + output.object_scores.square().mean()
    loss = loss + sum(record.logits.square().mean() for record in output.cme)
    loss.backward()
    without = [name for name, p in model.named_parameters()
               if name.startswith(("cmt_adapters", "conditional_memory_encoder",
                                   "sam.sam_prompt_encoder.project_text", "sam.memory_attention"))
               and (p.grad is None or not p.grad.abs().sum() > 0)]
    unused = ["conditional_memory_encoder.transformerBlock.norm2.weight",
              "conditional_memory_encoder.transformerBlock.norm2.bias"]
    assert [name for name in without if not name.endswith("proj_text_up.0.weight")] == unused


def test_training_after_streaming_with_the_same_model(
        tiny_tokenizer: ExpressionTokenizer) -> None:
    """Validation between epochs runs in inference mode; it must leave nothing behind."""
    model = make_model(MICRO, tiny_tokenizer)
    session = StreamingSession(model)
    session.submit("mug")
    for frame in make_frames(7, 64, 64):
        session.step(frame)
    model.requires_grad_(True)
    model(pixels_of(MICRO, 6), tokens_of()).low_res.mean().backward()


def test_training_returns_raw_logits_where_the_target_is_absent() -> None:
    model = make_model(MICRO)
    head = model.sam.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.weight.data.zero_()
    head.bias.data.fill_(-3.0)
    assert model(pixels_of(MICRO, 2), tokens_of()).low_res.abs().max() < 1000
    encoded, _ = model.encode(pixels_of(MICRO, 1), model.encode_text(tokens_of()))
    out = model.segment_frame(encoded.frame(0), MemoryBank())
    assert (out.prediction.low_res == -1024).all() and (out.memorised == -1024).all()


def test_the_model_keeps_nothing_between_calls(tiny_model: SamwiseModel) -> None:
    pixels, tokens = pixels_of(TINY, 2), tokens_of()
    first = tiny_model(pixels, tokens).low_res
    tiny_model(pixels_of(TINY, 3, seed=9, size=(64, 128)), tokens_of(2))
    assert torch.equal(tiny_model(pixels, tokens).low_res, first)


def test_an_empty_context_is_no_context(tiny_model: SamwiseModel) -> None:
    text = tiny_model.encode_text(tokens_of())
    nothing = CausalContext((None,), (None, None))
    one, _ = tiny_model.encode(pixels_of(TINY, 1), text)
    two, _ = tiny_model.encode(pixels_of(TINY, 1), text, nothing)
    assert torch.equal(one.vision, two.vision)


@pytest.mark.parametrize("bad", [
    {"image_size": 100}, {"image_size": 0}, {"fit": "crop"}, {"cme": {"switch_mode": "never"}},
    {"memory": {"num_spatial": 7}}, {"memory": {"num_spatial": 0}}, {"hidden_dim": 100},
    {"cmt": {"hsa_patch_sides": (8, 4)}}, {"cmt": {"hsa_patch_sides": (5, 4, 2)}},
    {"text": {"fusion_layers": (4, 2, 1)}}, {"mask_threshold": 1.0}, {"nonsense": 1},
    {"cmt": {"fusion_stages": (3, 2, 1), "hsa_patch_sides": (2, 4, 8)}},
    {"hiera": {"global_att_blocks": (2,)}}])
def test_contradictory_configurations_are_refused_with_the_value(bad: dict) -> None:
    with pytest.raises(ConfigError, match=r"expected|known are|divide"):
        TINY.replace(**bad)


def test_a_configuration_survives_being_written_as_plain_values() -> None:
    assert ModelConfig.from_dict(TINY.to_dict()) == TINY
