"""From features and a prompt to one mask, its object pointer and its early token.

Composes sam2's mask decoder. Two things differ from sam2: the tokens after the first two-way layer
are returned (the CME needs them), and one mask is decoded: that of token 0, which SAMWISE uses, or,
where SAM 2 tracks what it was shown, the best of the other three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from torch import Tensor, nn

from samwise_ros.model.colour_model import refine
from samwise_ros.model.constants import constant
from samwise_ros.model.features import FrameFeatures
from samwise_ros.model.map_regions import resized
from samwise_ros.model.precision import full_precision
from samwise_ros.model.prompts import VisualPrompt, embed_prompt

PEAK_GAIN = 3.0  # start value of the logit at the peak
PEAK_RATE = 0.1  # how fast a running peak follows a weaker one, per frame
NO_OBJECT_LOGIT = -1024.0  # sam2's NO_OBJ_SCORE: mask logit of an absent target


@dataclass(frozen=True)
class MaskPrediction:
    """One pass of the mask head over N rows.

    Attributes:
        low_res: [N, 4h, 4w] raw mask logits (stride 4 of the input).
        object_score: [N] logit that the target is visible; 10 without an object-score head.
        iou: [N] predicted IoU in [0, 1].
        pointer: [N, C] object pointer, `no_obj_ptr` where the target is absent.
        early: [N, C] mask token after the first two-way layer, not projected.
        peak: [N] running peak of the raw logits, where masks are relative to it; else None.
    """

    low_res: Tensor
    object_score: Tensor
    iou: Tensor
    pointer: Tensor
    early: Tensor
    peak: Tensor | None = None


class TwoWayWithEarlyTokens(TwoWayTransformer):
    """sam2's two-way transformer that also returns the queries after its first layer."""

    def forward(self, image_embedding: Tensor, image_pe: Tensor,
                point_embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image [N, C, h, w], its code [1, C, h, w], tokens [N, P, C] -> tokens, keys, early."""
        keys = image_embedding.flatten(2).transpose(1, 2)
        key_pe = image_pe.flatten(2).transpose(1, 2)
        queries, early = point_embedding, point_embedding
        for index, layer in enumerate(self.layers):
            queries, keys = layer(queries, keys, point_embedding, key_pe)
            if index == 0:
                early = queries
        attended = self.final_attn_token_to_image(
            q=queries + point_embedding, k=keys + key_pe, v=keys)
        return self.norm_final_attn(queries + attended), keys, early


class TargetMaskDecoder(MaskDecoder):
    """Mask decoder for one mask per row.

    Args:
        relative_peak: Logits count from their own peak, remembered over time.
        arguments: Of sam2's decoder.
    """

    def __init__(self, *, relative_peak: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.peak_gain = nn.Parameter(torch.tensor(PEAK_GAIN)) if relative_peak else None

    def from_peak(self, raw: MaskPrediction, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [N, 4h, 4w] relative to the peak, and the running peak [N] to remember.

        The peak is the mean of the highest percent. It follows a visible target down slowly and up
        at once, and stays while the target is absent, so that a lost target stays dark.

        Args:
            raw: What `predict_masks` found. past: [N] running peak of the frames before, or None.
        """
        assert self.peak_gain is not None  # the decoder was made with `relative_peak`
        flat = raw.low_res.flatten(1)
        top = flat.topk(max(1, flat.shape[1] // 100), dim=1).values.mean(dim=1).float()
        past = torch.full_like(top, NO_OBJECT_LOGIT) if past is None else past
        followed = torch.maximum(top, torch.lerp(past, top, PEAK_RATE))
        running = torch.where(raw.object_score > 0, followed, past)
        peak = torch.maximum(top, past)
        return raw.low_res - peak[:, None, None] + self.peak_gain, running

    def decode(self, vision: Tensor, position: Tensor, prompts: Tensor, dense: Tensor,
               high0: Tensor, high1: Tensor, best_of_three: bool = False,
               ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Run the decoder (docs/model.md, 2.2).

        Args:
            vision: [N, C, h, w]. position: [1, C, h, w]. prompts: [N, P, C].
            dense: Broadcastable to `vision`. high0, high1: [N or 1, ...] maps at 4 and 2 times
                the resolution of `vision`.
            best_of_three: Answer with whichever of masks 1 to 3 promises the highest IoU, as SAM 2
                does where it is unclear what is meant, instead of with mask 0.

        Returns:
            low-res logits [N, 4h, 4w], IoU [N], object score [N], mask token [N, C], early [N, C].
        """
        parts = [self.iou_token.weight, self.mask_tokens.weight]
        if self.pred_obj_scores:
            parts.insert(0, self.obj_score_token.weight)
        tokens = torch.cat(parts).expand(prompts.shape[0], -1, -1)
        first = int(self.pred_obj_scores)
        out, keys, early = self.transformer(
            vision + dense, position, torch.cat((tokens, prompts), dim=1))
        ious = self.iou_prediction_head(out[:, first])
        mask_token, iou = out[:, first + 1], ious[:, 0]
        kernels = self.output_hypernetworks_mlps
        kernel = kernels[0](mask_token)
        if best_of_three:
            rows, best = torch.arange(len(ious), device=ious.device), ious[:, 1:].argmax(dim=1)
            mask_token, iou = out[rows, first + 2 + best], ious[rows, 1 + best]
            kernel = torch.stack([each(mask_token) for each in kernels[1:]])[best, rows]
        upscaled = self._upscale(keys.transpose(1, 2).unflatten(2, vision.shape[-2:]), high0, high1)
        low_res = torch.einsum("nc,nchw->nhw", kernel, upscaled)
        score = torch.full_like(iou, 10.0)
        if self.pred_obj_scores:
            score = self.pred_obj_score_head(out[:, 0])[:, 0]
        return low_res, iou, score, mask_token, early[:, first + 1]

    def _upscale(self, x: Tensor, high0: Tensor, high1: Tensor) -> Tensor:
        up1, norm, act1, up2, act2 = self.output_upscaling
        x = act1(norm(up1(x) + high1))
        return act2(up2(x) + high0)


def predict_masks(sam: Any, features: FrameFeatures, vision: Tensor,
                  prompt: VisualPrompt | None = None) -> MaskPrediction:
    """Prompt the decoder with the text embedding, with what is shown, or with both.

    In fp32, whatever the precision of the rest: the border of a soft mask, and whether a doubtful
    target is there at all, hang on the last bits. In bf16, mini's masks lost .025 of IoU here.

    Args:
        sam: `Sam2` module.
        features: High-resolution maps and text embeddings of the rows [N].
        vision: [N or k*N, C, h, w] (memory-conditioned) features; several passes over the same rows
            may be stacked along the batch, whole pass after whole pass.
        prompt: What the N rows are shown, or None. Features without text need one.
    """
    with full_precision(vision.device):
        return _predicted(sam, features.full(), vision.float(), prompt)


def _predicted(sam: Any, features: FrameFeatures, vision: Tensor,
               prompt: VisualPrompt | None) -> MaskPrediction:
    encoder, grid = sam.sam_prompt_encoder, (vision.shape[-2], vision.shape[-1])
    # SAM 2 itself is what follows a target without a sentence; `training/follow.py` trains less.
    as_sam2 = features.cls is None and sam.tracks
    if prompt is None:
        assert features.cls is not None  # a text was read
        shown = encoder.not_a_point_embed.weight.expand(features.cls.shape[0], 2, -1)
        dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    else:
        shown, dense = embed_prompt(encoder, prompt, grid,
                                    sam.mask_downsample if as_sam2 else None)
    prompts = torch.cat((shown, *_said(encoder, features)), dim=1)
    passes = vision.shape[0] // prompts.shape[0]

    def repeat(x: Tensor) -> Tensor:
        return x if passes == 1 or x.shape[0] == 1 else x.repeat(passes, *[1] * (x.ndim - 1))

    position = constant(encoder, ("grid", grid),
                        (encoder.pe_layer.positional_encoding_gaussian_matrix,),
                        lambda: encoder.pe_layer(grid).unsqueeze(0))
    low_res, iou, score, token, early = sam.sam_mask_decoder.decode(
        vision, position, repeat(prompts), repeat(dense), repeat(features.high0),
        repeat(features.high1), as_sam2 and prompt is not None and prompt.is_ambiguous)
    if prompt is None and features.evidence is not None and sam.pred_obj_scores:
        # A noun that fits nowhere counts against the target, whatever the tokens have found.
        score = score + repeat(encoder.score_evidence(features.evidence))[:, 0]
    pointer = sam.obj_ptr_proj(token)
    if sam.pred_obj_scores:
        pointer = torch.where((score > 0)[:, None], pointer, sam.no_obj_ptr)
    return MaskPrediction(low_res, score, iou, pointer, early)


def add_maps(logits: Tensor, features: FrameFeatures, colour: float, said: bool) -> Tensor:
    """Mask logits [k*N, 4h, 4w] of k passes with what the noun's map and colours say.

    Args:
        logits: Of passes over the rows of `features`, whole pass after whole pass.
        features: With `spread` and `colours` where the model has them.
        colour: `DecoderConfig.colour`.
        said: The rows are told by a sentence alone: the map counts.
    """
    if features.spread is not None and said:
        added = resized(features.spread[:, None], (logits.shape[-2], logits.shape[-1]))[:, 0]
        logits = logits + added.repeat(len(logits) // len(added), 1, 1)
    return logits if features.colours is None else refine(logits, features.colours, colour)


def _said(encoder: PromptEncoder, features: FrameFeatures) -> list[Tensor]:
    """Tokens [N, 1, C]: the sentence, and its verbs and evidence where the features have them."""
    if features.cls is None:
        return []
    said = [encoder.project_text(features.cls)]
    if features.motion is not None:
        said.append(encoder.project_motion_prompts(features.motion))
    if features.evidence is not None:
        said.append(encoder.project_evidence(features.evidence))
    return [token.unsqueeze(1) for token in said]
