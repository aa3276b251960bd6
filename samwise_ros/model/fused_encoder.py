"""Image trunk and text encoder run side by side, with adapters between them, then the FPN.

Rounds follow docs/model.md, 1.5 (official models/samwise.py): all Hiera blocks of a
stage, then some RoBERTa layers, then the adapter. What does not depend on the expression is
computed once per frame and shared by its rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from torch import Tensor, nn

from samwise_ros.config import ModelConfig
from samwise_ros.model.cmt import CmtAdapter
from samwise_ros.model.motion_branch import MotionBranch, pair_frames
from samwise_ros.model.padding import PaddedStages, crop_size, embed_patches, zero_input
from samwise_ros.model.text_encoder import TextEncoder, TextState


@dataclass(frozen=True)
class CausalContext:
    """Projected frames that HSA and the text side still see while streaming.

    Attributes:
        shared: [B, K, h, w, E] of the first adapter: text-independent, one per camera. None: empty.
            E is 3D with HSA and D without (`CmtAdapter.project_frames`).
        rows: Per further adapter [N, K, h, w, E], one per target, or None.
    """

    shared: Tensor | None
    rows: tuple[Tensor | None, ...]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(t.nbytes for t in (self.shared, *self.rows) if t is not None)


def extend_context(old: CausalContext | None, new: CausalContext, limit: int) -> CausalContext:
    """Append the projections of new frames and keep the newest `limit` frames of each adapter."""

    def join(past: Tensor | None, present: Tensor | None) -> Tensor | None:
        if limit == 0 or present is None:
            return None
        joined = present if past is None else torch.cat((past, present), dim=1)
        return joined[:, -limit:]

    rows = (None,) * len(new.rows) if old is None else old.rows
    return CausalContext(join(None if old is None else old.shared, new.shared),
                         tuple(join(p, n) for p, n in zip(rows, new.rows, strict=True)))


@dataclass(frozen=True)
class SharedFeatures:
    """What all targets of one camera have in common on the frames of one call.

    Attributes:
        maps: Stage outputs [B*T, h, w, C] up to the first fusion stage, before its adapter.
        projected: [B, T, h, w, E] projection of the last map, None without adapters.
        attended: [B, T, h, w, D] after HSA, None without adapters.
        mean: [B, h, w, D] mean of the projection over the frames in sight, None without adapters.
        shape: (B, T).
    """

    maps: tuple[Tensor, ...]
    projected: Tensor | None
    attended: Tensor | None
    mean: Tensor | None
    shape: tuple[int, int]


@dataclass(frozen=True)
class FrameFeatures:
    """Decoder inputs of one frame.

    Attributes:
        vision: [N, C, h, w] stride-16 features.
        high0: [N or 1, C/8, 4h, 4w]. high1: [N or 1, C/4, 2h, 2w].
        cls: [N, Dt] text embedding of `<s>` after the last fusion; None: no text was read, and the
            decoder wants a prompt.
        motion: [N, Dt] mean text feature of the verbs, or None.
    """

    vision: Tensor
    high0: Tensor
    high1: Tensor
    cls: Tensor | None
    motion: Tensor | None

    def of_rows(self, clip_of_row: Tensor) -> FrameFeatures:
        """Features of one row per clip -> those of N rows: int64 [N] row -> clip."""
        vision, high0, high1 = (x[clip_of_row] for x in (self.vision, self.high0, self.high1))
        return FrameFeatures(vision, high0, high1, self.cls, self.motion)


@dataclass(frozen=True)
class Encoded:
    """Features of N rows over T frames; `frame(t)` gives one frame."""

    vision: Tensor  # [N, T, C, h, w]
    high0: Tensor  # [N or 1, T, C/8, 4h, 4w]
    high1: Tensor  # [N or 1, T, C/4, 2h, 2w]
    cls: Tensor | None  # [N, Dt]
    motion: Tensor | None  # [N, Dt]

    def frame(self, t: int) -> FrameFeatures:
        """Features of frame `t` of the call."""
        return FrameFeatures(self.vision[:, t], self.high0[:, t], self.high1[:, t], self.cls,
                             self.motion)


def _to_rows(x: Tensor, clip_of_row: Tensor | None, rows: int) -> Tensor:
    """[B, ...] -> [N, ...]: by index, or one camera's tensor repeated without a copy."""
    if clip_of_row is not None:
        return x[clip_of_row]
    return x.expand(rows, *x.shape[1:])


class FusedEncoder(nn.Module):
    """Runs the interleaved encoders of a model.

    The parts belong to the model, which registers them under their published names. Here they are
    only used: kept in a tuple, so that they are in the state dict once.
    """

    def __init__(self, config: ModelConfig, image_encoder: ImageEncoder, text_encoder: TextEncoder,
                 adapters: nn.ModuleList, high_convs: tuple[nn.Conv2d, nn.Conv2d],
                 motion_branch: MotionBranch | None = None) -> None:
        super().__init__()
        self.config = config
        self.fusion_stages = config.cmt.fusion_stages if config.cmt.enabled else ()
        self._parts = (image_encoder, text_encoder, adapters, high_convs, motion_branch)

    @property
    def trunk(self) -> Hiera:
        """The image trunk."""
        return self._parts[0].trunk

    @property
    def neck(self) -> FpnNeck:
        """The feature pyramid."""
        return self._parts[0].neck

    @property
    def text_encoder(self) -> TextEncoder:
        """Embeddings and layers of the text."""
        return self._parts[1]

    @property
    def adapters(self) -> nn.ModuleList:
        """One CMT adapter per fusion stage."""
        return self._parts[2]

    @property
    def motion_branch(self) -> MotionBranch | None:
        """What compares frames before the first adapter, if the model has it."""
        return self._parts[4]

    def encode_shared(self, pixels: Tensor, past: Tensor | None = None,
                      padding: PaddedStages | None = None) -> SharedFeatures:
        """Everything before the first expression-dependent operation.

        Args:
            pixels: [B, T, 3, S_h, S_w] normalised frames; with a motion branch [B, T, 6, S_h, S_w]
                pairs of `pair_frames`, or frames that are then paired among themselves.
            past: [B, K, h, w, E] context of the first adapter, or None.
            padding: From `padded_stages` for inputs of this size, or None.
        """
        shape = pixels.shape[:2]
        maps = self._early_maps(pixels[:, :, :3].flatten(0, 1), padding)
        if self.motion_branch is not None and self.fusion_stages:
            maps[-1] = maps[-1] + self._motion(pixels)
        if not self.fusion_stages:
            return SharedFeatures(tuple(maps), None, None, None, shape)
        projected, attended, mean = self.adapters[0].look_back(maps[-1].unflatten(0, shape), past)
        return SharedFeatures(tuple(maps), projected, attended, mean, shape)

    def _motion(self, pixels: Tensor) -> Tensor:
        """Frames or pairs [B, T, 3 or 6, H, W] -> motion map [B*T, H/16, W/16, C]."""
        if pixels.shape[2] == 3:
            pixels, _ = pair_frames(pixels, None, self.config.motion_lag)
        return self.motion_branch(pixels.flatten(0, 1))

    def padded_stages(self, resized: tuple[int, int],
                      padded: tuple[int, int]) -> PaddedStages | None:
        """What padding contributes to the early stages; None where there is nothing to save.

        Args:
            resized, padded: (height, width) of the frame in the input, and of the input.
        """
        size = crop_size(self.trunk, self._num_early, resized, padded)
        if size is None:
            return None
        zeros = zero_input(padded, self._parts[3][0].weight)
        return PaddedStages(*size, tuple(self._early_maps(zeros.flatten(0, 1), None)))

    @property
    def _num_early(self) -> int:
        """Stages that run before the first adapter acts."""
        return self.fusion_stages[0] + 1 if self.fusion_stages else 4

    def _early_maps(self, pixels: Tensor, padding: PaddedStages | None) -> list[Tensor]:
        whole = tuple(pixels.shape[-2:])
        v = embed_patches(self.trunk, pixels if padding is None else padding.crop(pixels), whole)
        maps = []
        for stage in range(self._num_early):
            v = self._run_stage(v, stage)
            maps.append(v if padding is None else padding.complete(v, stage))
        return maps

    def encode_rows(self, shared: SharedFeatures, text: TextState,
                    past: tuple[Tensor | None, ...], clip_of_row: Tensor | None = None,
                    ) -> tuple[Encoded, tuple[Tensor | None, ...]]:
        """The expression-dependent part.

        Args:
            shared: Result of `encode_shared` on the same frames.
            text: N rows after the layers before the first fusion.
            past: Per further adapter its context [N, K, h, w, E] or None.
            clip_of_row: int64 [N] row -> clip; None when B is 1, or N == B in the same order.

        Returns:
            The features, and per further adapter its projection [N, T, h, w, E] of these frames
            (None without adapters).
        """
        if not self.fusion_stages:
            return self._encode_without_fusion(shared, text, clip_of_row), (None,) * len(past)
        rows = text.hidden.shape[0]
        maps = list(shared.maps)
        v, attended, mean = (_to_rows(x, clip_of_row, rows) for x in (
            maps.pop().unflatten(0, shared.shape), shared.attended, shared.mean))
        projected: list[Tensor] = []
        first_layer = self.config.text.fusion_layers[0]
        for index, stage in enumerate(self.fusion_stages):
            adapter: CmtAdapter = self.adapters[index]
            if index == 0:
                dv, dt = adapter.fuse(attended, mean, text.hidden, text.mask)
            else:
                v = self._run_stages(v, self.fusion_stages[index - 1] + 1, stage, maps)
                last_layer = self.config.text.fusion_layers[index]
                text = self.text_encoder.run_layers(text, first_layer, last_layer)
                first_layer = last_layer
                dv, dt, frame = adapter(v, text.hidden, text.mask, past[index - 1])
                projected.append(frame)
            v, text = v + dv, text.with_hidden(text.hidden + dt)
            maps.append(v.flatten(0, 1))
        self._run_stages(v, self.fusion_stages[-1] + 1, 4, maps)
        text = self.text_encoder.run_layers(text, first_layer, self.config.text.num_layers)
        return self._decoder_inputs(maps, shared.shape, clip_of_row, text), tuple(projected)

    def with_past(self, shared: SharedFeatures, past: Tensor | None) -> SharedFeatures:
        """The same frames with other earlier frames in sight: only the first HSA runs again.

        Args:
            shared: Result of `encode_shared`.
            past: As there.
        """
        if shared.projected is None:
            return shared
        attended, mean = self.adapters[0].attend(shared.projected, past)
        return replace(shared, attended=attended, mean=mean)

    def _run_stage(self, v: Tensor, stage: int) -> Tensor:
        ends = self.trunk.stage_ends
        for block in self.trunk.blocks[ends[stage - 1] + 1 if stage else 0 : ends[stage] + 1]:
            v = block(v)
        return v

    def _run_stages(self, v: Tensor, first: int, last: int, maps: list[Tensor]) -> Tensor:
        """Run stages `first`..`last` on [N, T, h, w, C]; those before `last` have no adapter."""
        shape = v.shape[:2]
        for stage in range(first, min(last, 3) + 1):
            v = self._run_stage(v.flatten(0, 1), stage).unflatten(0, shape)
            if stage < last:
                maps.append(v.flatten(0, 1))
        return v

    def _encode_without_fusion(self, shared: SharedFeatures, text: TextState,
                               clip_of_row: Tensor | None) -> Encoded:
        """Ablation without CMT: image and text meet in the mask decoder only."""
        layers = self.config.text.fusion_layers[0], self.config.text.num_layers
        text = self.text_encoder.run_layers(text, *layers)
        return self._decoder_inputs(list(shared.maps), shared.shape, clip_of_row, text)

    def encode_plain(self, pixels: Tensor) -> Encoded:
        """Features of frames without any text: trunk and neck alone.

        Args:
            pixels: [B, T, 3 or 6, S_h, S_w] normalised frames, or pairs of which the first count.

        Returns:
            Features of one row per clip, without text.
        """
        size = tuple(pixels.shape[-2:])
        v = embed_patches(self.trunk, pixels[:, :, :3].flatten(0, 1), size)
        maps: list[Tensor] = []
        for stage in range(4):
            v = self._run_stage(v, stage)
            maps.append(v)
        return self._decoder_inputs(maps, tuple(pixels.shape[:2]), None, None)

    def _decoder_inputs(self, maps: list[Tensor], shape: tuple[int, int],
                        clip_of_row: Tensor | None, text: TextState | None) -> Encoded:
        """FPN on four stage outputs [M, h, w, C] (M = B*T where shared, N*T after a fusion)."""
        frames, rows = shape[1], shape[0] if text is None else text.hidden.shape[0]
        num_shared = self.fusion_stages[0] if self.fusion_stages else 4

        def split(x: Tensor, level: int) -> Tensor:
            x = x.permute(0, 3, 1, 2).unflatten(0, (-1, frames))
            # One camera's high-resolution maps stay single: the decoder's sums broadcast them.
            single = clip_of_row is None or shape[0] == 1
            return x if level >= num_shared or single else x[clip_of_row]

        top = F.interpolate(self._lateral(maps[3], 3).permute(0, 3, 1, 2), scale_factor=2.0,
                            mode="nearest")
        vision = split(self._lateral(maps[2], 2) + top.permute(0, 2, 3, 1), 2)
        return Encoded(vision.expand(rows, *vision.shape[1:]),
                       split(self._high_resolution(maps[0], 0), 0),
                       split(self._high_resolution(maps[1], 1), 1),
                       None if text is None else text.hidden[:, 0],
                       None if text is None else _verb_mean(text))

    def _lateral(self, v: Tensor, level: int) -> Tensor:
        """1x1 lateral convolution of the FPN on a channels-last map."""
        conv = self.neck.convs[len(self.neck.convs) - 1 - level].conv
        return F.linear(v, conv.weight.flatten(1), conv.bias)

    def _high_resolution(self, v: Tensor, level: int) -> Tensor:
        """FPN level without top-down term and the decoder's 1x1 convolution, as one product."""
        conv = self._parts[3][level]
        lateral = self.neck.convs[len(self.neck.convs) - 1 - level].conv
        outer = conv.weight.flatten(1)
        weight = outer @ lateral.weight.flatten(1)
        return F.linear(v, weight, outer @ lateral.bias + conv.bias)


def _verb_mean(text: TextState) -> Tensor | None:
    """[N, Dt] mean text feature of verb tokens (zero where a row has none), or None."""
    if text.verbs is None:
        return None
    weight = text.verbs.to(text.hidden.dtype).unsqueeze(-1)
    return (text.hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)
