"""Auxiliary heads for networks that start from nothing. They live in training only.

A trunk from scratch gets a faint signal through text and decoder. The heads teach it directly:
class and colour of every object pixel on the maps before fusion, its displacement on the motion
branch, what its object has been doing on HSA's output, and the mask on the features before the
decoder. Features are read with forward hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.motion_branch import FEATURES
from samwise_ros.model.samwise import ClipOutput, SamwiseModel
from samwise_ros.training.batches import SceneLabels, TrainBatch, Vocabulary
from samwise_ros.training.losses import frame_losses
from samwise_ros.training.recipe import LossSetup
from samwise_ros.training.scene_geometry import (
    displacements,
    look_up,
    nearest_labels,
    ways_to_middle,
)

BACKGROUND_WEIGHT = 0.2  # most pixels are background
MOVED = 0.2  # of a cell of 16 pixels: less than this may be nothing
NOTHING = -1e4  # logit without gradient
TAG_WEIGHT = 4.0  # of what an object does, since it does few of all things


class AuxiliaryHeads(nn.Module):
    """Heads over the maps of stages 0..2, over HSA's output and over the stride-16 features.

    Args:
        model: Its trunk and first adapter are hooked while `self` exists.
        vocabulary: Of the data.
    """

    def __init__(self, model: SamwiseModel, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        outputs = vocabulary.classes + vocabulary.colours + 2 + 2  # and the way to the middle
        channels = model.config.hiera.channels
        # Stage 0 answers per pixel; deeper stages for the 2 x 2 or 4 x 4 finer cells they hold.
        self.dense = nn.ModuleList(nn.Conv2d(channels[i], outputs * 4**i, 1) for i in range(3))
        self.flow = nn.Conv2d(FEATURES, 2, 1)
        self.mask = nn.Conv2d(model.config.hidden_dim, 16, 1)
        self.tags = nn.Linear(model.config.cmt.dim, vocabulary.tags)
        self._lag = model.config.motion_lag
        self._motion: list[Tensor] = []
        if model.motion_branch is not None:
            model.motion_branch.motion.register_forward_hook(_keep(self._motion))
        self._maps: list[list[Tensor]] = [[], [], []]
        self._mixed: list[Tensor] = []
        trunk = model.sam.image_encoder.trunk
        for index, maps in enumerate(self._maps):
            trunk.blocks[trunk.stage_ends[index]].register_forward_hook(_keep(maps))
        if model.config.cmt.enabled and model.config.cmt.hsa:
            model.cmt_adapters[0].get_submodule("hsa").register_forward_hook(_keep(self._mixed))
        self._side = model.config.cmt.hsa_patch_sides[0]

    def clear(self) -> None:
        """Forget the maps of the last forward pass; call before each."""
        for maps in (*self._maps, self._mixed, self._motion):
            maps.clear()

    def forward(self, output: ClipOutput | None, batch: TrainBatch,
                setup: LossSetup) -> dict[str, Tensor]:
        """Unweighted losses of the last forward pass, those with a weight above zero.

        `output` is None when only the expression-independent part ran.
        """
        losses = {}
        if setup.deep > 0 and output is not None:
            graded = batch.last_frames(output.vision.shape[1])
            losses["deep"] = self._mask_loss(output.vision, graded, setup.absent)
        if batch.labels is not None and setup.dense > 0:
            losses["dense"], losses["class_accuracy"] = self._dense_loss(batch.labels)
        if batch.labels is not None and batch.pixels.shape[1] > 1:
            if setup.flow > 0 and self._motion:
                losses["flow"], losses["flow_of_zero"] = self._flow_loss(batch.labels)
            if setup.tags > 0:
                losses["tags"], losses["moving_accuracy"] = self._tag_loss(batch.labels)
        return losses

    def _mask_loss(self, vision: Tensor, batch: TrainBatch, absent: float) -> Tensor:
        """Cross-entropy and dice of a mask at stride 4 read off the [N, T, C, h, w] features."""
        logits = F.pixel_shuffle(self.mask(vision.flatten(0, 1)), 4).unflatten(0, vision.shape[:2])
        logits = logits[:, :, 0]
        target = F.adaptive_avg_pool2d(batch.masks.float(), logits.shape[-2:])
        bce, dice = frame_losses(logits, target, batch.area > 0, absent)
        return 5 * bce + dice

    def _dense_loss(self, labels: SceneLabels) -> tuple[Tensor, Tensor]:
        """Class and colour cross-entropy and the way to the object's middle, over three stages.

        Also stage 2's class accuracy on object pixels.
        """
        total = accuracy = labels.tags.new_zeros(())
        ways = ways_to_middle(labels.numbers.flatten(0, 1))
        for index, maps in enumerate(self._maps):
            v = _in_clip_order(maps, labels.numbers.shape[:2]).permute(0, 3, 1, 2)
            logits = F.pixel_shuffle(self.dense[index](v), 2**index)
            classes, colours, way = logits.split(
                [self.vocabulary.classes + 1, self.vocabulary.colours + 1, 2], dim=1)
            numbers = nearest_labels(labels.numbers.flatten(0, 1), logits.shape[-2:])
            truth = look_up(labels.classes, numbers), look_up(labels.colours, numbers)
            classes = self._without_held_out(classes, truth[1])
            for part, answer in zip((classes, colours), truth, strict=True):
                weight = torch.ones(part.shape[1], device=part.device)
                weight[0] = BACKGROUND_WEIGHT
                total = total + F.cross_entropy(part, answer, weight)
            found = truth[0] > 0
            middle = nearest_labels(ways.flatten(0, 1), logits.shape[-2:]).unflatten(0, (-1, 2))
            miss = F.smooth_l1_loss(way, middle, reduction="none", beta=0.1).sum(1)
            total = total + (miss * found).sum() / found.sum().clamp(min=1)
            accuracy = ((classes.argmax(1) == truth[0]) & found).sum() / found.sum().clamp(min=1)
        return total / 3, accuracy.detach()

    def _without_held_out(self, classes: Tensor, colours: Tensor) -> Tensor:
        """Class logits [M, K, h, w] without the class that is held out in a pixel's colour."""
        for name, colour in self.vocabulary.held_out:
            ruled_out = torch.zeros_like(classes, dtype=torch.bool)
            ruled_out[:, name] = colours == colour
            classes = classes.masked_fill(ruled_out, NOTHING)
        return classes

    def _flow_loss(self, labels: SceneLabels) -> tuple[Tensor, Tensor]:
        """Smooth L1 of each object pixel's displacement over the lag, in cells of 16 pixels.

        Read off the motion branch. Also what predicting no motion would cost.
        """
        predicted = self.flow(_in_clip_order(self._motion, labels.numbers.shape[:2]))
        predicted = predicted.permute(0, 2, 3, 1)
        moved, known = displacements(labels.numbers, self._lag)
        numbers = nearest_labels(labels.numbers.flatten(0, 1), predicted.shape[1:3]).long()
        target = _of_object(moved.flatten(0, 1), numbers)
        use = _of_object(known.flatten(0, 1)[..., None], numbers)[..., 0] & (numbers > 0)
        return (_mean_miss(predicted, target, use),
                _mean_miss(torch.zeros_like(target), target, use).detach())

    def _tag_loss(self, labels: SceneLabels) -> tuple[Tensor, Tensor]:
        """Cross-entropy of what each object pixel's object does; also accuracy of "still" or not.

        An object counts once it has moved since the clip's first frame: before, nobody could know.
        """
        batch, frames, height, width = labels.numbers.shape
        logits = self.tags(self._hsa_output(batch, height // 16, width // 16))
        numbers = nearest_labels(labels.numbers.flatten(0, 1), (height // 16, width // 16))
        numbers = numbers.unflatten(0, (batch, frames)).long()
        still = labels.tags[:, :, self.vocabulary.still] > 0
        moved, known = displacements(labels.numbers, frames)
        still = still[:, : moved.shape[2]]  # objects of the highest numbers may be out of sight
        known &= (moved.norm(dim=-1).cummax(1).values > MOVED) | still[:, None]
        use = _of_object(known.flatten(0, 1)[..., None], numbers.flatten(0, 1))[..., 0]
        use &= numbers.flatten(0, 1) > 0
        truth = _of_object(labels.tags.repeat_interleave(frames, 0), numbers.flatten(0, 1))
        logits = logits.flatten(0, 1)
        miss = F.binary_cross_entropy_with_logits(
            logits, truth, reduction="none", pos_weight=logits.new_tensor(TAG_WEIGHT)).mean(-1)
        right = (logits[..., self.vocabulary.still] > 0) == (truth[..., self.vocabulary.still] > 0)
        count = use.sum().clamp(min=1)
        return (miss * use).sum() / count, (right & use).sum().detach() / count

    def _hsa_output(self, batch: int, height: int, width: int) -> Tensor:
        """What the first adapter's HSA adds: [B, T, h, w, D], from one call or one per frame."""
        side = self._side
        cells = [part.unflatten(1, (-1, side * side)) for part in self._mixed]
        mixed = torch.cat(cells, dim=1)  # [B*cells, T, P*P, D]
        frames = mixed.shape[1]
        mixed = mixed.view(batch, height // side, width // side, frames, side, side, -1)
        return mixed.permute(0, 3, 1, 4, 2, 5, 6).reshape(batch, frames, height, width, -1)


def _mean_miss(guess: Tensor, target: Tensor, use: Tensor) -> Tensor:
    """Mean smooth L1 distance of [M, h, w, 2] vectors over the pixels to `use`."""
    miss = F.smooth_l1_loss(guess, target, reduction="none", beta=0.1).sum(-1)
    return (miss * use).sum() / use.sum().clamp(min=1)


def _of_object(table: Tensor, numbers: Tensor) -> Tensor:
    """Per pixel the entry of its object: table [M, O + 1, K], numbers [M, h, w] -> [M, h, w, K]."""
    index = numbers.flatten(1)[..., None].expand(-1, -1, table.shape[-1])
    return torch.gather(table, 1, index).view(*numbers.shape, -1)


def _keep(maps: list[Tensor]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps.append(output)

    return hook


def _in_clip_order(maps: list[Tensor], shape: Sequence[int]) -> Tensor:
    """One map [B*T, ...], or T maps [B, ...] of a causal pass -> [B*T, ...]."""
    if len(maps) == 1:
        return maps[0]
    return torch.stack(maps, dim=1).flatten(0, 1)
