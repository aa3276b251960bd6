"""From the host to the device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def upload(host: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on `device`; the host does not wait for a GPU's copy.

    The copy is queued on the current stream, before everything that reads it. torch gives the
    pinned block to no other tensor before that copy is done.

    Args:
        host: On the CPU, or on `device` already.
    """
    device = torch.device(device)
    if host.device == device:
        return host  # no operation, in exported graphs either
    if device.type != "cuda" or host.device.type != "cpu":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)
