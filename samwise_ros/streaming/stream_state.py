"""All that stream mode remembers of one camera's frames: one record of tensors of fixed shape.

What does not exist yet is masked, not absent: what a row sees follows from its age. Rings have one
slot more than is read of them. The next frame is written there, and counts once the clock has
advanced, so a frame that fails has overwritten nothing that counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from samwise_ros.model.context_ring import ContextRing
from samwise_ros.model.mask_head import NO_OBJECT_LOGIT
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.uploads import upload

# Of projected frames, by precision.
STATE_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StreamState:
    """Memory of R rows.

    Attributes:
        clock: int64 [1] frames that were written to the rings.
        ages: int64 [R] frames since each row's command.
        last_switch: int64 [R] age at the last CME switch, 0 for never.
        spatial: [R, M + 1, h*w, Cm] spatial memories; None without memory.
        pointers: [R, P + 1, C] object pointers; None without memory.
        shared: One ring of one camera per adapter that looks back before text is read.
        rows: One ring of R rows per further adapter.
        peak: [R] running peak of the mask logits, where masks are relative to it; else None.
        earlier: [1, lag, 3, S_h, S_w] frames that a motion branch compares with; else None.
    """

    clock: Tensor
    ages: Tensor
    last_switch: Tensor
    spatial: Tensor | None
    pointers: Tensor | None
    shared: tuple[ContextRing, ...]
    rows: tuple[ContextRing, ...]
    peak: Tensor | None
    earlier: Tensor | None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that there are."""
        rings = (part for ring in (*self.shared, *self.rows) for part in ring.parts)
        own = (self.clock, self.ages, self.last_switch, self.spatial, self.pointers, self.peak,
               self.earlier)
        return (*(part for part in own if part is not None), *rings)

    def copied(self) -> StreamState:
        """The same values in other tensors."""
        return tree_map(torch.clone, self)

    def restarted(self, rows: Tensor) -> StreamState:
        """The state in which rows have forgotten everything.

        Args:
            rows: bool [R].
        """
        ages, last = (part.masked_fill(rows, 0) for part in (self.ages, self.last_switch))
        peak = None if self.peak is None else self.peak.masked_fill(rows, NO_OBJECT_LOGIT)
        return replace(self, ages=ages, last_switch=last, peak=peak)

    def arranged(self, rows: list[int | None]) -> StreamState:
        """The state with other rows: by number those that stay, None for those that start anew."""
        device = self.ages.device
        chosen = upload(torch.tensor([row or 0 for row in rows]), device)

        def picked(record: StreamState | ContextRing, *names: str) -> dict[str, Any]:
            parts = {name: getattr(record, name) for name in names}
            return {name: part[chosen] for name, part in parts.items() if part is not None}

        rings = tuple(replace(ring, **picked(ring, "frames", "mapped", "scale"))
                      for ring in self.rows)
        state = replace(self, rows=rings, **picked(
            self, "ages", "last_switch", "spatial", "pointers", "peak"))
        return state.restarted(upload(torch.tensor([row is None for row in rows]), device))


def start_state(model: SamwiseModel, pixels: Tensor, rows: int, context_frames: int,
                dtype: torch.dtype = torch.float32) -> StreamState:
    """The state before the first frame.

    Args:
        model: Gives the shapes.
        pixels: [3, S_h, S_w] the first frame; before it a motion branch sees the same one.
        rows: R. context_frames: Earlier frames that HSA sees.
        dtype: Of projected frames.
    """
    config, device = model.config, pixels.device
    height, width = (side // 16 for side in pixels.shape[-2:])
    memory = config.memory if config.memory.num_spatial else None
    with torch.inference_mode(False):  # so that a state can be written to anywhere
        like = torch.zeros((), dtype=dtype, device=device)
        rings = tuple(
            model.encoder.adapters[index].new_ring(
                1 if index < config.cmt.shared_adapters else rows, context_frames + 1,
                (height * 4 >> stage, width * 4 >> stage), like)
            for index, stage in enumerate(model.encoder.fusion_stages))
        zeros = torch.zeros(rows, dtype=torch.int64, device=device)
        return StreamState(
            zeros[:1].clone(), zeros, zeros.clone(),
            None if memory is None else torch.zeros(
                rows, memory.num_spatial + 1, height * width, memory.dim, device=device),
            None if memory is None else torch.zeros(
                rows, memory.num_pointers + 1, config.hidden_dim, device=device),
            rings[: config.cmt.shared_adapters], rings[config.cmt.shared_adapters :],
            torch.full((rows,), NO_OBJECT_LOGIT, device=device)
            if config.decoder.relative_peak else None,
            pixels[None, None].repeat(1, config.motion_lag, 1, 1, 1)
            if config.motion_lag else None)


for _record in (ContextRing, StreamState):
    torch.export.register_dataclass(_record)
