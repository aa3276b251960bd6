"""A pass over clips whose targets are shown on the first frame and then followed by memory."""

from __future__ import annotations

import torch
from torch import Tensor

from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.prompts import VisualPrompt
from samwise_ros.model.samwise import ClipOutput, SamwiseModel


def follow(model: SamwiseModel, pixels: Tensor, prompt: VisualPrompt,
           clip_of_row: Tensor) -> ClipOutput:
    """Raw mask logits of all frames, with gradients through the memory.

    Args:
        model: Its text side is not used.
        pixels: [B, T, 3, S_h, S_w].
        prompt: What the N rows are shown on the first frame.
        clip_of_row: int64 [N].
    """
    encoded = model.encode_plain(pixels)
    nothing = VisualPrompt.nothing(len(clip_of_row), pixels.device)
    bank, low_res, scores = MemoryBank(), [], []
    for t in range(pixels.shape[1]):
        features = encoded.frame(t).of_rows(clip_of_row)
        out = model.segment_frame(features, bank, hide_absent=False,
                                  prompt=prompt if t == 0 else nothing)
        if t + 1 < pixels.shape[1]:
            memory = model.encode_memory(features.vision, out.memorised)
            bank = bank.append(memory, out.prediction.pointer, model.config.memory,
                               out.prediction.peak)
        low_res.append(out.prediction.low_res)
        scores.append(out.prediction.object_score)
    return ClipOutput(torch.stack(low_res, 1), torch.stack(scores, 1), (), encoded.vision)
