"""A causal pass over clips of which only the last frames are learnt from.

Back-propagation through every frame of a clip costs three times its forward pass. Streaming needs a
past to look at, not a gradient through all of it: early frames only fill context and memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from samwise_ros.model.features import CausalContext, extend_context
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import ClipOutput, SamwiseModel
from samwise_ros.model.text_encoder import TextState
from samwise_ros.training.batches import GivenMemory


def rollout(model: SamwiseModel, pixels: Tensor, text: TextState, clip_of_row: Tensor,
            graded: int, given: GivenMemory | None = None, run_cme: bool = False) -> ClipOutput:
    """Outputs of the last `graded` frames, computed as stream mode does.

    The expression-independent part has gradients on all frames (its cost is shared by the rows),
    the rest on the last `graded` ones.

    Args:
        model: In training mode.
        pixels: [B, T, 3, S_h, S_w]. text: Of N expressions. clip_of_row: int64 [N].
        graded: 1..T.
        given: What some rows remember instead.
        run_cme: Evaluate the CME on those of the last frames that would be eligible.
    """
    frames = pixels.shape[1]
    remembers = model.config.memory.num_spatial > 0
    encoder = model.encoder
    bank, records, low_res, scores, vision = MemoryBank(), [], [], [], []
    run_cme = run_cme and model.config.cme.enabled
    context = CausalContext.empty(model.config.cmt)
    for t in range(frames):
        learnt = t >= frames - graded
        shared = encoder.encode_shared(pixels[:, t : t + 1], context.shared)
        with torch.set_grad_enabled(learnt):
            encoded, projected = encoder.encode_rows(shared, text, context.rows, clip_of_row)
            context = extend_context(context, CausalContext(shared.kept, projected),
                                     model.config.cmt.clip_window - 1)
            if not (learnt or remembers):
                continue
            features = encoded.frame(0)
            eligible = None
            if run_cme and learnt and t > model.config.cme.decision_window:
                eligible = torch.zeros(len(clip_of_row), dtype=torch.bool, device=pixels.device)
            out = model.segment_frame(features, bank, eligible, hide_absent=False)
            if out.free is not None:
                records.append(model.cme_record(t, out))
            if remembers and t + 1 < frames:
                memorised = out.memorised if given is None else given.replace(out.memorised, t)
                memory = model.encode_memory(features.vision, memorised)
                bank = bank.append(memory, out.prediction.pointer, model.config.memory,
                                   out.prediction.peak)
        if learnt:
            low_res.append(out.prediction.low_res)
            scores.append(out.prediction.object_score)
            vision.append(features.vision)
    return ClipOutput(torch.stack(low_res, 1), torch.stack(scores, 1), tuple(records),
                      torch.stack(vision, 1))
