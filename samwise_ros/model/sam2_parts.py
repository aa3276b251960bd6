"""SAM 2 put together from the `sam2` package, sized by our configuration.

`sam2.build_sam` is not used: it goes through Hydra and knows the published sizes only. The names of
all parameters are sam2's, so official state dicts fit.
"""

from __future__ import annotations

from functools import partial

from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import MLP

from samwise_ros.config import ModelConfig
from samwise_ros.model.grounding import NUM_EVIDENCE
from samwise_ros.model.mask_head import TargetMaskDecoder, TwoWayWithEarlyTokens
from samwise_ros.model.trunk import build_trunk


class Sam2(SAM2Base):
    """SAM 2.0 whose heads follow a `ModelConfig`, plus SAMWISE's text projections.

    Attributes:
        tracks: Whether the weights hold SAM 2's tracker (`ModelConfig.shown`).
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self.tracks = config.shown == "sam2"
        super().__init__(
            image_encoder=_image_encoder(config),
            memory_attention=_memory_attention(config),
            memory_encoder=_memory_encoder(config.hidden_dim, config.memory.dim),
            image_size=config.image_size, num_maskmem=7, directly_add_no_mem_embed=True,
            use_high_res_features_in_sam=True, use_obj_ptrs_in_encoder=True,
            add_tpos_enc_to_obj_ptrs=False, use_mlp_for_obj_ptr_proj=True,
            iou_prediction_use_sigmoid=True,
            pred_obj_scores=config.decoder.predict_object_score,
            pred_obj_scores_mlp=config.decoder.predict_object_score,
            fixed_no_obj_ptr=config.decoder.predict_object_score)

    def _build_sam_heads(self) -> None:
        """Replaces sam2's method, in which all widths but one are fixed."""
        config, dim = self._config, self.hidden_dim
        grid = config.image_size // 16
        self.sam_prompt_encoder = PromptEncoder(dim, (grid, grid), (config.image_size,) * 2, 16)
        projection = partial(MLP, config.text.hidden_size, dim, dim, 3)
        self.sam_prompt_encoder.project_text = projection()
        if config.motion_prompt:
            self.sam_prompt_encoder.project_motion_prompts = projection()
        if config.grounding.enabled:
            self.sam_prompt_encoder.project_evidence = MLP(NUM_EVIDENCE, dim, dim, 2)
            self.sam_prompt_encoder.score_evidence = MLP(NUM_EVIDENCE, 16, 1, 2)
        self.sam_mask_decoder = TargetMaskDecoder(
            relative_peak=config.decoder.relative_peak,
            transformer_dim=dim,
            transformer=TwoWayWithEarlyTokens(2, dim, 8, config.decoder.feedforward),
            iou_head_hidden_dim=config.decoder.iou_hidden, use_high_res_features=True,
            iou_prediction_use_sigmoid=True, pred_obj_scores=self.pred_obj_scores,
            pred_obj_scores_mlp=self.pred_obj_scores_mlp, use_multimask_token_for_obj_ptr=True)
        self.obj_ptr_proj = MLP(dim, dim, dim, 3)


def _image_encoder(config: ModelConfig) -> ImageEncoder:
    dim, trunk = config.hidden_dim, build_trunk(config)  # first: seeded weights keep their order
    neck = FpnNeck(_sine(dim), dim, list(config.channels[::-1]), fpn_top_down_levels=[2, 3],
                   fpn_interp_model="nearest")
    return ImageEncoder(trunk, neck, scalp=1)


def _sine(dim: int) -> PositionEmbeddingSine:
    return PositionEmbeddingSine(num_pos_feats=dim, normalize=True, warmup_cache=False)


def _memory_attention(config: ModelConfig) -> MemoryAttention:
    dim = config.hidden_dim
    attention = partial(RoPEAttention, embedding_dim=dim, num_heads=1, downsample_rate=1,
                        dropout=0.1, feat_sizes=(1, 1))
    layer = MemoryAttentionLayer(
        activation="relu", d_model=dim, dim_feedforward=config.memory.feedforward, dropout=0.1,
        pos_enc_at_attn=False, pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False, self_attention=attention(),
        cross_attention=attention(rope_k_repeat=True, kv_in_dim=config.memory.dim))
    return MemoryAttention(dim, True, layer, config.memory.attention_layers)


def _memory_encoder(dim: int, memory_dim: int) -> MemoryEncoder:
    return MemoryEncoder(
        out_dim=memory_dim, in_dim=dim, position_encoding=_sine(memory_dim),
        mask_downsampler=MaskDownSampler(embed_dim=dim, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(CXBlock(dim), num_layers=2))
