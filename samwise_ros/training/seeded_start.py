"""What makes a decoder learn from seeded weights behind a trunk whose maps it has not seen before.

The maps of EfficientNet-Lite0 have a spread of 3 to 9, position codes of 0.7, so a decoder does not
see where anything is. And attention between points and pixels has to find out that equal codes mean
equal places. With both put right at the start, points and boxes are understood 300 steps later.
"""

from __future__ import annotations

import torch
from torch import Tensor

from samwise_ros.model.samwise import SamwiseModel

_FLOOR = 1e-3  # of a channel that is constant


@torch.no_grad()
def start_decoder(model: SamwiseModel, pixels: Tensor) -> None:
    """Prepare neck and mask decoder, in place.

    Args:
        model: With seeded weights in both.
        pixels: [B, T, 3, S_h, S_w] frames to measure the trunk's maps on.
    """
    _normalise_neck(model, pixels)
    transformer = model.sam.sam_mask_decoder.transformer
    pairs = [attention for layer in transformer.layers for attention in (
        layer.cross_attn_token_to_image, layer.cross_attn_image_to_token)]
    for attention in (*pairs, transformer.final_attn_token_to_image):
        # Query and key are read alike: a token looks at pixels whose code resembles its own.
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        attention.k_proj.bias.zero_()
        attention.q_proj.bias.zero_()


def _normalise_neck(model: SamwiseModel, pixels: Tensor) -> None:
    """Let each lateral convolution take its map's channels to mean zero and variance one first."""
    convs = model.encoder.neck.convs
    for level, v in enumerate(model.encoder.trunk_maps(pixels)):
        conv = convs[len(convs) - 1 - level].conv
        flat = v.flatten(0, -2)
        conv.weight /= flat.std(0).clamp(min=_FLOOR).view(1, -1, 1, 1)
        conv.bias.copy_(-(conv.weight.flatten(1) @ flat.mean(0)))
