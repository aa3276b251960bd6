"""Typed configurations: frozen, checked at construction, readable from plain dictionaries.

The defaults follow SAMWISE's options (opts.py); sizes are in `sizes.py`. An ablation is one field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from samwise_ros.setting_values import build_config
from samwise_ros.structures import ConfigError

SwitchMode = Literal["reweight", "all_mask", "avg"]
Fit = Literal["pad", "rectangle"]
Stem = Literal["patch", "conv"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
GraphPrecision = Literal["fp32", "fp16"]  # of the products of an exported graph
EngineName = Literal["eager", "compile", "cuda_graph", "onnx", "openvino"]
Mode = Literal["clip", "stream"]  # the published protocol, or frame by frame without look-ahead
TrunkName = Literal["hiera", "lite0"]
Shown = Literal["no", "masks", "followed", "sam2"]
TextKind = Literal["roberta", "bert"]

LITE0_CHANNELS = (24, 40, 112, 320)  # of EfficientNet-Lite0's four stages
GRID = 64  # every model input side is a multiple of this: stride 32 times the last HSA patch side


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    _check(value in allowed, f"{name}: expected one of {', '.join(allowed)}, got {value!r}")


@dataclass(frozen=True)
class HieraConfig:
    """sam2's `Hiera`; `stem`: "patch" as in sam2 (7x7, stride 4), "conv" as `model.conv_stem`."""

    embed_dim: int = 96
    num_heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_att_blocks: tuple[int, ...] = (5, 7, 9)
    window_pos_embed_bkg_spatial_size: tuple[int, int] = (7, 7)
    window_spec: tuple[int, ...] = (8, 4, 14, 7)
    stem: Stem = "patch"

    def __post_init__(self) -> None:
        _one_of("hiera.stem", self.stem, ("patch", "conv"))
        _check(len(self.stages) == 4, f"hiera.stages: expected 4 numbers, got {self.stages}")
        firsts = [sum(self.stages[: stage + 1]) for stage in range(3)]
        _check(not set(firsts) & set(self.global_att_blocks),
               "hiera.global_att_blocks: expected none of the blocks that begin a stage "
               f"({firsts}), since sam2 pools there inside windows, got {self.global_att_blocks}")
        _check(self.embed_dim % self.num_heads == 0,
               f"hiera: num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each of the four stages."""
        return tuple(self.embed_dim * 2**i for i in range(4))


@dataclass(frozen=True)
class TextConfig:
    """The text encoder (HF RoBERTa or BERT) and where it meets the image.

    `fusion_layers`: number of text layers that have run before each adapter (1-based). Equal
    numbers: no layer between two adapters.
    """

    vocab_size: int = 50265
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 514
    fusion_layers: tuple[int, ...] = (4, 8, 12)
    kind: TextKind = "roberta"

    def __post_init__(self) -> None:
        _one_of("text.kind", self.kind, ("roberta", "bert"))
        _check(tuple(sorted(self.fusion_layers)) == self.fusion_layers,
               f"text.fusion_layers: expected rising or equal numbers, got {self.fusion_layers}")
        _check(self.fusion_layers[-1] <= self.num_layers and self.fusion_layers[0] >= 0,
               f"text.fusion_layers: not all in 0..{self.num_layers}: {self.fusion_layers}")
        _check(self.hidden_size % self.num_heads == 0, "text: expected hidden_size divisible by "
               f"num_heads, got {self.hidden_size} and {self.num_heads}")

    @property
    def max_tokens(self) -> int:
        """Longest token sequence that the position table can hold (start and end included)."""
        # RoBERTa counts positions from 2, as fairseq does.
        return self.max_positions - (2 if self.kind == "roberta" else 0)


@dataclass(frozen=True)
class CmtConfig:
    """Cross-Modal Temporal adapters (paper section 3.2) with Hierarchical Selective Attention.

    Attributes:
        feedback: The trunk's next stage reads what the adapter added, as published. False: only the
            feature pyramid does. The trunk's maps and HSA are then shared by all targets.
        narrow: Channels to which each adapter's map is narrowed first, with dropout of `dropout`;
            empty: not narrowed, as published.
    """

    enabled: bool = True
    hsa: bool = True
    dim: int = 256
    num_heads: int = 8
    fusion_stages: tuple[int, ...] = (1, 2, 3)
    hsa_patch_sides: tuple[int, ...] = (8, 4, 2)
    clip_window: int = 8
    feedback: bool = True
    narrow: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check(len(self.fusion_stages) == len(self.hsa_patch_sides),
               "cmt: expected one HSA patch side per fusion stage, got "
               f"{self.fusion_stages} and {self.hsa_patch_sides}")
        _check(tuple(sorted(set(self.fusion_stages))) == self.fusion_stages,
               f"cmt.fusion_stages: expected rising numbers, got {self.fusion_stages}")
        for stage, side in zip(self.fusion_stages, self.hsa_patch_sides, strict=True):
            _check(1 <= stage <= 3, f"cmt.fusion_stages: expected numbers in 1..3, got {stage}")
            _check((GRID >> (2 + stage)) % side == 0,
                   f"cmt.hsa_patch_sides: {side} does not divide the grid of stage {stage}")
        _check(self.dim % self.num_heads == 0 and self.dim % 2 == 0,
               f"cmt: expected an even dim divisible by num_heads, got {self.dim} and "
               f"{self.num_heads}")
        _check(len(self.narrow) in (0, len(self.fusion_stages)),
               f"cmt.narrow: expected one width per fusion stage or none, got {self.narrow}")

    @property
    def shared_adapters(self) -> int:
        """Number of adapters whose look back in time does not depend on the text."""
        if not self.enabled:
            return 0
        return 1 if self.feedback else len(self.fusion_stages)


@dataclass(frozen=True)
class GroundingConfig:
    """The similarity map between a noun and the picture (`model.grounding`), for frozen trunks.

    Attributes:
        enabled: The model has the map, and finds nouns in sentences.
        closed_form: Use the map that follows from the two frozen networks; False: it is zero.
        learned: Use the learned path from a noun to the picture, for words without a neighbour.
        regions: Spread the map over what looks alike, and tell places relative to the anchor.
        coarse: The spread map is also that of the frame at half size, where what fills the picture
            stands out as a whole.
        in_mask: Weight with which the spread map is added to the mask logits.
        width: Channels that the adapters get of it.
        groups: Number of groups of the learned metric.
        dropout: On the maps, while training.
        forget: Share of nouns whose nearest names are left out of the map while training.
    """

    enabled: bool = False
    closed_form: bool = True
    learned: bool = True
    regions: bool = False
    coarse: bool = False
    in_mask: float = 0.0
    width: int = 32
    groups: int = 8
    dropout: float = 0.1
    forget: float = 0.0

    def __post_init__(self) -> None:
        _check(not self.coarse or self.regions or self.in_mask > 0, "grounding.coarse: nothing "
               "reads it without grounding.regions or grounding.in_mask")


@dataclass(frozen=True)
class MemoryConfig:
    """SAM 2 memory; `kept`: share of each spatial memory's tokens that is read (published: 1)."""

    num_spatial: int = 6
    num_pointers: int = 15
    dim: int = 64
    attention_layers: int = 4
    feedforward: int = 2048
    kept: float = 1.0

    def __post_init__(self) -> None:
        _check(0.0 < self.kept <= 1.0, f"memory.kept: expected a number in (0, 1], got {self.kept}")
        _check(0 <= self.num_spatial <= 6, "memory.num_spatial: expected 0..6 (six age codes are "
               f"trained), got {self.num_spatial}")
        _check(self.num_pointers >= 0,
               f"memory.num_pointers: expected >= 0, got {self.num_pointers}")
        _check((self.num_spatial == 0) == (self.num_pointers == 0),
               "memory: expected num_spatial and num_pointers both zero or both positive, got "
               f"{self.num_spatial} and {self.num_pointers}")


@dataclass(frozen=True)
class CmeConfig:
    """Conditional Memory Encoder (paper section 3.3)."""

    enabled: bool = True
    decision_window: int = 4
    switch_mode: SwitchMode = "reweight"

    def __post_init__(self) -> None:
        _one_of("cme.switch_mode", self.switch_mode, ("reweight", "all_mask", "avg"))
        _check(self.decision_window >= 1,
               f"cme.decision_window: expected >= 1, got {self.decision_window}")


@dataclass(frozen=True)
class DecoderConfig:
    """SAM 2 mask decoder.

    Attributes:
        predict_object_score: Off in RIS pre-training only.
        relative_peak: Logits count from their own peak; presence is said by the object score alone.
        colour: Weight of what `model.colour_model` adds to the mask logits; published: 0.
    """

    feedforward: int = 2048
    iou_hidden: int = 256
    predict_object_score: bool = True
    relative_peak: bool = False
    colour: float = 0.0


@dataclass(frozen=True)
class ModelConfig:
    """Everything that determines the network and its input.

    Attributes:
        name: Size name. image_size: Longest input side in pixels, a multiple of 64.
        fit: "pad": square input, the frame is padded bottom and right (the published protocol).
            "rectangle": the frame is stretched to the nearest one with sides that 64 divides.
        hidden_dim: Width of SAM 2's decoder and memory attention.
        motion_prompt: Append the paper's verb prompt to the decoder's tokens (off as published).
        motion_lag: Frames since which the first adapter sees the motion; 0: none, as published.
        motion_shrink: Motion is looked for on a picture with sides smaller by this factor, 1 or 2.
        mask_threshold: Probability above which a pixel belongs to the mask.
        trunk: "hiera" (`hiera`) or "lite0" (EfficientNet-Lite0, frozen).
        shown: What the weights follow without a sentence, and how (docs/model.md, 2.6).
    """

    name: str = "tiny"
    image_size: int = 1024
    fit: Fit = "pad"
    hidden_dim: int = 256
    motion_prompt: bool = False
    motion_lag: int = 0
    motion_shrink: int = 1
    mask_threshold: float = 0.5
    trunk: TrunkName = "hiera"
    shown: Shown = "no"
    hiera: HieraConfig = field(default_factory=HieraConfig)
    text: TextConfig = field(default_factory=TextConfig)
    cmt: CmtConfig = field(default_factory=CmtConfig)
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    cme: CmeConfig = field(default_factory=CmeConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    def __post_init__(self) -> None:
        _check(self.image_size >= GRID and self.image_size % GRID == 0,
               f"image_size: expected a positive multiple of {GRID}, got {self.image_size}")
        for name, allowed in (("fit", Fit), ("trunk", TrunkName), ("shown", Shown)):
            _one_of(name, getattr(self, name), get_args(allowed))
        _check(0.0 < self.mask_threshold < 1.0,
               f"mask_threshold: expected a number in (0, 1), got {self.mask_threshold}")
        _check(self.hidden_dim % self.memory.dim == 0,
               "expected hidden_dim divisible by memory.dim (pointers are split into tokens), "
               f"got {self.hidden_dim} and {self.memory.dim}")
        _check(self.hidden_dim % 32 == 0, f"hidden_dim: not a multiple of 32: {self.hidden_dim}")
        stages = self.cmt.fusion_stages
        _check(self.motion_lag == 0 or
               (self.motion_lag > 0 and 2 in (stages if not self.cmt.feedback else stages[:1])),
               f"motion_lag: expected 0, or an adapter after stage 2, got {self.motion_lag}")
        _check(self.motion_shrink in (1, 2), f"motion_shrink: not 1 or 2: {self.motion_shrink}")
        _check(len(self.text.fusion_layers) == len(self.cmt.fusion_stages),
               "expected one text fusion point per adapter, got "
               f"{self.text.fusion_layers} and {self.cmt.fusion_stages}")
        _check(self.cmt.feedback or {2, 3} <= set(stages),
               f"cmt.feedback off: expected fusion stages 2 and 3, got {stages}")
        _check(self.trunk == "hiera" or (self.fit == "rectangle" and not self.cmt.feedback),
               "trunk lite0: expected fit \"rectangle\" and cmt.feedback off")
        _check(not self.grounding.enabled or (self.trunk == "lite0" and self.text.kind == "bert"
                                              and not self.motion_prompt),
               "grounding: expected trunk \"lite0\", text.kind \"bert\" and no motion_prompt")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each of the trunk's four stages."""
        return LITE0_CHANNELS if self.trunk == "lite0" else self.hiera.channels

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary that `from_dict` reads back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build from nested dictionaries. Raises ConfigError for unknown or bad fields."""
        return build_config(cls, values, "model")

    def replace(self, **changes: Any) -> ModelConfig:
        """Copy with changed fields; dotted parts as nested dicts: `cme={"enabled": False}`."""
        merged = self.to_dict()
        for key, value in changes.items():
            nested = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
            merged[key] = {**merged[key], **value} if nested else value
        return ModelConfig.from_dict(merged)


@dataclass(frozen=True)
class SessionConfig:
    """How one camera's stream is run.

    Attributes:
        context_frames: Earlier frames that HSA and the text side may see (0..7).
        precision: Of autocast, or "fp32" for none; "auto" and "fp16": see `model.precision`.
        fast_resize: Resize camera frames with OpenCV instead of PIL (the published path).
        max_targets: More targets than this are refused, so that memory stays bounded.
        mask_logits: Results hold the mask logits, too.
        prompt_age: Seconds between a prompt's stamp and the newest frame's, at most; 0: any.
    """

    context_frames: int = 7
    precision: Precision = "fp32"
    fast_resize: bool = False
    max_targets: int = 16
    mask_logits: bool = True
    prompt_age: float = 2.0

    def __post_init__(self) -> None:
        _check(0 <= self.context_frames <= 7,
               f"context_frames: expected 0..7, got {self.context_frames}")
        _one_of("precision", self.precision, ("auto", "fp32", "bf16", "fp16"))
        _check(self.max_targets >= 1, f"max_targets: expected >= 1, got {self.max_targets}")
        _check(self.prompt_age >= 0, f"prompt_age: expected >= 0, got {self.prompt_age}")
