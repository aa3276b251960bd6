"""In which arithmetic a model runs on which device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from samwise_ros.config import Precision
from samwise_ros.structures import ConfigError

_BF16_CAPABILITY = (8, 0)  # Ampere: tensor cores for bf16 and TF32


def resolve_precision(asked: Precision, device: torch.device) -> Precision:
    """What `asked` means on a device; never "auto".

    "auto" is bf16 on GPUs from Ampere on and fp32 everywhere else: older GPUs emulate bf16, and
    fp16 has too small a range for some of SAM 2's relatives.

    Raises:
        ConfigError: fp16 on a CPU.
    """
    if asked == "auto":
        if device.type == "cuda" and torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY:
            return "bf16"
        return "fp32"
    if asked == "fp16" and device.type == "cpu":
        raise ConfigError("precision: fp16 is for GPUs, a CPU is slower in it than in fp32; use "
                          "auto, fp32 or bf16")
    return asked


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast off inside. The meta device, on which costs are counted, has none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


@contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """Run the block in a precision that `resolve_precision` gave.

    Autocast in bf16 and fp16. What stays in fp32 is multiplied in TF32 on a GPU, unless `precision`
    is "fp32": that is exact, though torch's default for convolutions is not. The device is the
    current one inside, so that streams, events and graphs belong to it.
    """
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    half = torch.autocast(device.type, dtype, enabled=precision != "fp32")
    if device.type != "cuda":
        with half:
            yield
        return
    with torch.cuda.device(device), _tf32(precision != "fp32"), half:
        yield


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Set whether products and convolutions of fp32 may round their factors to TF32."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = allowed
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value
