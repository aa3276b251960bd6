"""Recipes: frozen dataclasses read from YAML files, checked at construction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from samwise_ros.setting_values import build_config
from samwise_ros.structures import ConfigError

Trainable = Literal["adapters", "all", "memory", "follow", "cme"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PROMPTS = ("point", "box", "mask")


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class ModelSetup:
    """Which network is trained and what it starts from.

    Attributes:
        name: Size name.
        changes: Fields of `ModelConfig` that differ from the named size.
        init: Training checkpoint, weight file or folder to start from; None: seeded random weights.
        grown: Parameters with one of these in their name may be missing in `init`; they start from
            the seed (a part that an earlier stage did not have).
        sam2, roberta: Weights of the frozen parts of official sizes (file and folder).
        allow_ris: `init` comes from RIS pre-training: its missing HSA is seeded, its missing
            object-score head taken from `sam2`.
        trainable: "adapters": the published set (adapters, CME, text projection); "all"; "memory":
            memory encoder and attention, object pointer; "follow": those, mask decoder, prompt
            encoder and neck, all that follows what it is shown; "cme".
        frozen: Parameters with one of these in their name are not trained after all.
        dropout: False switches the dropout of all parts off (small models that are not frozen).
        freeze_batchnorm: Keep BatchNorm's running statistics (clips: few, correlated frames).
        tokenizer: Folder of the tokeniser; None: the packaged one for nano.
    """

    name: str = "nano"
    changes: Mapping[str, Any] = field(default_factory=dict)
    init: str | None = None
    grown: tuple[str, ...] = ()
    sam2: str | None = None
    roberta: str | None = None
    allow_ris: bool = False
    trainable: Trainable = "adapters"
    frozen: tuple[str, ...] = ()
    dropout: bool = True
    freeze_batchnorm: bool = False
    tokenizer: str | None = None


@dataclass(frozen=True)
class DataSetup:
    """What is trained on.

    Attributes:
        kind: "packed" (simulated clips packed to the input size), "mevis", "ref_youtube_vos" or
            "refcoco".
        roots: Folders; RefCOCO: one per set.
        val_roots: Packed folders for the scores during training; the last one's decide which
            checkpoint is best, held-out names for instance (packed only).
        frames: T, frames per clip.
        clips: B, clips per batch.
        expressions: K, expressions per clip that share one encoding (packed only).
        kind_weights: How often each kind of expression is drawn (packed only).
        prompts: How often a row is shown by "point", "box" and "mask". Rows are objects then, not
            sentences, and nothing is said (`training.shown`; packed only).
        max_stride: Frames of a clip are 1..max_stride apart (packed only).
        from_start: Clips begin at their first frame, as a session does, and end anywhere: a batch
            has 2..`frames` frames. False: they begin anywhere and have `frames` (packed only).
        flip: Mirror half of the clips, swapping "left" and "right" (packed only).
        zoom: Share of clips seen through a window on an object (`training.zoom`; packed only).
        recolour: Share of clips that are drawn in other colours (`training.recolour`; packed only).
        paint: Share of clips that are drawn in colours without names (packed only).
        remind: Share of rows with a past whose sentence is replaced by one that tells nothing, and
            whose memory of earlier frames is the truth: what SAM 2's memory is trained with
            (packed, with `graded_frames` and memory).
        distract: Share of those rows that get another row's sentence instead, so that memory is
            believed even against the sentence.
        hold: Share of rows about motion that keep their sentence while their memory of earlier
            frames is the truth: once a motion is over, memory alone knows who made it.
        mislead: Share of rows that remember another object instead, as after locking on to it: what
            the CME is for (packed, with `graded_frames` and memory, not with `remind`).
        augment: Photometric distortion and random sizes of the published option.
        workers: Loader processes (not for packed data).
    """

    kind: Literal["packed", "mevis", "ref_youtube_vos", "refcoco"] = "packed"
    roots: tuple[str, ...] = ()
    val_roots: tuple[str, ...] = ()
    frames: int = 8
    clips: int = 4
    expressions: int = 1
    kind_weights: Mapping[str, float] = field(default_factory=dict)
    prompts: Mapping[str, float] = field(default_factory=dict)
    max_stride: int = 1
    from_start: bool = False
    flip: bool = False
    zoom: float = 0.0
    recolour: float = 0.0
    paint: float = 0.0
    remind: float = 0.0
    distract: float = 0.0
    hold: float = 0.0
    mislead: float = 0.0
    augment: bool = False
    workers: int = 2

    def __post_init__(self) -> None:
        _check(len(self.roots) > 0, "data.roots: expected at least one folder, got none")
        for name in ("frames", "clips", "expressions", "max_stride"):
            value = getattr(self, name)
            _check(value >= 1, f"data.{name}: expected >= 1, got {value}")
        _check(self.remind + self.hold == 0 or self.mislead == 0,
               "data: expected remind and hold, or mislead, not both")
        for name in ("zoom", "recolour", "paint", "remind", "distract", "hold", "mislead"):
            share = getattr(self, name)
            _check(0 <= share <= 1, f"data.{name}: expected a share in 0..1, got {share}")
        for kind, weight in self.kind_weights.items():
            _check(weight >= 0, f"data.kind_weights.{kind}: expected >= 0, got {weight}")
        _check(set(self.prompts) <= set(PROMPTS) and all(w > 0 for w in self.prompts.values()),
               f"data.prompts: expected weights > 0 of {', '.join(PROMPTS)}, got "
               f"{dict(self.prompts)}")


@dataclass(frozen=True)
class LossSetup:
    """Weight of each term; a weight of zero leaves the term out.

    The published loss is focal + dice + cme, each over all frames of a clip (docs/model.md, 6.3).

    Attributes:
        per_frame: bce and dice are taken per frame with a visible target instead of per clip.
        absent: Weight of the empty-mask term on frames without target (`per_frame` only).
        score: Binary cross-entropy of the object score.
        deep: Mask loss on the stride-16 features before the decoder (auxiliary head).
        dense: Per-pixel class and colour on the maps before fusion (auxiliary heads).
        flow: Per-pixel object displacement on the motion branch (auxiliary head).
        tags: What each object does, per pixel, from HSA's output (auxiliary head).
        nouns: Which words name the target and which the object it is told by, where the data tells
            (models with a noun finder).
    """

    focal: float = 1.0
    dice: float = 1.0
    cme: float = 1.0
    bce: float = 0.0
    per_frame: bool = False
    absent: float = 0.0
    score: float = 0.0
    deep: float = 0.0
    dense: float = 0.0
    flow: float = 0.0
    tags: float = 0.0
    nouns: float = 0.0

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            _check(value >= 0, f"loss.{spec.name}: expected >= 0, got {value}")


@dataclass(frozen=True)
class OptimSetup:
    """AdamW, clipping, schedule, averaging.

    Attributes:
        schedule: "multistep" (published: stepped every iteration), or "cosine" to zero.
        warmup: Steps of linear warm-up.
        slow: Parts of names of parameters (already trained ones) that learn at `slow_rate` times
            the rate.
        ema: Decay of the averaged weights, 0 for none; averages are what is scored and exported.
        accumulate: Batches per optimiser step.
    """

    lr: float = 1e-5
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    schedule: Literal["multistep", "cosine"] = "multistep"
    milestones: tuple[int, ...] = (60000,)
    gamma: float = 0.1
    warmup: int = 0
    slow: tuple[str, ...] = ()
    slow_rate: float = 1.0
    ema: float = 0.0
    accumulate: int = 1

    def __post_init__(self) -> None:
        _check(self.lr > 0, f"optim.lr: expected > 0, got {self.lr}")
        _check(self.clip_norm > 0, f"optim.clip_norm: expected > 0, got {self.clip_norm}")
        _check(0 <= self.ema < 1, f"optim.ema: expected a number in [0, 1), got {self.ema}")
        _check(self.accumulate >= 1, f"optim.accumulate: expected >= 1, got {self.accumulate}")


@dataclass(frozen=True)
class TrainConfig:
    """One stage of training.

    Attributes:
        out: Folder for checkpoints, logs and pictures.
        steps: Optimiser steps; None: `epochs` epochs (not for packed data).
        stop: End the stage after so many steps; the schedule still spans `steps`.
        causal: Encode frame by frame with past context only, as stream mode does.
        graded_frames: Learn from the last so many frames of each clip only, the others fill context
            and memory (causal training); 0: from all.
        image_only: Train what comes before the first fusion, with the auxiliary heads alone.
        log_every, save_every, val_every: In optimiser steps; val_every 0: never.
        precision: Lightning's.
        score_shift: Added to the object score of exported weights (`training.calibration`).
        tf32: Allow TF32 on Ampere and newer, as the published runs did.
        accelerator: Lightning's: "auto" (a GPU where there is one), "cpu", "cuda".
        devices: Processes, one a device.
        threads: CPU threads of torch; 0: as torch chooses.
    """

    name: str
    out: str
    model: ModelSetup
    data: DataSetup
    loss: LossSetup = field(default_factory=LossSetup)
    optim: OptimSetup = field(default_factory=OptimSetup)
    seed: int = 0
    steps: int | None = None
    epochs: int = 1
    stop: int | None = None
    causal: bool = False
    graded_frames: int = 0
    image_only: bool = False
    log_every: int = 20
    save_every: int = 500
    val_every: int = 0
    val_expressions: int = 240
    score_shift: float = 0.0
    precision: Precision = "32-true"
    tf32: bool = True
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        _check(self.data.kind != "packed" or self.steps is not None,
               "steps: packed data has no epochs, give a number of steps")
        _check(self.graded_frames == 0 or (self.causal and
                                           1 <= self.graded_frames <= self.data.frames),
               "graded_frames: needs causal: true, and at most data.frames, got "
               f"{self.graded_frames}")
        _check(self.data.remind + self.data.hold + self.data.mislead == 0
               or self.graded_frames > 0,
               "data.remind, data.hold, data.mislead: need graded_frames, so that there is a past "
               "to remember")
        for name in ("epochs", "devices", "log_every", "save_every", "val_expressions"):
            value = getattr(self, name)
            _check(value >= 1, f"{name}: expected >= 1, got {value}")
        for name in ("seed", "val_every", "threads"):
            value = getattr(self, name)
            _check(value >= 0, f"{name}: expected >= 0, got {value}")
        _check(self.steps is None or self.steps >= 1, f"steps: expected >= 1, got {self.steps}")


def load_config(path: Path | str, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a recipe.

    Args:
        path: YAML file.
        changes: "dotted.key=value" overrides, the value in YAML.

    Raises ConfigError for an unreadable file, unknown keys and bad values.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe {path}: {error}") from error
    _check(isinstance(values, dict), f"recipe {path}: expected a mapping at the top")
    for change in changes:
        _override(values, change)
    return build_config(TrainConfig, values, str(path))


def _override(values: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    _check(bool(separator), f"--set {change}: expected key=value")
    *parents, last = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        _check(isinstance(values, dict), f"--set {change}: {parent} is not a group of settings")
    try:
        values[last] = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--set {change}: {error}") from error
