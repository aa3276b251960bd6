"""One frame of the targets that were shown and have no sentence: SAM 2's own way, no text, no CMT.

A target is found once from its point, box or mask, and then by its memory alone. Rows whose
memories are equally full are one batch: after the first fifteen frames all are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samwise_ros.model.features import FrameFeatures
from samwise_ros.model.mask_head import NO_OBJECT_LOGIT
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.prompts import SURE, VisualPrompt
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.frame_step import Answer, Part, Row, answer_of, show
from samwise_ros.streaming.image_ops import InputSize


def shown_step(model: SamwiseModel, size: InputSize, pixels: Tensor,
               known: Mapping[int, MemoryBank | VisualPrompt | None],
               ) -> tuple[list[Part], dict[int, MemoryBank]]:
    """Answer one frame.

    Args:
        model: In eval mode.
        size: Of the frame.
        pixels: [3, S_h, S_w] from `prepare_frame`.
        known: Of each target its memory, or how it is shown on this frame. None: its memory was
            reset, and nothing says any more what it was; it is absent then.

    Returns:
        Answers, each with the keys of its rows, and memories by key; nothing for None.
    """
    groups: dict[object, list[int]] = {}
    answers: list[Part] = []
    banks: dict[int, MemoryBank] = {}
    for key, each in known.items():
        if each is not None:
            groups.setdefault(_fill(each) if isinstance(each, MemoryBank) else key, []).append(key)
    if not groups:
        return [], {}
    features = model.encode_plain(pixels[None, None]).frame(0)
    for keys in groups.values():
        answer, bank = _answered(model, size, _of_rows(features, len(keys)),
                                 [each for key in keys if (each := known[key]) is not None])
        answers.append((keys, answer))
        for at, key in enumerate(keys):
            before = known[key]
            age = before.age if isinstance(before, MemoryBank) else 0
            banks[key] = replace(_row(bank, at), age=age + 1)
    return answers, banks


def absent_row(size: InputSize, logits: bool) -> Row:
    """The answer for a target that cannot be looked for."""
    grid = tuple(side // 4 for side in size.padded)
    row: Row = {"masks": np.zeros(size.camera, bool), "boxes": np.zeros(4, np.int32),
                "areas": np.int32(0), "scores": np.float32(-SURE), "switched": np.bool_(False),
                "finite": np.bool_(True)}
    return row | ({"low_res": np.full(grid, NO_OBJECT_LOGIT, np.float32)} if logits else {})


def _answered(model: SamwiseModel, size: InputSize, features: FrameFeatures,
              known: Sequence[MemoryBank | VisualPrompt]) -> tuple[Answer, MemoryBank]:
    """Of rows with equally full memories, or of one that is shown."""
    if isinstance(known[0], VisualPrompt):
        bank = MemoryBank(keeps_first=model.sam.tracks)
        found = show(model, features, bank, known[0])
    else:
        bank = _stacked([each for each in known if isinstance(each, MemoryBank)])
        found = model.segment_frame(features, bank,
                                    prompt=VisualPrompt.nothing(len(known), features.vision.device))
    spatial = model.encode_memory(features.vision, found.memorised).float()
    peak = found.prediction.peak
    bank = bank.append(spatial, found.prediction.pointer.float(), model.config.memory,
                       None if peak is None else peak.float())
    return answer_of(found, spatial, size, model.config.mask_threshold), bank


def _fill(bank: MemoryBank) -> tuple[int, int]:
    if bank.spatial is None or bank.pointers is None:
        return 0, 0
    return bank.spatial.shape[1], bank.pointers.shape[1]


def _of_rows(features: FrameFeatures, rows: int) -> FrameFeatures:
    return replace(features, vision=features.vision.expand(rows, -1, -1, -1))


def _stacked(banks: list[MemoryBank]) -> MemoryBank:
    parts: dict[str, Any] = {name: torch.cat([getattr(bank, name) for bank in banks])
             for name in ("spatial", "pointers", "peak") if getattr(banks[0], name) is not None}
    return replace(banks[0], **parts)


def _row(bank: MemoryBank, row: int) -> MemoryBank:
    """A copy of one row: a view would keep the others alive."""
    parts: dict[str, Any] = {name: getattr(bank, name)[row : row + 1].clone()
             for name in ("spatial", "pointers", "peak") if getattr(bank, name) is not None}
    return replace(bank, **parts)
