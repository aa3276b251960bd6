"""The mask head gives what sam2's own decoder gives for its first mask, and the early token
besides."""

import pytest
import torch
from model_builders import TINY, make_model
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from torch import Tensor

from samwise_ros.config import ModelConfig
from samwise_ros.model.features import FrameFeatures
from samwise_ros.model.mask_head import predict_masks
from samwise_ros.model.precision import arithmetic
from samwise_ros.model.samwise import SamwiseModel

pytestmark = pytest.mark.usefixtures("one_thread")
DIM = TINY.hidden_dim


def features_of(rows: int, height: int = 6, width: int = 10, *, single: bool = False,
                motion: bool = False) -> FrameFeatures:
    generator = torch.Generator().manual_seed(rows)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    maps = 1 if single else rows
    return FrameFeatures(
        noise(rows, DIM, height, width), noise(maps, DIM // 8, 4 * height, 4 * width),
        noise(maps, DIM // 4, 2 * height, 2 * width), noise(rows, TINY.text.hidden_size),
        noise(rows, TINY.text.hidden_size) if motion else None)


def sam2_decoder(model: SamwiseModel) -> tuple[MaskDecoder, dict[str, Tensor]]:
    """sam2's decoder with the model's weights; a hook keeps the queries after its first layer."""
    config, seen = model.config, {}
    decoder = MaskDecoder(
        transformer_dim=DIM,
        transformer=TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=8,
                                      mlp_dim=config.decoder.feedforward),
        iou_head_hidden_dim=config.decoder.iou_hidden, use_high_res_features=True,
        iou_prediction_use_sigmoid=True, pred_obj_scores=config.decoder.predict_object_score,
        pred_obj_scores_mlp=config.decoder.predict_object_score,
        use_multimask_token_for_obj_ptr=True)
    decoder.load_state_dict(model.sam.sam_mask_decoder.state_dict())
    decoder.transformer.layers[0].register_forward_hook(
        lambda module, inputs, output: seen.update(early=output[0]))
    return decoder.eval(), seen


def sam2_prompts(model: SamwiseModel, features: FrameFeatures) -> Tensor:
    """Sparse prompt as sam2 makes it from one absent point, then the text (docs/model.md, 2.2)."""
    encoder, rows = model.sam.sam_prompt_encoder, features.cls.shape[0]
    absent = (torch.zeros(rows, 1, 2), -torch.ones(rows, 1, dtype=torch.int32))
    sparse, _ = encoder(points=absent, boxes=None, masks=None)
    prompts = [sparse, encoder.project_text(features.cls)[:, None]]
    if features.motion is not None:
        prompts.append(encoder.project_motion_prompts(features.motion)[:, None])
    return torch.cat(prompts, dim=1)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("config", [
    TINY, TINY.replace(decoder={"predict_object_score": False}),
    TINY.replace(motion_prompt=True)], ids=["plain", "no object score", "motion prompt"])
def test_mask_iou_score_pointer_and_early_token_are_sam2s(config: ModelConfig, rows: int) -> None:
    model = make_model(config)
    features = features_of(rows, motion=config.motion_prompt)
    decoder, seen = sam2_decoder(model)
    encoder = model.sam.sam_prompt_encoder
    size = features.vision.shape[-2:]
    dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(rows, -1, *size)
    masks, iou, tokens, score = decoder(
        image_embeddings=features.vision, image_pe=encoder.pe_layer(size)[None],
        sparse_prompt_embeddings=sam2_prompts(model, features), dense_prompt_embeddings=dense,
        multimask_output=False, repeat_image=False,
        high_res_features=[features.high0, features.high1])
    ours = predict_masks(model.sam, features, features.vision)
    torch.testing.assert_close(ours.low_res, masks[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.iou, iou[:, 0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.object_score, score[:, 0], atol=1e-6, rtol=1e-5)
    first_mask = 2 if config.decoder.predict_object_score else 1
    torch.testing.assert_close(ours.early, seen["early"][:, first_mask], atol=1e-6, rtol=1e-5)
    pointer = model.sam.obj_ptr_proj(tokens[:, 0])
    if config.decoder.predict_object_score:
        pointer = torch.where(score > 0, pointer, model.sam.no_obj_ptr)
    torch.testing.assert_close(ours.pointer, pointer, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("single", [False, True])
def test_two_passes_in_one_batch_equal_two_calls(
        tiny_model: SamwiseModel, rows: int, single: bool) -> None:
    features = features_of(rows, single=single)
    other = features_of(rows + 10).vision[:rows]
    both = predict_masks(tiny_model.sam, features, torch.cat((features.vision, other)))
    for part, vision in enumerate((features.vision, other)):
        alone = predict_masks(tiny_model.sam, features, vision)
        for name, value in vars(alone).items():
            joint = getattr(both, name)
            if name == "peak":
                assert joint is value is None, "masks of this model are not relative to their peak"
                continue
            assert joint.shape[0] == 2 * rows, name
            torch.testing.assert_close(joint[part * rows : (part + 1) * rows], value,
                                       atol=1e-5, rtol=1e-5)


def test_an_absent_target_gets_the_learnt_pointer(tiny_model: SamwiseModel) -> None:
    model = make_model(TINY)
    head = model.sam.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.weight.data.zero_()
    for bias, absent in ((-0.5, True), (0.0, True), (0.5, False)):
        head.bias.data.fill_(bias)
        pointer = predict_masks(model.sam, features_of(2), features_of(2).vision).pointer
        same = torch.equal(pointer, model.sam.no_obj_ptr.expand_as(pointer))
        assert same is absent, f"object score {bias}"


def test_it_predicts_in_full_precision_beside_halves(tiny_model: SamwiseModel) -> None:
    features = features_of(2)
    rough = FrameFeatures(*(part if part is None else part.bfloat16()
                            for part in vars(features).values()))
    full = predict_masks(tiny_model.sam, features, features.vision)
    with arithmetic(torch.device("cpu"), "bf16"):
        halves = predict_masks(tiny_model.sam, features, features.vision)
        rounded = predict_masks(tiny_model.sam, rough, rough.vision)
    for name in ("low_res", "object_score", "iou", "pointer", "early"):
        assert torch.equal(getattr(full, name), getattr(halves, name))
        assert getattr(rounded, name).dtype == torch.float32
