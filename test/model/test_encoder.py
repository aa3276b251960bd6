"""The interleaved encoder: folded FPN, shared rows, context, and what padding contributes."""

import copy

import pytest
import torch
from model_builders import TINY, make_model, pixels_of

from samwise_ros.model.features import CausalContext, Encoded, extend_context
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, Tokens, stack_text

pytestmark = pytest.mark.usefixtures("one_thread")


def text_of(model: SamwiseModel, *sentences: str) -> TextState:
    return model.encode_text(model.tokenizer(list(sentences)))


def assert_close(one: Encoded, other: Encoded, tolerance: float = 1e-5) -> None:
    for name, value in vars(one).items():
        if value is not None:
            torch.testing.assert_close(value, getattr(other, name), atol=tolerance, rtol=1e-4)


def test_the_encoder_is_built_once_and_adds_nothing_to_the_weights(
        tiny_model: SamwiseModel) -> None:
    assert tiny_model.encoder is tiny_model.encoder
    assert not any(name.startswith("encoder.") for name in tiny_model.state_dict())
    copied = copy.deepcopy(tiny_model)
    assert copied.encoder.trunk is copied.sam.image_encoder.trunk is not tiny_model.encoder.trunk


@pytest.mark.parametrize("size", [(128, 128), (64, 192)])
def test_without_adapters_the_maps_are_those_of_sam2s_own_encoder(size: tuple[int, int]) -> None:
    model = make_model(TINY.replace(cmt={"enabled": False}))
    pixels = pixels_of(TINY, 2, size=size)
    tokens = Tokens(torch.tensor([[0, 30, 40, 2]]), torch.ones(1, 4, dtype=torch.bool))
    encoded, context = model.encode(pixels, model.encode_text(tokens))
    maps = model.sam.image_encoder(pixels[0])["backbone_fpn"]
    decoder = model.sam.sam_mask_decoder
    torch.testing.assert_close(encoded.vision[0], maps[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.high0[0], decoder.conv_s0(maps[0]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.high1[0], decoder.conv_s1(maps[1]), atol=1e-5, rtol=1e-5)
    hidden = model.text_encoder.roberta(tokens.ids).last_hidden_state
    torch.testing.assert_close(encoded.cls, hidden[:, 0], atol=1e-5, rtol=1e-5)
    assert context.shared == context.rows == ()


def test_the_rounds_follow_the_official_code(tiny_model: SamwiseModel) -> None:
    """docs/model.md, 1.5: all blocks of a stage, some text layers, the adapter, both residuals."""
    model, pixels = tiny_model, pixels_of(TINY, 3)
    tokens = model.tokenizer(["the red mug on the table"])
    trunk, roberta = model.sam.image_encoder.trunk, model.text_encoder.roberta
    v = trunk.patch_embed(pixels[0])
    v = v + trunk._get_pos_embed(v.shape[1:3])
    t = roberta.embeddings(input_ids=tokens.ids)
    stages, first_block, first_layer = [], 0, 0
    for stage, end in enumerate(trunk.stage_ends):
        for block in trunk.blocks[first_block : end + 1]:
            v = block(v)
        first_block = end + 1
        if stage > 0:
            last_layer = TINY.text.fusion_layers[stage - 1]
            for layer in roberta.encoder.layer[first_layer:last_layer]:
                t = layer(t)[0] if isinstance(layer(t), tuple) else layer(t)
            first_layer = last_layer
            adapter = model.cmt_adapters[stage - 1]
            x = adapter.project_down(v)[None]
            a = adapter.attend_time(x, x.shape[1])
            dv, dt = adapter.fuse(a, x.mean(dim=1), t, tokens.mask)
            v, t = v + dv[0], t + dt
        stages.append(v.permute(0, 3, 1, 2))
    maps, _ = model.sam.image_encoder.neck(stages)
    encoded, _ = model.encode(pixels, model.encode_text(tokens))
    decoder = model.sam.sam_mask_decoder
    torch.testing.assert_close(encoded.vision[0], maps[2], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoded.high0[0], decoder.conv_s0(maps[0]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoded.high1[0], decoder.conv_s1(maps[1]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoded.cls, t[:, 0], atol=1e-5, rtol=1e-4)


def test_rows_of_different_length_do_not_see_each_other(tiny_model: SamwiseModel) -> None:
    pixels = pixels_of(TINY, 2)
    sentences = ["mug", "the blue ball on the left side of the table", "the duck"]
    joint, _ = tiny_model.encode(pixels, text_of(tiny_model, *sentences))
    stacked, _ = tiny_model.encode(pixels, stack_text([text_of(tiny_model, s) for s in sentences]))
    assert_close(joint, stacked)
    for row, sentence in enumerate(sentences):
        alone, _ = tiny_model.encode(pixels, text_of(tiny_model, sentence))
        for name in ("vision", "high1", "cls"):
            torch.testing.assert_close(getattr(joint, name)[row : row + 1], getattr(alone, name),
                                       atol=1e-5, rtol=1e-4)


def test_high_resolution_maps_that_all_rows_share_are_kept_once(tiny_model: SamwiseModel) -> None:
    encoded, _ = tiny_model.encode(pixels_of(TINY, 1), text_of(tiny_model, "mug", "duck", "ball"))
    assert encoded.high0.shape[0] == 1
    assert encoded.high1.shape[0] == encoded.vision.shape[0] == 3


def test_rows_find_their_own_clip(tiny_model: SamwiseModel) -> None:
    clips = torch.cat([pixels_of(TINY, 2, seed) for seed in (1, 2)])
    text = text_of(tiny_model, "mug", "duck", "the ball")
    clip_of_row = torch.tensor([1, 0, 1])
    joint, _ = tiny_model.encode(clips, text, None, clip_of_row)
    for row, clip in enumerate(clip_of_row.tolist()):
        alone, _ = tiny_model.encode(clips[clip : clip + 1], text.select(torch.tensor([row])))
        for name in ("vision", "high0", "high1", "cls"):
            torch.testing.assert_close(getattr(joint, name)[row], getattr(alone, name)[0],
                                       atol=1e-5, rtol=1e-4)


def test_the_first_adapters_context_equals_encoding_the_clip_anew(
        tiny_model: SamwiseModel) -> None:
    """docs/model.md, 4.2: exact at the first adapter, whose input does not depend on time."""
    pixels = pixels_of(TINY, 5)
    clip = tiny_model.encode_shared(pixels)
    context = None
    for t in range(5):
        step = tiny_model.encode_shared(pixels[:, t : t + 1],
                                        None if context is None else context.shared)
        context = extend_context(context, CausalContext(step.kept, ()), 7)
    (look,), (whole,) = step.looks, clip.looks
    torch.testing.assert_close(look.attended[:, 0], whole.attended[:, 4], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(look.mean, whole.mean, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(context.shared, clip.kept, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_context_keeps_the_newest_frames(limit: int) -> None:
    context = None
    for t in range(5):
        frame = torch.full((1, 1, 2, 2, 4), float(t))
        new = CausalContext((frame,), (frame + 10,))
        context = extend_context(context, new, limit)
    if limit == 0:
        assert context.shared == context.rows == (None,)
        return
    expected = [float(t) for t in range(5)][-limit:]
    assert context.shared[0][0, :, 0, 0, 0].tolist() == expected
    assert context.rows[0][0, :, 0, 0, 0].tolist() == [t + 10 for t in expected]


@pytest.mark.parametrize("resized", [(73, 128), (128, 60), (40, 128), (127, 127), (20, 20)])
def test_padding_computed_once_gives_the_same_features(
        tiny_model: SamwiseModel, resized: tuple[int, int]) -> None:
    model = tiny_model
    pixels = pixels_of(TINY, 2)
    pixels[..., resized[0] :, :] = 0
    pixels[..., resized[1] :] = 0
    padding = model.encoder.padded_stages(resized, (128, 128))
    assert (padding is None) == (min(resized) > 96 - 3), "whole windows of 32 pixels, reach of 3"
    text = text_of(model, "mug")
    plain, _ = model.encode(pixels, text)
    saved, _ = model.encode(pixels, text, padding=padding)
    assert_close(saved, plain)
