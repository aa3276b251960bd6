"""Quick scores during training: J by kind on a fixed part of packed validation clips.

The real figures come from `samwise evaluate sim`; this is the gauge on the training machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samwise_ros.data.packed import PackedClips
from samwise_ros.evaluation import metrics
from samwise_ros.model.features import extend_context
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.training.batches import TrainBatch, clip_pixels


@dataclass(frozen=True)
class KindScore:
    """Mean over the expressions of one kind.

    Attributes:
        j: Region similarity. random_object: the same of a perfect mask of a random visible object.
        count: Expressions.
    """

    j: float
    random_object: float
    count: int


@torch.no_grad()
def stream_clip(model: SamwiseModel, pixels: Tensor, tokens: Tokens,
                clip_of_row: Tensor) -> tuple[Tensor, Tensor]:
    """Masks as stream mode gives them, for training-size clips.

    Args:
        pixels: [B, T, 3, H, W]. tokens: N rows. clip_of_row: int64 [N].

    Returns:
        bool [N, T, H, W] and object scores [N, T], on the CPU.
    """
    pixels, _ = model.pair_frames(pixels.to(model.device))
    tokens, clip_of_row = tokens.to(model.device), clip_of_row.to(model.device)
    text, bank, context = model.encode_text(tokens), MemoryBank(), None
    last = torch.zeros_like(clip_of_row)
    cme = model.config.cme
    masks, scores = [], []
    for t in range(pixels.shape[1]):
        encoded, new = model.encode(pixels[:, t : t + 1], text, context, clip_of_row)
        context = extend_context(context, new, model.config.cmt.clip_window - 1)
        features = encoded.frame(0)
        eligible = None
        if cme.enabled and t > cme.decision_window:
            eligible = t - last >= cme.decision_window - 1
        out = model.segment_frame(features, bank, eligible)
        last = torch.where(out.switched, torch.full_like(last, t), last)
        memory = model.encode_memory(features.vision, out.memorised)
        bank = bank.append(memory, out.prediction.pointer, model.config.memory,
                           out.prediction.peak)
        masks.append(out.high_res > 0)
        scores.append(out.prediction.object_score)
    return torch.stack(masks, 1).cpu(), torch.stack(scores, 1).cpu()


def region_similarity(found: Tensor, truth: Tensor) -> Tensor:
    """J per frame: bool [..., H, W] twice -> [...]; 1 where both are empty."""
    union = (found | truth).sum((-2, -1)).float()
    common = (found & truth).sum((-2, -1)).float()
    return torch.where(union > 0, common / union.clamp(min=1), 1.0)


class QuickValidation:
    """Scores a model on the first clips of packed folders.

    Args:
        packs: Validation data. With several, scores are named by their folders, too.
        frames: Frames from the start of each clip.
        expressions: Stop after about this many of each.
    """

    def __init__(self, packs: list[PackedClips], frames: int, expressions: int) -> None:
        self._items, self._packs = [], packs
        for pack in packs:
            count = 0
            for clip in range(pack.num_clips):
                if count >= expressions:
                    break
                self._items.append((pack, clip))
                count += len(pack.expressions(clip))
        self._frames = frames

    def score(self, model: SamwiseModel) -> dict[str, KindScore]:
        """Mean J per kind; "absent" counts frames called absent in place of J. Model in eval."""
        values: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for (pack, _), (batch, numbers) in zip(self._items, self.batches(), strict=True):
            folder = f"{pack.root.name}_" if len(self._packs) > 1 else ""
            masks, scores = stream_clip(model, batch.pixels, model.tokenizer(batch.expressions),
                                        batch.clip_of_row)
            j = region_similarity(masks, batch.masks).mean(1)
            for row, kind in enumerate(batch.kinds):
                if kind == "absent":
                    values[folder + kind].append((float((scores[row] <= 0).float().mean()), 0.0))
                else:
                    chance = random_object_j(numbers, batch.masks[row].numpy())
                    values[folder + kind].append((float(j[row]), chance))
        return kind_scores(values)

    def batches(self) -> Iterator[tuple[TrainBatch, np.ndarray]]:
        """One batch per clip with all its expressions, and the clip's object numbers."""
        for pack, clip in self._items:
            length = min(self._frames, pack.length(clip))
            numbers = np.array(pack.labels(clip)[:length])
            entries = pack.expressions(clip)
            masks = np.stack([np.isin(numbers, answer) for _, _, answer in entries])
            batch = TrainBatch(clip_pixels(pack.frames(clip)[:length]),
                               tuple(text for text, _, _ in entries),
                               torch.zeros(len(entries), dtype=torch.long),
                               torch.from_numpy(masks), None,
                               tuple(str(kind) for _, kind, _ in entries))
            yield batch, numbers


def kind_scores(values: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, KindScore]:
    """Means of (J, J of a random object) per kind."""
    means = {kind: np.mean(pairs, axis=0) for kind, pairs in sorted(values.items())}
    return {kind: KindScore(float(mean[0]), float(mean[1]), len(values[kind]))
            for kind, mean in means.items()}


def random_object_j(numbers: np.ndarray, truth: np.ndarray) -> float:
    """Expected J of pointing, frame by frame, at a random visible object with a perfect mask.

    Args:
        numbers: uint8 [T, H, W] object numbers. truth: bool [T, H, W].
    """
    scores = []
    for frame, answer in zip(numbers, truth, strict=True):
        seen = [number for number in np.unique(frame) if number > 0]
        if not seen:
            scores.append(float(not answer.any()))
            continue
        scores.append(float(np.mean([metrics.region_similarity(frame == number, answer)
                                     for number in seen])))
    return float(np.mean(scores))


def mean_j(scores: dict[str, KindScore], folder: str = "") -> float:
    """One figure to compare checkpoints by: the mean over kinds, absent included.

    Args:
        scores: By name. folder: Only of scores whose names begin so, if there are any.
    """
    chosen = [score.j for name, score in scores.items() if name.startswith(folder)]
    return float(np.mean(chosen or [score.j for score in scores.values()]))
