"""Targets that are shown rather than said: points, boxes and masks on one frame.

sam2's own prompt encoder embeds them. A row that is shown nothing gets the two absent points that
sam2 gives on frames that are answered from memory alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from torch import Tensor, nn

NOTHING, BESIDE, ON_TARGET, UPPER_LEFT, LOWER_RIGHT = -1, 0, 1, 2, 3  # sam2's labels of points
SURE = 10.0  # logit of a shown mask, and minus it outside, as in sam2


@dataclass(frozen=True)
class VisualPrompt:
    """What N rows are shown of their targets on one frame.

    Attributes:
        points: float [N, P, 2] (x, y) in pixels of the model's input.
        labels: int64 [N, P]: `ON_TARGET`, `BESIDE`, a box's two corners, or `NOTHING`.
        masks: bool [N, S_h, S_w] at the size of the input, or None.
        has_mask: bool [N], rows that `masks` belongs to; None with `masks`: all.
    """

    points: Tensor
    labels: Tensor
    masks: Tensor | None = None
    has_mask: Tensor | None = None

    @property
    def is_ambiguous(self) -> bool:
        """Whether the rows are shown at most one point, which may mean a part or the whole."""
        return self.masks is None and self.labels.shape[1] <= 1

    @classmethod
    def nothing(cls, rows: int, device: torch.device | str = "cpu") -> VisualPrompt:
        """Of N rows that are shown nothing."""
        return cls(torch.zeros(rows, 1, 2, device=device),
                   torch.full((rows, 1), NOTHING, device=device))

    def to(self, device: torch.device | str) -> VisualPrompt:
        """Copy on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved)

    def memorise(self, found: Tensor) -> Tensor:
        """Mask logits [N, S_h, S_w] to remember: a shown mask in place of what was `found`."""
        if self.masks is None:
            return found
        shown = torch.where(self.masks, SURE, -SURE).to(found)
        return shown if self.has_mask is None else \
            torch.where(self.has_mask[:, None, None], shown, found)


def embed_prompt(encoder: PromptEncoder, prompt: VisualPrompt, grid: tuple[int, int],
                 downsample: nn.Module | None = None) -> tuple[Tensor, Tensor]:
    """Tokens [N, P + 1, C] and dense embedding [N or 1, C, h, w or 1] of a prompt.

    Args:
        encoder: Of sam2; it believes that inputs are square.
        prompt: Of N rows.
        grid: (h, w) of the features at stride 16.
        downsample: sam2's `mask_downsample`, from masks [N, 1, S_h, S_w] of 0 and 1 to logits at
            the decoder's resolution; None: their mean, as `training/follow.py` does.
    """
    height, width = (16 * side for side in grid)
    square = encoder.input_image_size
    # sam2 moves points to the middle of their pixel, which the stretch must not enlarge.
    points = torch.stack([(axis + 0.5) * stretch - 0.5 for axis, stretch in zip(
        prompt.points.unbind(-1), (square[1] / width, square[0] / height), strict=True)], dim=-1)
    tokens, _ = encoder(points=(points, prompt.labels), boxes=None, masks=None)
    nothing = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    if prompt.masks is None:
        return tokens, nothing
    masks = prompt.masks[:, None].float()
    quarter = (2 * F.avg_pool2d(masks, 4) - 1) * SURE if downsample is None else downsample(masks)
    dense = encoder.mask_downscaling(quarter)
    if prompt.has_mask is not None:
        dense = torch.where(prompt.has_mask[:, None, None, None], dense, nothing)
    return tokens, dense
