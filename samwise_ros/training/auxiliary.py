"""Auxiliary heads for networks that start from nothing. They live in training only.

A trunk from scratch gets a faint signal through text and decoder. The heads teach it directly:
class and colour of every pixel on the maps before fusion, the mask on the features before the
decoder, and the displacement of objects on HSA's output. Features are read with forward hooks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.samwise import ClipOutput, SamwiseModel
from samwise_ros.training.batches import SceneLabels, TrainBatch
from samwise_ros.training.config import LossSetup
from samwise_ros.training.losses import frame_losses

BACKGROUND_WEIGHT = 0.2  # most pixels are background


class AuxiliaryHeads(nn.Module):
    """Heads over the maps of stages 0..2 and over the stride-16 features.

    Args:
        model: Its trunk and first adapter are hooked while `self` exists.
        num_classes, num_colours: Of the data, without background.
    """

    def __init__(self, model: SamwiseModel, num_classes: int, num_colours: int) -> None:
        super().__init__()
        self.num_classes = num_classes + 1
        outputs = self.num_classes + num_colours + 1 + 2  # class, colour, way to the middle
        channels = model.config.hiera.channels
        # Stage 0 answers per pixel; deeper stages for the 2 x 2 or 4 x 4 finer cells they hold.
        self.dense = nn.ModuleList(nn.Conv2d(channels[i], outputs * 4**i, 1) for i in range(3))
        self.mask = nn.Conv2d(model.config.hidden_dim, 16, 1)
        self.flow = nn.Linear(model.config.cmt.dim, 2)
        self._maps: list[list[Tensor]] = [[], [], []]
        self._mixed: list[Tensor] = []
        trunk = model.sam.image_encoder.trunk
        for index, maps in enumerate(self._maps):
            trunk.blocks[trunk.stage_ends[index]].register_forward_hook(_keep(maps))
        if model.config.cmt.enabled and model.config.cmt.hsa:
            model.cmt_adapters[0].hsa.register_forward_hook(_keep(self._mixed))
        self._side = model.config.cmt.hsa_patch_sides[0]

    def clear(self) -> None:
        """Forget the maps of the last forward pass; call before each."""
        for maps in (*self._maps, self._mixed):
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
        if batch.labels is not None and setup.flow > 0 and batch.pixels.shape[1] > 1:
            losses["flow"] = self._flow_loss(batch.labels)
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
        total, accuracy = 0.0, 0.0
        ways = ways_to_middle(labels.numbers.flatten(0, 1))
        for index, maps in enumerate(self._maps):
            v = _in_clip_order(maps, labels.numbers.shape[:2]).permute(0, 3, 1, 2)
            logits = F.pixel_shuffle(self.dense[index](v), 2**index)
            classes, colours, way = logits.split(
                [self.num_classes, logits.shape[1] - self.num_classes - 2, 2], dim=1)
            numbers = nearest_labels(labels.numbers.flatten(0, 1), logits.shape[-2:])
            truth = _look_up(labels.classes, numbers), _look_up(labels.colours, numbers)
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

    def _flow_loss(self, labels: SceneLabels) -> Tensor:
        """Smooth L1 of each object pixel's displacement since the frame before, in cells."""
        frames = len(self._mixed)
        batch, side = labels.numbers.shape[0], self._side
        height, width = (s // 16 for s in labels.numbers.shape[-2:])
        rows, columns = height // side, width // side
        cells = torch.stack(self._mixed, 1) if frames > 1 else self._mixed[0].unflatten(
            1, (-1, side * side))
        if frames == 1:  # all frames in one call: [B*cells, T*P*P, D]
            frames = cells.shape[1]
        predicted = self.flow(cells).view(batch, rows, columns, frames, side, side, 2)
        predicted = predicted.permute(0, 3, 1, 4, 2, 5, 6).reshape(batch, frames, height, width, 2)
        moved, known = displacements(labels.numbers)
        numbers = nearest_labels(labels.numbers.flatten(0, 1), (height, width))
        numbers = numbers.unflatten(0, (batch, frames)).long()
        index = numbers.flatten(2)
        target = torch.gather(moved, 2, index[..., None].expand(*index.shape, 2)).view_as(predicted)
        use = torch.gather(known, 2, index).view_as(numbers) & (numbers > 0)
        loss = F.smooth_l1_loss(predicted, target, reduction="none", beta=0.1).sum(-1)
        return (loss * use).sum() / use.sum().clamp(min=1)


def _keep(maps: list[Tensor]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps.append(output)

    return hook


def _in_clip_order(maps: list[Tensor], shape: tuple[int, int]) -> Tensor:
    """One map [B*T, ...], or T maps [B, ...] of a causal pass -> [B*T, ...]."""
    if len(maps) == 1:
        return maps[0]
    return torch.stack(maps, dim=1).flatten(0, 1)


def nearest_labels(numbers: Tensor, size: tuple[int, int]) -> Tensor:
    """[M, H, W] -> [M, h, w], the value at the middle of each cell."""
    step_y, step_x = numbers.shape[1] // size[0], numbers.shape[2] // size[1]
    return numbers[:, step_y // 2 :: step_y, step_x // 2 :: step_x]


def _look_up(table: Tensor, numbers: Tensor) -> Tensor:
    """Table [B, O + 1] at numbers [B*T, h, w] -> int64 [B*T, h, w]."""
    frames = numbers.shape[0] // table.shape[0]
    table = table.repeat_interleave(frames, 0)
    return torch.gather(table, 1, numbers.flatten(1).long()).view(numbers.shape)


def middles(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Middle of each object's mask.

    Args:
        numbers: uint8 [M, H, W] object numbers.

    Returns:
        float [M, O + 1, 2] (x, y) in pixels and [M, O + 1] areas.
    """
    one_hot = F.one_hot(numbers.long(), int(numbers.max()) + 1).float()  # [M, H, W, O + 1]
    area = one_hot.sum((1, 2))
    ys = torch.arange(numbers.shape[1], dtype=torch.float32, device=numbers.device)
    xs = torch.arange(numbers.shape[2], dtype=torch.float32, device=numbers.device)
    x = (one_hot.sum(1) * xs[:, None]).sum(1)
    y = (one_hot.sum(2) * ys[:, None]).sum(1)
    return torch.stack((x, y), -1) / area.clamp(min=1)[..., None], area


def ways_to_middle(numbers: Tensor, cell: float = 16.0) -> Tensor:
    """From each pixel to the middle of its object, in units of `cell` pixels: [M, 2, H, W]."""
    middle, _ = middles(numbers)
    index = numbers.flatten(1).long()[..., None].expand(-1, -1, 2)
    target = torch.gather(middle, 1, index).view(*numbers.shape, 2).permute(0, 3, 1, 2)
    ys = torch.arange(numbers.shape[1], dtype=torch.float32, device=numbers.device)
    xs = torch.arange(numbers.shape[2], dtype=torch.float32, device=numbers.device)
    here = torch.stack(torch.meshgrid(xs, ys, indexing="xy"))
    return (target - here) / cell


def displacements(numbers: Tensor, cell: float = 16.0) -> tuple[Tensor, Tensor]:
    """How far the middle of each object's mask moved since the frame before.

    Args:
        numbers: uint8 [B, T, H, W] object numbers.
        cell: Pixels per unit of the result.

    Returns:
        float [B, T, O + 1, 2] (x, y; zero on the first frame) and bool [B, T, O + 1], True where
        the object was seen on both frames.
    """
    middle, area = (part.unflatten(0, numbers.shape[:2]) for part in middles(numbers.flatten(0, 1)))
    moved = torch.zeros_like(middle)
    moved[:, 1:] = (middle[:, 1:] - middle[:, :-1]) / cell
    seen = area > 0
    known = seen.clone()
    known[:, 0] = False
    known[:, 1:] &= seen[:, :-1]
    return moved, known
