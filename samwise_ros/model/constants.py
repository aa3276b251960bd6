"""What follows from weights alone is computed once, not once per frame.

A value is kept beside its module together with the state of the tensors that it was made from. It
is made anew when one of them was written to (loading, an optimiser step, averaging) or moved. While
gradients are recorded or a graph is compiled nothing is kept: the value is part of the computation
then. An exported graph is one of the weights as they are: what was kept becomes its constant.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from samwise_ros.model.precision import full_precision

Value = TypeVar("Value")
_KEPT = "_constants"


def constant(owner: nn.Module, name: Hashable, sources: Sequence[Tensor],
             make: Callable[[], Value]) -> Value:
    """The value of `make()`, kept in `owner` under `name` while `sources` stay as they are.

    Args:
        owner: A module.
        name: Names the value among those of the module; with all that it depends on besides
            weights.
        sources: Weights that it is made from.
        make: Reads `sources`; runs without gradients and in full precision.
    """
    if torch.is_grad_enabled():
        return make()
    if torch.compiler.is_compiling():
        found = owner.__dict__.get(_KEPT, {}).get(name) if torch.compiler.is_exporting() else None
        return make() if found is None else found[1]
    state = [(tensor.data_ptr(), tensor._version, tensor.dtype, tensor.device)
             for tensor in sources]
    kept = owner.__dict__.setdefault(_KEPT, {})
    found = kept.get(name)
    if found is None or found[0] != state:
        # Kept for all callers: inference mode's tensors could not be used by training afterwards.
        with torch.inference_mode(False), torch.no_grad(), \
                full_precision(sources[0].device):
            found = kept[name] = state, make()
    return found[1]
