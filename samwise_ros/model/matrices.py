"""Products with a matrix that serves many vectors, on a CPU in the order in which oneDNN reads it.

torch gives products of fp32 matrices to MKL, which arranges the matrix anew at every call and on
AMD processors leaves half of the vector width unused. oneDNN, which torch takes for convolutions
and in compiled graphs, is up to 2.5 times as quick with a matrix that was arranged once. Results
agree up to rounding. Gradients, graphs, GPUs and autocast keep torch's own product, and so do small
products, for which the call costs more than the arithmetic. What autocast would cast at every call
is cast once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.constants import constant

_LEAST = 1 << 20  # multiply-adds from which on oneDNN's call pays
_FEW = 64  # vectors; for fewer, arranging would gain less than a second copy of the matrix is worth
# What torch's own compiler emits for a linear layer. Not public: absent, everything still works.
ONEDNN: Any = torch.ops.mkldnn if torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name)
    for name in ("_linear_pointwise", "_reorder_linear_weight", "_convolution_pointwise",
                 "_reorder_convolution_weight")) else None


class Matrix:
    """x -> x W^T + b, for many x.

    Args:
        weight: W [out, in].
        bias: b [out] or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight, bias
        self._arranged: Tensor | None = None
        self._cast: tuple[Tensor, Tensor | None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Copies arrange theirs themselves: torch cannot copy such a tensor."""
        return {**self.__dict__, "_arranged": None}

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if casts(x):
            return F.linear(x, *self._as(torch.get_autocast_dtype(x.device.type)))
        if not pays(x, self.weight):
            return F.linear(x, self.weight, self.bias)
        if self._arranged is None:
            self._arranged = ONEDNN._reorder_linear_weight(self.weight.contiguous())
        return ONEDNN._linear_pointwise(x, self._arranged, self.bias, "none", [], "")

    def _as(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Weight and bias in a type of autocast."""
        if self._cast is None or self._cast[0].dtype != dtype:
            with torch.inference_mode(False), torch.no_grad():
                self._cast = (self.weight.to(dtype),
                              None if self.bias is None else self.bias.to(dtype))
        return self._cast


class Linear(nn.Linear):
    """A linear layer by way of `Matrix`."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if not (casts(x) or pays(x, self.weight)):
            return F.linear(x, self.weight, self.bias)
        if x.numel() < _FEW * self.in_features and not casts(x):  # words
            return ONEDNN._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        sources = (self.weight,) if self.bias is None else (self.weight, self.bias)
        return constant(self, "matrix", sources, lambda: Matrix(
            self.weight.detach(), None if self.bias is None else self.bias.detach()))(x)


def projections(mha: nn.MultiheadAttention) -> tuple[Matrix, Matrix, Matrix]:
    """Of queries, keys and values."""
    weight, bias = mha.in_proj_weight, mha.in_proj_bias

    def make() -> tuple[Matrix, Matrix, Matrix]:
        query, key, value = (Matrix(*parts) for parts in zip(weight.chunk(3), bias.chunk(3),
                                                             strict=True))
        return query, key, value

    return constant(mha, "projections", (weight, bias), make)


def use_matrices(module: nn.Module) -> None:
    """Turn all linear layers inside into `Linear`; names and values of parameters stay."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            part.__class__ = Linear


def casts(x: Tensor) -> bool:
    """Whether autocast would cast the other factor of x at every call."""
    return (not torch.compiler.is_compiling() and not torch.is_grad_enabled()
            and x.device.type in ("cpu", "cuda") and torch.is_autocast_enabled(x.device.type))


def pays(x: Tensor, weight: Tensor, least: int = _LEAST) -> bool:
    """Whether x [..., in] and W [out, in] are to be multiplied by oneDNN.

    Args:
        least: Multiply-adds from which on it is quicker.
    """
    return (x.numel() * weight.shape[0] >= least and x.device.type == "cpu"
            and x.dtype == weight.dtype == torch.float32 and ONEDNN is not None
            and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling())
