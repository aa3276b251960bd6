"""Convolutions with fixed weights on a CPU in the order in which oneDNN reads them.

torch gives large convolutions to oneDNN, too, but has it arrange the weights anew at every call,
and with one thread it takes a slow path of its own for 1x1 kernels. Uneven padding needs no copy of
the input here, and a ReLU6 is part of the call. When it pays is as for `matrices`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.constants import constant
from samwise_ros.model.matrices import ONEDNN, pays

_SHAPES = 4  # inputs for which weights are kept: a frame and the same at half size, of two cameras


class PaddedConv(nn.Conv2d):
    """Convolution of stride 1 or 2 that pads as TensorFlow does: at stride 2 more at the end.

    Args:
        inputs, outputs: Channels.
        kernel: Side, odd. stride, groups: As for `nn.Conv2d`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *,
                 groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        self.sides = (kernel - stride) // 2, (kernel - stride + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """[M, C, h, w] -> [M, C', h / stride, w / stride]."""
        return self._by_onednn(x, "none", []) if pays(x, self.weight) else self._by_torch(x)

    def clipped(self, x: Tensor) -> Tensor:
        """The same, and ReLU6."""
        if pays(x, self.weight):
            return self._by_onednn(x, "hardtanh", [0.0, 6.0])
        return F.relu6(self._by_torch(x))

    def _by_torch(self, x: Tensor) -> Tensor:
        first, last = self.sides
        x = x if first == last else F.pad(x, (first, last, first, last))
        return F.conv2d(x, self.weight, self.bias, self.stride,
                        first if first == last else 0, groups=self.groups)

    def _by_onednn(self, x: Tensor, activation: str, limits: list[float]) -> Tensor:
        kernel = constant(self, "kernel", (self.weight,),
                          lambda: _Kernel(self.weight.detach(), self.sides))
        return ONEDNN._convolution_pointwise(
            x, kernel.arranged(self, x), self.bias, kernel.padding, self.stride, self.dilation,
            self.groups, activation, limits, "")


class _Kernel:
    """Weights [C', C / groups, k, k] for even padding: zeros make up for the smaller side."""

    def __init__(self, weight: Tensor, sides: tuple[int, int]) -> None:
        first, last = sides
        self.padding = (last, last)
        self._weight = F.pad(weight, (last - first, 0) * 2)
        self._arranged: dict[torch.Size, Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Copies arrange theirs themselves: torch cannot copy such a tensor."""
        return {**self.__dict__, "_arranged": {}}

    def arranged(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """For inputs of this shape: one arranged for another is arranged anew in every call."""
        found = self._arranged.get(x.shape)
        if found is None:
            found = ONEDNN._reorder_convolution_weight(
                self._weight, self.padding, conv.stride, conv.dilation, conv.groups, x.shape)
            others = list(self._arranged.items())[1 - _SHAPES:]
            self._arranged = {**dict(others), x.shape: found}  # at once: other threads read it
        return found
