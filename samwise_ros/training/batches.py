"""Training batches. Batch `step` depends on (seed, step) alone, so a run resumes where it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samwise_ros.data.packed import PackedClips
from samwise_ros.data.transforms import normalise, normalise_caption
from samwise_ros.model.prompts import SURE, VisualPrompt
from samwise_ros.sim.content import HELD_OUT_PAIRS
from samwise_ros.structures import DataError
from samwise_ros.training.draws import (
    SIDES,
    draw_expressions,
    draw_frames,
    draw_misled,
    draw_reminded,
    draw_reminders,
    swap_sides,
)
from samwise_ros.training.noun_spans import Nouns, nouns_of, rewrite
from samwise_ros.training.recipe import DataSetup
from samwise_ros.training.recolour import (
    PALETTE,
    ClipContent,
    open_sentences,
    paint_freely,
    recolour,
)
from samwise_ros.training.zoom import zoom_in

STILL = "still"
NO_COLOUR = -100  # what torch's cross-entropy ignores

MIN_FRAMES = 2  # of a clip that begins at its first frame and ends anywhere


@dataclass(frozen=True)
class Vocabulary:
    """How many classes, colours and motion tags simulated data tells apart (without background).

    Attributes:
        still: Index of the tag of what does not move, -1 where there is none.
        held_out: (class, colour) labels of which nothing is to be learnt, not even that they do not
            go together.
    """

    classes: int = 0
    colours: int = 0
    tags: int = 0
    still: int = -1
    held_out: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class SceneLabels:
    """What the auxiliary heads learn from; simulated data only.

    Attributes:
        numbers: uint8 [B, T, H, W] object numbers, 0 background.
        classes, colours: int64 [B, O + 1] index of each object's class and colour, 0 background;
            `NO_COLOUR` for a colour without a name.
        tags: float32 [B, O + 1, K] 1 for what each object does during its clip.
    """

    numbers: Tensor
    classes: Tensor
    colours: Tensor
    tags: Tensor


@dataclass(frozen=True)
class GivenMemory:
    """Rows that remember other masks than their own answers: the truth, or another object.

    Attributes:
        rows: bool [N].
        masks: bool [N, T, H, W].
    """

    rows: Tensor
    masks: Tensor

    def replace(self, memorised: Tensor, frame: int) -> Tensor:
        """[N, H, W] mask logits to memorise, the given masks in the given rows."""
        masks = torch.where(self.masks[:, frame], SURE, -SURE).to(memorised)
        return torch.where(self.rows[:, None, None], masks, memorised)


@dataclass(frozen=True)
class TrainBatch:
    """B clips and N expressions about them.

    Attributes:
        pixels: float32 [B, T, 3, H, W], normalised.
        expressions: N sentences.
        clip_of_row: int64 [N].
        masks: bool [N, T, h, w], the answer.
        labels: Facts for the auxiliary heads, or None.
        kinds: N kinds of expression, or empty.
        valid: (height, width) of `pixels` without padding; None: there is none.
        given: What some rows remember of earlier frames instead of their own answers (`rollout`);
            None: no row does.
        prompt: What the rows are shown on the first frame, in place of sentences; None: nothing.
        nouns: Where each sentence names its target, None where that is not known.
    """

    pixels: Tensor
    expressions: tuple[str, ...]
    clip_of_row: Tensor
    masks: Tensor
    labels: SceneLabels | None = None
    kinds: tuple[str, ...] = ()
    valid: tuple[int, int] | None = None
    given: GivenMemory | None = None
    prompt: VisualPrompt | None = None
    nouns: tuple[Nouns | None, ...] = ()

    @property
    def area(self) -> Tensor:
        """int64 [N, T] pixels of the answer."""
        return self.masks.sum((2, 3))

    def last_frames(self, count: int) -> TrainBatch:
        """The same clips with the answers of the last `count` frames only."""
        if count == self.masks.shape[1]:
            return self
        return replace(self, masks=self.masks[:, -count:])

    def to(self, device: torch.device | str) -> TrainBatch:
        """Copy on another device."""
        labels = self.labels
        if labels is not None:
            labels = SceneLabels(labels.numbers.to(device), labels.classes.to(device),
                                 labels.colours.to(device), labels.tags.to(device))
        given = self.given
        if given is not None:
            given = GivenMemory(given.rows.to(device), given.masks.to(device))
        prompt = None if self.prompt is None else self.prompt.to(device)
        return replace(self, pixels=self.pixels.to(device), labels=labels, given=given,
                       clip_of_row=self.clip_of_row.to(device), masks=self.masks.to(device),
                       prompt=prompt)


class PackedBatches:
    """Draws batches from packed simulated clips; a still is a clip in which nothing moves.

    Args:
        setup: Folders, sizes and weights.
        seed: First part of every batch's randomness.

    Expressions of one clip are drawn without repetition, kinds by weight, so that a batch asks
    different things about the same picture.
    """

    def __init__(self, setup: DataSetup, seed: int) -> None:
        self.setup = setup
        self._seed = seed
        self.packs = [PackedClips(root) for root in setup.roots]
        self._index = [(pack, clip) for pack in self.packs for clip in range(pack.num_clips)
                       if pack.length(clip) >= setup.frames or pack.length(clip) == 1]
        if not self._index:
            raise DataError(f"no clip in {', '.join(setup.roots)} has {setup.frames} frames")
        facts = [entry for pack in self.packs for clip in range(pack.num_clips)
                 for entry in pack.objects(clip)]
        self.classes = sorted({entry["class"] for entry in facts if "class" in entry})
        colours = {entry["colour"] for entry in facts if entry.get("colour")}
        self.colours = sorted(colours | set(PALETTE) if setup.recolour > 0 else colours)
        self.held_out = tuple(sorted(
            (self.classes.index(name) + 1, self.colours.index(colour) + 1)
            for colour, name in HELD_OUT_PAIRS if name in self.classes and colour in self.colours))
        tags = {tag for entry in facts for tag in entry.get("tags", ())}
        self.tags = sorted(tags | {SIDES.get(tag, tag) for tag in tags})

    def __len__(self) -> int:
        return len(self._index)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every clip comes about once."""
        return max(1, len(self) // self.setup.clips)

    @property
    def vocabulary(self) -> Vocabulary:
        """What the facts of the data tell apart."""
        still = self.tags.index(STILL) if STILL in self.tags else -1
        return Vocabulary(len(self.classes), len(self.colours), len(self.tags), still,
                          self.held_out if self.setup.recolour + self.setup.paint > 0 else ())

    def batch(self, step: int) -> TrainBatch:
        """The batch of one step."""
        rng = np.random.default_rng((self._seed, step))
        frames = self.setup.frames
        if self.setup.from_start:
            frames = int(rng.integers(min(MIN_FRAMES, frames), frames + 1))
        drawn = [self._clip(*self._index[int(i)], frames, rng)
                 for i in self._draw_clips(step, self.setup.clips)]
        return join_clips(drawn)

    def _draw_clips(self, step: int, count: int) -> list[int]:
        """`count` clips of the endless sequence of shuffled epochs that starts at step 0."""
        first = step * count
        epochs = range(first // len(self), (first + count - 1) // len(self) + 1)
        orders = {epoch: self._order(epoch) for epoch in epochs}
        return [int(orders[i // len(self)][i % len(self)]) for i in range(first, first + count)]

    def _order(self, epoch: int) -> np.ndarray:
        if getattr(self, "_cached", (None,))[0] != epoch:
            rng = np.random.default_rng((self._seed, epoch, 1))
            self._cached = (epoch, rng.permutation(len(self)))
        return self._cached[1]

    def _clip(self, pack: PackedClips, clip: int, frames: int, rng: np.random.Generator
              ) -> TrainBatch:
        indices = draw_frames(pack.length(clip), frames, self.setup.max_stride, rng,
                              self.setup.from_start)
        seen = ClipContent(pack.frames(clip)[indices], pack.labels(clip)[indices],
                           pack.objects(clip), pack.expressions(clip))
        sentences = seen.sentences
        if self.setup.recolour + self.setup.paint > 0:
            seen = self._in_other_colours(seen, rng)
            sentences = open_sentences(seen.objects, seen.sentences)
        chosen = draw_expressions(sentences, self.setup.expressions,
                                  self.setup.kind_weights, rng)
        pictures, numbers = self._zoomed(seen.frames, seen.numbers, rng)
        told = _with_nouns(pack, clip, [text for text, _, _ in chosen])
        flipped = False
        if self.setup.flip and rng.random() < 0.5:
            pictures, numbers = pictures[:, :, ::-1].copy(), numbers[:, :, ::-1].copy()
            told = [rewrite(*sentence, swap_sides) for sentence in told]
            flipped = True
        masks = np.stack([np.isin(numbers, answer) for _, _, answer in chosen])
        kinds = tuple(str(kind) for _, kind, _ in chosen)
        texts, given = self._given([text for text, _ in told], kinds, masks, numbers, rng)
        return TrainBatch(clip_pixels(pictures), tuple(texts),
                          torch.zeros(len(texts), dtype=torch.long), torch.from_numpy(masks),
                          self._labels(seen.objects, numbers, flipped), kinds, given=given,
                          nouns=tuple(nouns if now == text else None
                                      for now, (text, nouns) in zip(texts, told, strict=True)))

    def _zoomed(self, pictures: np.ndarray, numbers: np.ndarray, rng: np.random.Generator,
                ) -> tuple[np.ndarray, np.ndarray]:
        """Pictures and object numbers of a clip, in a share of cases of a part at full size."""
        if self.setup.zoom > 0 and rng.random() < self.setup.zoom:
            return zoom_in(pictures, numbers, rng)
        return pictures, numbers

    def _given(self, texts: list[str], kinds: Sequence[str], masks: np.ndarray,
               numbers: np.ndarray, rng: np.random.Generator,
               ) -> tuple[list[str], GivenMemory | None]:
        """The sentences, some replaced, and what rows remember instead of their own answers."""
        setup, given = self.setup, None
        if setup.remind + setup.hold > 0:
            rows = draw_reminded(masks, setup.remind, rng)
            texts = draw_reminders(texts, masks, rows, setup.distract, rng)
            if setup.hold > 0:  # recipes without it draw as they always did
                moving = np.array([kind == "motion" for kind in kinds])
                rows |= draw_reminded(masks, setup.hold, rng) & moving
            given = GivenMemory(torch.from_numpy(rows), torch.from_numpy(masks))
        elif setup.mislead > 0:
            given = GivenMemory(*map(torch.from_numpy, draw_misled(
                masks, numbers, setup.mislead, rng)))
        return texts, given

    def _in_other_colours(self, clip: ClipContent, rng: np.random.Generator) -> ClipContent:
        chance = rng.random()
        if chance < self.setup.recolour:
            return recolour(clip, rng)
        return paint_freely(clip, rng) if chance < self.setup.recolour + self.setup.paint else clip

    def _labels(self, facts: Sequence[Mapping[str, Any]], numbers: np.ndarray,
                flipped: bool) -> SceneLabels | None:
        if not self.classes or not all("class" in entry for entry in facts):
            return None
        classes = [0] + [self.classes.index(entry["class"]) + 1 for entry in facts]
        colours = [0] + [NO_COLOUR if entry["colour"] is None
                         else self.colours.index(entry["colour"]) + 1 for entry in facts]
        tags = torch.zeros(1, len(facts) + 1, len(self.tags))
        for row, entry in enumerate(facts, start=1):
            for tag in entry.get("tags", ()):
                tags[0, row, self.tags.index(SIDES.get(tag, tag) if flipped else tag)] = 1
        return SceneLabels(torch.from_numpy(numbers)[None], torch.tensor([classes]),
                           torch.tensor([colours]), tags)


def _with_nouns(pack: PackedClips, clip: int, texts: Sequence[str],
                ) -> list[tuple[str, Nouns | None]]:
    """Normalised sentences of a clip, and where they name their targets if the data tells."""
    known = dict(zip((text for text, _, _ in pack.expressions(clip)), pack.phrases(clip),
                     strict=True))
    told = []
    for text in texts:
        phrases = known.get(text)
        told.append(rewrite(text, nouns_of(phrases), str.lower) if phrases is not None
                    else (normalise_caption(text), None))
    return told


def join_clips(clips: Sequence[TrainBatch]) -> TrainBatch:
    """Batches of one clip each -> one batch."""
    rows = torch.cat([torch.full((len(clip.masks),), index, dtype=torch.long)
                      for index, clip in enumerate(clips)])
    labelled = [clip.labels for clip in clips if clip.labels is not None]
    labels = None
    if len(labelled) == len(clips):
        labels = SceneLabels(torch.cat([part.numbers for part in labelled]),
                             _padded([part.classes for part in labelled]),
                             _padded([part.colours for part in labelled]),
                             _padded([part.tags for part in labelled]))
    memories = [clip.given for clip in clips if clip.given is not None]
    given = None
    if len(memories) == len(clips):
        given = GivenMemory(torch.cat([part.rows for part in memories]),
                            torch.cat([part.masks for part in memories]))
    return TrainBatch(torch.cat([clip.pixels for clip in clips]),
                      tuple(text for clip in clips for text in clip.expressions), rows,
                      torch.cat([clip.masks for clip in clips]), labels,
                      tuple(kind for clip in clips for kind in clip.kinds), None, given,
                      _joined([clip.prompt for clip in clips]),
                      tuple(nouns for clip in clips for nouns in clip.nouns))


def _joined(prompts: Sequence[VisualPrompt | None]) -> VisualPrompt | None:
    """Prompts with equally many points, as one."""
    if any(prompt is None for prompt in prompts):
        return None
    return VisualPrompt(*(torch.cat([getattr(prompt, name) for prompt in prompts])
                          for name in ("points", "labels", "masks", "has_mask")))


def _padded(rows: Sequence[Tensor]) -> Tensor:
    """Join [1, O + 1, ...] tables of different length."""
    width = max(row.shape[1] for row in rows)
    return torch.cat([torch.cat((row, row.new_zeros(1, width - row.shape[1], *row.shape[2:])), 1)
                      for row in rows])


def clip_pixels(frames: np.ndarray) -> Tensor:
    """Frames uint8 [T, H, W, 3] -> normalised float32 [1, T, 3, H, W]."""
    pixels = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float() / 255
    return normalise(pixels)[None]
