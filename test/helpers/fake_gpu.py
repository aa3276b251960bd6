"""A GPU without data: tensors of "cuda" that know their shape, type and device, and nothing else.

torch's FakeTensorMode refuses what a GPU refuses (tensors of two devices in one operation) and what
would make the host wait (questions about a value), and code takes the ways it takes for "cuda",
autocast among them. What crosses between host and GPU is noted.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import samwise_ros
from samwise_ros.model import constants, memory_attention
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.streaming import image_ops

GPU = torch.device("cuda", 7)  # none that a machine of tests has, nor the current one
_SOURCES = str(Path(samwise_ros.__file__).parent)


@dataclass
class Crossings(TorchDispatchMode):
    """What crosses between host and GPU.

    Attributes:
        waits: Where the host waits until the GPU has done all that was asked of it: transfers to
            the host, and uploads that do not say `non_blocking`.
        uploads: Where pinned memory is sent without waiting.
        forbidden: Raise for all of them, as CUDA does while a graph is captured.
    """

    waits: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    forbidden: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Callable, types: tuple, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        """Run the operation and look at the devices of what went in and came out."""
        result = func(*args, **(kwargs or {}))
        given, found = (_devices(part) for part in ((args, kwargs), result))
        if given and found and given != found and "cuda" in given | found \
                and "fill_" not in str(func):  # a number of the host goes along with the launch
            self.note(str(func), blocks=not (kwargs or {}).get("non_blocking"))
        return result

    def note(self, what: str, blocks: bool = True) -> None:
        """Write down a crossing and the line of the package that it comes from."""
        frames = [each for each in traceback.extract_stack() if each.filename.startswith(_SOURCES)]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "a test"
        place = f"{what} in {place}"
        assert not self.forbidden, f"{place}: CUDA refuses that in a capture"
        (self.waits if blocks else self.uploads).append(place)


def _devices(record: object) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(record) if isinstance(leaf, Tensor)}


class _HostTokenizer:
    """A tokenizer that hands out tensors without data, whose numbers the host can ask for."""

    def __init__(self, tokenizer: Any, mode: FakeTensorMode) -> None:
        self._tokenizer, self._mode = tokenizer, mode
        self.numbers: list[tuple[Tensor, list]] = []  # of the tensors that were handed out

    def __call__(self, sentences: list[str]) -> Tokens:
        with unset_fake_temporarily():
            parts = vars(self._tokenizer(sentences)).values()
            numbers = [None if part is None else part.tolist() for part in parts]
        made = [None if part is None else self._mode.from_tensor(part) for part in parts]
        self.numbers += zip(made, numbers, strict=True)
        return Tokens(*made)


@contextmanager
def fake_gpu(model: SamwiseModel, monkeypatch: pytest.MonkeyPatch,
             ) -> Iterator[tuple[SamwiseModel, Crossings]]:
    """Move a model to `GPU`, where it stays, and note what crosses."""
    mode, crossings = FakeTensorMode(), Crossings()
    model.tokenizer = _HostTokenizer(model.tokenizer, mode)
    _stand_in_for_cuda(monkeypatch, crossings, model.tokenizer)
    with mode:
        for module in model.modules():
            module.__dict__.pop(constants._KEPT, None)
            getattr(module, "cache", {}).clear()  # of sam2's position codes
            for name, weight in module._parameters.items():
                if weight is not None:
                    module._parameters[name] = nn.Parameter(
                        mode.from_tensor(weight).detach().to(GPU), requires_grad=False)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = mode.from_tensor(buffer).to(GPU)
        try:
            with crossings:
                yield model, crossings
        finally:
            for cached in (memory_attention.rope_table, memory_attention._evens_first,
                           image_ops._normalisation):
                cached.cache_clear()


def _stand_in_for_cuda(monkeypatch: pytest.MonkeyPatch, crossings: Crossings,
                       tokenizer: _HostTokenizer) -> None:
    """What needs a driver. Where the host asks for bytes or numbers of the GPU it gets ones."""
    def cpu(tensor: Tensor) -> SimpleNamespace:
        crossings.note("transfer")
        return SimpleNamespace(numpy=lambda: np.ones(tuple(tensor.shape), np.uint8))

    def tolist(tensor: Tensor) -> list:
        if tensor.device.type == "cuda":
            crossings.note("transfer")
            return np.ones(tuple(tensor.shape), int).tolist()
        return next(numbers for known, numbers in tokenizer.numbers if known is tensor)

    def address(tensor: Tensor) -> int:
        return tensor.untyped_storage()._cdata + tensor.storage_offset() * tensor.itemsize

    # Else operations on a single number that is known are carried out, on a device that is not.
    monkeypatch.setattr(fake_tensor, "CONSTANT_NUMEL_LIMIT", 0)
    monkeypatch.setattr(Tensor, "cpu", cpu)
    monkeypatch.setattr(fake_tensor.FakeTensor, "tolist", tolist)
    monkeypatch.setattr(Tensor, "data_ptr", address)
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
