"""Quick scores of following what is shown: J by kind of prompt, on a fixed part of packed clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from samwise_ros.data.packed import PackedClips
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.training.batches import TrainBatch, clip_pixels
from samwise_ros.training.draws import MIN_VISIBLE
from samwise_ros.training.follow import follow
from samwise_ros.training.recipe import PROMPTS
from samwise_ros.training.shown import draw_prompts
from samwise_ros.training.validation import (
    KindScore,
    kind_scores,
    random_object_j,
    region_similarity,
)


class FollowValidation:
    """Scores a model on the objects that the first frames of packed clips show.

    Args:
        packs: Validation data; the name of each one's folder is part of the names of scores.
        frames: From the start of each clip.
        rows: Stop after about this many objects a folder.

    Every object is shown in one way, in turn by point, box and mask.
    """

    def __init__(self, packs: Sequence[PackedClips], frames: int, rows: int) -> None:
        self._packs, self._frames, self._rows = packs, frames, rows

    @torch.no_grad()
    def score(self, model: SamwiseModel) -> dict[str, KindScore]:
        """Mean J per folder and prompt, per folder on the last frame, and of "gone" frames.

        "gone": share of frames on which a target that is out of sight is called absent. Model in
        eval mode.
        """
        values: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for folder, batch, numbers in self._batches():
            assert batch.prompt is not None  # `_batches` shows each target
            output = follow(model, batch.pixels.to(model.device), batch.prompt.to(model.device),
                            batch.clip_of_row.to(model.device))
            low_res, scores = output.low_res.cpu(), output.object_scores.cpu()
            logits = model.upsample(low_res.flatten(0, 1)).unflatten(0, low_res.shape[:2])
            found = (logits > 0) & (scores > 0)[:, :, None, None]
            j = region_similarity(found, batch.masks)
            seen = batch.area >= MIN_VISIBLE
            for row, kind in enumerate(batch.kinds):
                chance = random_object_j(numbers, batch.masks[row].numpy())
                values[f"{folder}_{kind}"].append((float(j[row][seen[row]].mean()), chance))
                if seen[row, -1]:
                    values[f"{folder}_last"].append((float(j[row, -1]), chance))
                for score in scores[row][batch.area[row] == 0]:
                    values["gone"].append((float(score <= 0), 0.0))
        return kind_scores(values)

    def _batches(self) -> Iterator[tuple[str, TrainBatch, np.ndarray]]:
        """Name of the folder, one clip with all its objects, and its object numbers."""
        for pack in self._packs:
            count = 0
            for clip in range(pack.num_clips):
                if count >= self._rows:
                    break
                numbers = np.array(pack.labels(clip)[: self._frames])
                rows = [n for n in np.unique(numbers[0])
                        if n and (numbers[0] == n).sum() >= MIN_VISIBLE]
                if not rows:
                    continue
                masks = np.stack([numbers == number for number in rows])
                rng = np.random.default_rng((clip, len(rows)))
                kind = PROMPTS[clip % len(PROMPTS)]
                prompt, kinds = draw_prompts(masks[:, 0], {kind: 1.0}, rng)
                count += len(rows)
                yield pack.root.name, TrainBatch(
                    clip_pixels(pack.frames(clip)[: self._frames]), (),
                    torch.zeros(len(rows), dtype=torch.long), torch.from_numpy(masks),
                    kinds=kinds, prompt=prompt), numbers
