"""Image trunk and text encoder run side by side, with adapters between them, then the FPN.

Rounds follow docs/model.md, 1.5 (official models/samwise.py): all Hiera blocks of a
stage, then some RoBERTa layers, then the adapter. What does not depend on the expression is
computed once per frame and shared by its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from torch import Tensor, nn

from samwise_ros.config import ModelConfig
from samwise_ros.model.cmt import CmtAdapter, Past
from samwise_ros.model.colour_model import mask_colours
from samwise_ros.model.constants import constant
from samwise_ros.model.features import Encoded, Look, SharedFeatures
from samwise_ros.model.grounding import Grounding, Seen, on_grids
from samwise_ros.model.map_regions import resized
from samwise_ros.model.matrices import Matrix
from samwise_ros.model.motion_branch import MotionBranch, pair_frames
from samwise_ros.model.padding import PaddedStages, zero_input
from samwise_ros.model.precision import full_precision
from samwise_ros.model.text_encoder import TextEncoder, TextState
from samwise_ros.model.trunk import Trunk


def _to_rows(x: Tensor, clip_of_row: Tensor | None, rows: int) -> Tensor:
    """[B, ...] -> [N, ...]: by index, or one camera's tensor repeated without a copy."""
    if clip_of_row is not None:
        return x[clip_of_row]
    return x.expand(rows, *x.shape[1:])


def _per_row(x: Any, clip_of_row: Tensor | None) -> Any:
    """[B, T, ...] -> [N, T, ...], or None for None.

    One camera's maps stay single: the decoder broadcasts them.
    """
    return x if x is None or clip_of_row is None or len(x) == 1 else x[clip_of_row]


def halved(pictures: Tensor) -> Tensor:
    """[M, C, H, W] at half the size: the mean of 2 x 2 pixels."""
    # Pooling takes four times as long on a CPU.
    return resized(pictures, (pictures.shape[-2] // 2, pictures.shape[-1] // 2))


class FusedEncoder(nn.Module):
    """Runs the interleaved encoders of a model.

    The parts belong to the model, which registers them under their published names. Here they are
    only used: kept in a tuple, so that they are in the state dict once.
    """

    def __init__(self, config: ModelConfig, image_encoder: ImageEncoder, text_encoder: TextEncoder,
                 adapters: nn.ModuleList, high_convs: tuple[nn.Conv2d, nn.Conv2d],
                 motion_branch: MotionBranch | None = None,
                 grounding: Grounding | None = None) -> None:
        super().__init__()
        self.config = config
        self.fusion_stages = config.cmt.fusion_stages if config.cmt.enabled else ()
        self._parts = (image_encoder, text_encoder, adapters, high_convs, motion_branch, grounding)

    @property
    def trunk(self) -> Trunk:
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
    def adapters(self) -> Sequence[CmtAdapter]:
        """One CMT adapter per fusion stage."""
        return cast("Sequence[CmtAdapter]", self._parts[2])

    @property
    def motion_branch(self) -> MotionBranch | None:
        """What compares frames before the first adapter, if the model has it."""
        return self._parts[4]

    @property
    def grounding(self) -> Grounding | None:
        """What compares nouns with the picture, if the model has it."""
        return self._parts[5]

    def encode_shared(self, pixels: Tensor, past: Sequence[Past] | None = None,
                      padding: PaddedStages | None = None,
                      maps: Sequence[Tensor] | None = None) -> SharedFeatures:
        """Everything before the first expression-dependent operation.

        Args:
            pixels: [B, T, 3, S_h, S_w] normalised frames; with a motion branch [B, T, 6, S_h, S_w]
                pairs of `pair_frames`, or frames that are then paired among themselves.
            past: What the adapters see that look back before text is read: contexts
                [B, K, h, w, D], or rings (`context_ring.RingView`).
            padding: From `padded_stages` for inputs of this size, or None.
            maps: What `trunk_maps` gave for the frames; None: it is run.
        """
        shape = (pixels.shape[0], pixels.shape[1])
        maps = list(self.trunk_maps(pixels, padding) if maps is None else maps)
        seen = self._look(pixels, maps)
        read = list(maps)  # what adapters read
        if self.motion_branch is not None and self.fusion_stages:
            read[2] = maps[2] + self._motion(pixels, maps[2].shape[1:3])
            if self.config.cmt.feedback:
                maps[2] = read[2]
        looks = tuple(
            Look(*self.adapters[index].look_back(
                read[self.fusion_stages[index]].unflatten(0, shape),
                None if past is None else past[index]))
            for index in range(self.config.cmt.shared_adapters))
        return SharedFeatures(tuple(maps), looks, seen, self._colours(pixels), shape)

    def _look(self, pixels: Tensor, maps: Sequence[Tensor]) -> Seen | None:
        """What nouns are compared with; None where they are not. Arguments of `encode_shared`."""
        if self.grounding is None or not self.fusion_stages:
            return None
        lite0: Any = self.trunk  # the trunk that grounding goes with
        with full_precision(maps[3].device):  # z-scores and ratios enlarge what was rounded
            coarse = None
            if self.config.grounding.coarse:
                half = halved(pixels[:, :, :3].flatten(0, 1))[:, None]
                coarse = lite0.semantic(self.trunk_maps(half, stages=4)[3])
            return self.grounding.look(lite0.semantic(maps[3]), maps[2], maps[1], coarse)

    def _colours(self, pixels: Tensor) -> Tensor | None:
        """[B, T, 3 or 6, H, W] -> [B, T, 3, 4h, 4w]; None where masks do without."""
        if self.config.decoder.colour == 0:
            return None
        return mask_colours(pixels[:, :, :3].flatten(0, 1)).unflatten(0, pixels.shape[:2])

    def _motion(self, pixels: Tensor, grid: Sequence[int]) -> Tensor:
        """Frames or pairs [B, T, 3 or 6, H, W] -> motion map [B*T, h, w, C] on the given grid."""
        assert self.motion_branch is not None
        if pixels.shape[2] == 3:
            pixels, _ = pair_frames(pixels, None, self.config.motion_lag)
        pairs = pixels.flatten(0, 1)
        if self.config.motion_shrink == 1:
            return self.motion_branch(pairs)
        found = self.motion_branch(halved(pairs))
        return resized(found.permute(0, 3, 1, 2), (grid[0], grid[1])).permute(0, 2, 3, 1)

    def padded_stages(self, resized: tuple[int, int],
                      padded: tuple[int, int]) -> PaddedStages | None:
        """What padding contributes to the early stages; None where there is nothing to save.

        Args:
            resized, padded: (height, width) of the frame in the input, and of the input.
        """
        size = self.trunk.crop_size(self._num_early, resized, padded)
        if size is None:
            return None
        zeros = zero_input(padded, self._parts[3][0].weight)
        return PaddedStages(*size, self.trunk_maps(zeros))

    @property
    def _num_early(self) -> int:
        """Stages that run before the first adapter acts on the trunk."""
        return self.fusion_stages[0] + 1 if self.fusion_stages and self.config.cmt.feedback else 4

    def trunk_maps(self, pixels: Tensor, padding: PaddedStages | None = None,
                   stages: int | None = None) -> tuple[Tensor, ...]:
        """What the trunk makes of the frames alone: stage outputs [B*T, h, w, C].

        Args:
            pixels: [B, T, 3 or 6, S_h, S_w]; of pairs the present frame is used.
            padding: From `padded_stages`, or None.
            stages: How many; None: those before the first adapter acts on the trunk.
        """
        pixels = pixels[:, :, :3].flatten(0, 1)
        whole = (pixels.shape[-2], pixels.shape[-1])
        v = self.trunk.embed(pixels if padding is None else padding.crop(pixels), whole)
        maps = []
        for stage in range(stages or self._num_early):
            v = self.trunk.run_stage(v, stage)
            maps.append(v if padding is None else padding.complete(v, stage))
        return tuple(maps)

    def encode_plain(self, pixels: Tensor, maps: Sequence[Tensor] | None = None) -> Encoded:
        """Features of B clips without any text: trunk and feature pyramid, no adapter.

        Args:
            pixels: As for `encode_shared`. maps: Of all four stages, from `trunk_maps`, or None.
        """
        maps = list(self.trunk_maps(pixels, stages=4) if maps is None else maps)
        encoded = self._pyramid(maps, (pixels.shape[0], pixels.shape[1]), None, pixels.shape[0])
        return replace(encoded, colours=self._colours(pixels))

    def encode_rows(self, shared: SharedFeatures, text: TextState,
                    past: Sequence[Past], clip_of_row: Tensor | None = None,
                    ) -> tuple[Encoded, tuple[Any, ...]]:
        """The expression-dependent part.

        Args:
            shared: Result of `encode_shared` on the same frames.
            text: N rows after the layers before the first fusion.
            past: Per further adapter its context [N, K, h, w, D], None, or a ring.
            clip_of_row: int64 [N] row -> clip; None when B is 1, or N == B in the same order.

        Returns:
            The features, and per further adapter its projection [N, T, h, w, D] of these frames, or
            the ring with it.
        """
        if not self.fusion_stages:
            return self._encode_without_fusion(shared, text, clip_of_row), ()
        rows, layers = text.hidden.shape[0], self.config.text.fusion_layers
        maps, kept = list(shared.maps), []
        matches, evidence, spread = self._match(shared, text, clip_of_row)
        for index, stage in enumerate(self.fusion_stages):
            adapter = self.adapters[index]
            text = self.text_encoder.run_layers(text, layers[max(0, index - 1)], layers[index])
            if index < len(shared.looks):
                v, attended, mean = (_to_rows(x, clip_of_row, rows) for x in (
                    maps[stage].unflatten(0, shared.shape), shared.looks[index].attended,
                    shared.looks[index].mean))
                dv, dt = adapter.fuse(attended, mean, text.hidden, text.mask, matches[index])
                maps[stage] = (v + dv).flatten(0, 1)
            else:
                v = self._run_stages(v, self.fusion_stages[index - 1] + 1, stage, maps)
                dv, dt, frame = adapter(v, text.hidden, text.mask, past[index - len(shared.looks)])
                kept.append(frame)
                maps.append((v + dv).flatten(0, 1))
            v, text = v + dv, text.with_hidden(text.hidden + dt)
        if len(maps) < 4:
            self._run_stages(v, len(maps), 4, maps)
        text = self.text_encoder.run_layers(text, layers[-1], self.config.text.num_layers)
        encoded = self._pyramid(maps, shared.shape, clip_of_row, rows)
        return replace(encoded, cls=text.hidden[:, 0], motion=_verb_mean(text), evidence=evidence,
                       spread=spread, colours=_per_row(shared.colours, clip_of_row)), tuple(kept)

    def _match(self, shared: SharedFeatures, text: TextState, clip_of_row: Tensor | None,
               ) -> tuple[Sequence[Tensor | None], Tensor | None, Tensor | None]:
        """Maps on the grid of each adapter, their summary, and what the mask logits get of them."""
        if shared.seen is None or self.grounding is None or text.names is None:
            return (None,) * len(self.fusion_stages), None, None
        rows, (clips, frames) = text.hidden.shape[0], shared.shape
        if clip_of_row is None:
            clip_of_row = torch.arange(rows, device=text.mask.device) % clips
        with full_precision(text.mask.device):
            maps, evidence, spread = self.grounding(
                shared.seen, text.names.float(), clip_of_row, frames)
        return on_grids(maps, self.fusion_stages), evidence, spread

    def _run_stages(self, v: Tensor, first: int, last: int, maps: list[Tensor]) -> Tensor:
        """Run stages `first`..`last` on [N, T, h, w, C]; those before `last` have no adapter."""
        shape = v.shape[:2]
        for stage in range(first, min(last, 3) + 1):
            v = self.trunk.run_stage(v.flatten(0, 1), stage).unflatten(0, shape)
            if stage < last:
                maps.append(v.flatten(0, 1))
        return v

    def _encode_without_fusion(self, shared: SharedFeatures, text: TextState,
                               clip_of_row: Tensor | None) -> Encoded:
        """Ablation without CMT: image and text meet in the mask decoder only."""
        layers = self.config.text.fusion_layers[0], self.config.text.num_layers
        text = self.text_encoder.run_layers(text, *layers)
        encoded = self._pyramid(list(shared.maps), shared.shape, clip_of_row, len(text.hidden))
        return replace(encoded, cls=text.hidden[:, 0], motion=_verb_mean(text),
                       colours=_per_row(shared.colours, clip_of_row))

    def _pyramid(self, maps: list[Tensor], shape: tuple[int, int], clip_of_row: Tensor | None,
                 rows: int) -> Encoded:
        """FPN on four stage outputs [M, h, w, C] (M = B*T where shared, N*T after a fusion)."""
        frames, stages = shape[1], self.fusion_stages
        fused = range(stages[0], 4) if stages and self.config.cmt.feedback else stages

        def split(x: Tensor, level: int) -> Tensor:
            x = x.permute(0, 3, 1, 2).unflatten(0, (-1, frames))
            return x if level in fused else _per_row(x, clip_of_row)

        top = F.interpolate(self._lateral(maps[3], 3).permute(0, 3, 1, 2), scale_factor=2.0,
                            mode="nearest")
        vision = split(self._lateral(maps[2], 2) + top.permute(0, 2, 3, 1), 2)
        return Encoded(vision.expand(rows, *vision.shape[1:]),
                       split(self._high_resolution(maps[0], 0), 0),
                       split(self._high_resolution(maps[1], 1), 1), None, None)

    def _lateral(self, v: Tensor, level: int) -> Tensor:
        """1x1 lateral convolution of the FPN on a channels-last map."""
        conv = self.neck.convs[len(self.neck.convs) - 1 - level].conv
        return constant(conv, "matrix", (conv.weight, conv.bias),
                        lambda: Matrix(conv.weight.flatten(1), conv.bias))(v)

    def _high_resolution(self, v: Tensor, level: int) -> Tensor:
        """FPN level without top-down term and the decoder's 1x1 convolution, as one product."""
        conv: Any = self._parts[3][level]
        lateral: Any = self.neck.convs[len(self.neck.convs) - 1 - level].conv

        def make() -> Matrix:
            outer = conv.weight.flatten(1)
            return Matrix(outer @ lateral.weight.flatten(1), outer @ lateral.bias + conv.bias)

        sources = (conv.weight, conv.bias, lateral.weight, lateral.bias)
        return constant(conv, "with lateral", sources, make)(v)


def _verb_mean(text: TextState) -> Tensor | None:
    """[N, Dt] mean text feature of verb tokens (zero where a row has none), or None."""
    if text.verbs is None:
        return None
    weight = text.verbs.to(text.hidden.dtype).unsqueeze(-1)
    return (text.hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)
