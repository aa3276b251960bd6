"""The SAMWISE network: named steps on tensors, nothing kept between calls.

`encode` -> `segment_frame` -> `encode_memory` is one frame. Clip mode, streaming and training
compose the same steps; whoever calls owns memory and context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import ModelConfig
from samwise_ros.model.cme import ConditionalMemoryEncoder, replace_logits
from samwise_ros.model.cmt import CmtAdapter, Past
from samwise_ros.model.constants import constant
from samwise_ros.model.features import (
    CausalContext,
    Encoded,
    FrameFeatures,
    SharedFeatures,
    extend_context,
)
from samwise_ros.model.fused_encoder import FusedEncoder
from samwise_ros.model.grounding import Grounding
from samwise_ros.model.mask_head import NO_OBJECT_LOGIT, MaskPrediction, add_maps, predict_masks
from samwise_ros.model.matrices import use_matrices
from samwise_ros.model.memory_attention import attend_memory
from samwise_ros.model.memory_bank import MemoryBank, salient
from samwise_ros.model.motion_branch import MotionBranch, pair_frames
from samwise_ros.model.noun_finder import NounFinder, read_sentences
from samwise_ros.model.padding import PaddedStages
from samwise_ros.model.prompts import VisualPrompt
from samwise_ros.model.sam2_parts import Sam2
from samwise_ros.model.text_encoder import TextState, Tokens, build_text_encoder


@dataclass(frozen=True)
class Segmentation:
    """Result of one frame for N rows.

    Attributes:
        prediction: Pass with memory; `low_res` is -1024 where the object score says absent.
        free: Memory-less pass of the CME, or None when it did not run.
        high_res: [N, S_h, S_w] mask logits of `prediction` at input resolution.
        memorised: [N, S_h, S_w] mask logits for the memory encoder, after a switch if any.
        cme_logits: [N, 2] or None.
        switched: bool [N].
    """

    prediction: MaskPrediction
    free: MaskPrediction | None
    high_res: Tensor
    memorised: Tensor
    cme_logits: Tensor | None
    switched: Tensor


@dataclass(frozen=True)
class CmeRecord:
    """One frame on which the CME was evaluated during training.

    Attributes:
        frame: Index in the clip.
        logits: [N, 2] decision logits.
        with_memory, free: [N, S_h, S_w] raw mask logits with and without memory.
        free_scores: [N] object score of the memory-less pass.
    """

    frame: int
    logits: Tensor
    with_memory: Tensor
    free: Tensor
    free_scores: Tensor


@dataclass(frozen=True)
class ClipOutput:
    """What the losses need of a clip.

    Attributes:
        low_res: [N, T, 4h, 4w] raw mask logits. object_scores: [N, T] logits.
        cme: One record per frame on which the CME ran.
        vision: [N, T, C, h, w] stride-16 features before memory.
    """

    low_res: Tensor
    object_scores: Tensor
    cme: tuple[CmeRecord, ...]
    vision: Tensor


class SamwiseModel(nn.Module):
    """SAM 2, RoBERTa, CMT adapters and CME. See `samwise_ros.config.ModelConfig` for options."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.text_encoder = build_text_encoder(config.text)
        self.sam = Sam2(config)
        stages = config.cmt.fusion_stages
        matches = config.grounding.width if config.grounding.enabled else 0
        self.cmt_adapters = nn.ModuleList(
            CmtAdapter(config.cmt, config.channels[stage], config.text.hidden_size, side, narrow,
                       matches)
            for stage, side, narrow in zip(stages, config.cmt.hsa_patch_sides,
                                           config.cmt.narrow or (0,) * len(stages), strict=True))
        self.motion_branch = MotionBranch(config.channels[2]) if config.motion_lag else None
        self.grounding = Grounding(config) if config.grounding.enabled else None
        self.noun_finder = (NounFinder(config.text.hidden_size) if config.grounding.enabled
                            else None)
        self.conditional_memory_encoder = ConditionalMemoryEncoder(config.hidden_dim)
        decoder = self.sam.sam_mask_decoder
        self.encoder = FusedEncoder(config, self.sam.image_encoder, self.text_encoder,
                                    self.cmt_adapters, (decoder.conv_s0, decoder.conv_s1),
                                    self.motion_branch, self.grounding)
        self.tokenizer: Any = None  # set by load_model
        use_matrices(self)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.sam.no_mem_embed.device

    def encode_text(self, tokens: Tokens) -> TextState:
        """Text state after the layers before the first fusion; depends on the expression only.

        Args:
            tokens: On the host, where a GPU need not be waited for to know them, or the device.
        """
        if self.noun_finder is not None:
            return read_sentences(self.text_encoder, self.noun_finder, tokens)
        return self.text_encoder.encode_prefix(tokens.to(self.device))

    def pair_frames(self, pixels: Tensor,
                    earlier: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the encoder wants to see: the frames themselves, or pairs for a motion branch.

        Args:
            pixels: [B, T, 3, S_h, S_w]. earlier: What the last call returned, or None.

        Returns:
            Input of `encode` and `encode_shared`, and what the next call needs.
        """
        lag = self.config.motion_lag
        return pair_frames(pixels, earlier, lag) if lag else (pixels, None)

    def encode_shared(self, pixels: Tensor, past: Sequence[Past] | None = None,
                      padding: PaddedStages | None = None) -> SharedFeatures:
        """Text-independent part of the encoder; see `FusedEncoder.encode_shared`."""
        return self.encoder.encode_shared(pixels, past, padding)

    def encode(self, pixels: Tensor, text: TextState, context: CausalContext | None = None,
               clip_of_row: Tensor | None = None,
               padding: PaddedStages | None = None) -> tuple[Encoded, CausalContext]:
        """Encode frames for N rows.

        Args:
            pixels: [B, T, 3, S_h, S_w] normalised frames.
            text: N rows from `encode_text`.
            context: Earlier projected frames, or None (clip mode, first frame).
            clip_of_row: int64 [N] row -> clip; None when B is 1 or N == B in the same order.
            padding: Constant part of padded inputs (`FusedEncoder.padded_stages`), or None.

        Returns:
            Features, and the projections of these frames [.., T, h, w, D] to extend a context with.
        """
        past = context or CausalContext.empty(self.config.cmt)
        shared = self.encode_shared(pixels, past.shared, padding)
        encoded, projected = self.encoder.encode_rows(shared, text, past.rows, clip_of_row)
        return encoded, CausalContext(shared.kept, projected)

    def encode_plain(self, pixels: Tensor) -> Encoded:
        """Features without text, for targets that are shown; see `FusedEncoder.encode_plain`."""
        return self.encoder.encode_plain(pixels)

    def forward(self, pixels: Tensor, tokens: Tokens, clip_of_row: Tensor | None = None, *,
                causal: bool = False, run_cme: bool = True) -> ClipOutput:
        """Training pass over clips (docs/model.md, 6.2).

        Raw logits, gradients through the memory, no switching.

        Args:
            pixels: [B, T, 3, S_h, S_w], or pairs. tokens: N expressions.
            clip_of_row: int64 [N] expression -> clip; None when B is 1 or N == B in order.
            causal: Encode frame by frame with sliding context, exactly as streaming does, instead
                of all T frames at once.
            run_cme: Evaluate the CME on the frames that would be eligible.
        """
        text = self.encode_text(tokens)
        encoder = self._encode_causally if causal else self._encode_jointly
        bank, records, low_res, scores, vision = MemoryBank(), [], [], [], []
        run_cme = run_cme and self.config.cme.enabled
        for t, features in enumerate(encoder(pixels, text, clip_of_row)):
            eligible = None
            if run_cme and t > self.config.cme.decision_window:
                eligible = torch.zeros(len(tokens.ids), dtype=torch.bool, device=pixels.device)
            out = self.segment_frame(features, bank, eligible, hide_absent=False)
            if out.free is not None:
                records.append(self.cme_record(t, out))
            if t + 1 < pixels.shape[1]:
                memory = self.encode_memory(features.vision, out.memorised)
                bank = bank.append(memory, out.prediction.pointer, self.config.memory,
                                   out.prediction.peak)
            low_res.append(out.prediction.low_res)
            scores.append(out.prediction.object_score)
            vision.append(features.vision)
        stacked = (torch.stack(parts, dim=1) for parts in (low_res, scores, vision))
        low, score, maps = stacked
        return ClipOutput(low, score, tuple(records), maps)

    def _encode_jointly(self, pixels: Tensor, text: TextState,
                        clip_of_row: Tensor | None) -> Iterator[FrameFeatures]:
        encoded, _ = self.encode(pixels, text, None, clip_of_row)
        return (encoded.frame(t) for t in range(pixels.shape[1]))

    def _encode_causally(self, pixels: Tensor, text: TextState,
                         clip_of_row: Tensor | None) -> Iterator[FrameFeatures]:
        context = None
        for t in range(pixels.shape[1]):
            encoded, new = self.encode(pixels[:, t : t + 1], text, context, clip_of_row)
            context = extend_context(context, new, self.config.cmt.clip_window - 1)
            yield encoded.frame(0)

    def segment_frame(self, features: FrameFeatures, bank: MemoryBank,
                      cme_eligible: Tensor | None = None, *, hide_absent: bool = True,
                      prompt: VisualPrompt | None = None) -> Segmentation:
        """Predict masks of one frame.

        Args:
            features: Decoder inputs of N rows. bank: Memories of the same rows.
            cme_eligible: bool [N], rows that may switch; None: the CME does not run.
            hide_absent: Set mask logits to -1024 where the object score is not positive (inference;
                training keeps raw logits: docs/model.md, 2.2).
            prompt: What the rows are shown of their targets on this frame, beside their text if
                the features have any.
        """
        without_memory = features.vision + self.sam.no_mem_embed.reshape(1, -1, 1, 1)
        if bank.is_empty:
            passes = self._predict(features, without_memory, hide_absent, 1, bank.peak, prompt)
        else:
            conditioned = self._read_memory(features.vision, bank)
            if bank.known is not None:  # rows of their first frame have nothing to read
                conditioned = torch.where((bank.known > 0)[:, None, None, None], conditioned,
                                          without_memory)
            if cme_eligible is not None:
                conditioned = torch.cat((conditioned, without_memory))
            passes = self._predict(features, conditioned, hide_absent,
                                   1 if cme_eligible is None else 2, bank.peak, prompt)
        prediction = passes[0]
        high_res = self.upsample(prediction.low_res)
        if len(passes) == 1:
            switched = torch.zeros_like(prediction.object_score, dtype=torch.bool)
            found = self._memorised(prediction, high_res)
            memorised = found if prompt is None else prompt.memorise(found)
            return Segmentation(prediction, None, high_res, memorised, None, switched)
        logits = self.conditional_memory_encoder(prediction.pointer, passes[1].early)
        switched = (logits[:, 1] > logits[:, 0]) & cme_eligible
        replaced = replace_logits(high_res, self.upsample(passes[1].low_res),
                                  self.config.cme.switch_mode)
        memorised = torch.where(switched[:, None, None], replaced,
                                self._memorised(prediction, high_res))
        return Segmentation(prediction, passes[1], high_res, memorised, logits, switched)

    def _memorised(self, prediction: MaskPrediction, high_res: Tensor) -> Tensor:
        """Mask logits for memory: those relative to their peak say nothing of an absent target."""
        if not self.config.decoder.relative_peak:
            return high_res
        return torch.where((prediction.object_score > 0)[:, None, None], high_res, NO_OBJECT_LOGIT)

    def cme_record(self, frame: int, found: Segmentation) -> CmeRecord:
        """What the CME's loss needs of a frame on which both passes ran."""
        assert found.cme_logits is not None and found.free is not None  # both passes ran
        return CmeRecord(frame, found.cme_logits, found.high_res,
                         self.upsample(found.free.low_res), found.free.object_score)

    def encode_memory(self, vision: Tensor, memorised: Tensor) -> Tensor:
        """Spatial memory [N, h*w, Cm] of a frame (docs/model.md, 2.4).

        Args:
            vision: [N, C, h, w] raw (not memory-conditioned) features.
            memorised: [N, S_h, S_w] mask logits.
        """
        masks = (torch.sigmoid(memorised) * 20 - 10).unsqueeze(1)
        encoded = self.sam.memory_encoder(vision, masks, skip_mask_sigmoid=True)
        return encoded["vision_features"].flatten(2).transpose(1, 2)

    def upsample(self, low_res: Tensor) -> Tensor:
        """[N, 4h, 4w] -> [N, S_h, S_w], bilinear."""
        return F.interpolate(low_res[:, None].float(), scale_factor=4.0, mode="bilinear",
                             align_corners=False)[:, 0]

    def _predict(self, features: FrameFeatures, vision: Tensor, hide_absent: bool, passes: int,
                 peak: Tensor | None, prompt: VisualPrompt | None) -> list[MaskPrediction]:
        joint = predict_masks(self.sam, features, vision, prompt)
        low_res = joint.low_res
        peaks: tuple[Tensor | None, ...] = (None,) * passes
        if self.config.decoder.relative_peak:
            past = None if peak is None else peak.repeat(passes)
            low_res, running = self.sam.sam_mask_decoder.from_peak(joint, past)
            peaks = running.chunk(passes)
        low_res = add_maps(low_res, features, self.config.decoder.colour, prompt is None)
        if hide_absent and self.config.decoder.predict_object_score:
            low_res = torch.where((joint.object_score > 0)[:, None, None], low_res,
                                  NO_OBJECT_LOGIT)
        parts = zip(*(t.chunk(passes) for t in (low_res, joint.object_score, joint.iou,
                                                joint.pointer, joint.early)), peaks, strict=True)
        return [MaskPrediction(*part) for part in parts]

    def _read_memory(self, vision: Tensor, bank: MemoryBank) -> Tensor:
        """Condition features [N, C, h, w] on the bank (docs/model.md, 2.1)."""
        assert bank.spatial is not None and bank.pointers is not None  # the bank is not empty
        rows, _, height, width = vision.shape
        count, dim = bank.spatial.shape[1], bank.spatial.shape[3]
        places, position = None, self._memory_position(
            count, height, width, bank.keeps_first)
        kept = round(height * width * self.config.memory.kept)
        if kept < height * width:
            places = salient(bank.spatial, kept)
            at = places.unsqueeze(-1).expand(-1, -1, -1, dim)
            position = position.unflatten(1, (count, -1)).expand(rows, -1, -1, -1).gather(2, at)
            position, places = position.flatten(1, 2), places.flatten(1)
            bank = replace(bank, spatial=bank.spatial.gather(2, at))
        assert bank.spatial is not None and bank.pointers is not None
        pointers = bank.pointers.reshape(rows, -1, dim)  # each pointer becomes C / Cm tokens
        memory = torch.cat((bank.spatial.flatten(1, 2), pointers), dim=1)
        code = self.sam.image_encoder.neck.position_encoding(vision[:1])
        return attend_memory(self.sam.memory_attention, vision, code, memory,
                             F.pad(position, (0, 0, 0, pointers.shape[1])), pointers.shape[1],
                             bank.seen(), places)

    def _memory_position(self, count: int, height: int, width: int, keeps_first: bool) -> Tensor:
        """Codes [1, M*h*w, Cm] of place and age of `count` memories, oldest first."""
        ages = self.sam.maskmem_tpos_enc
        # Row r-1 of the table is for age r, the last for the frame that shows the target.
        rows = (*[len(ages) - 1] * keeps_first, *range(count - keeps_first - 1, -1, -1))

        def make() -> Tensor:
            sine = self.sam.memory_encoder.position_encoding(
                ages.new_empty(1, ages.shape[-1], height, width)).flatten(2).transpose(1, 2)
            oldest_first = torch.stack([ages[row] for row in rows]).reshape(count, 1, -1)
            return (sine + oldest_first).reshape(1, -1, ages.shape[-1])

        return constant(self.sam, ("memory position", rows, height, width), (ages,), make)
