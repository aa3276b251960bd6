"""Shared fixtures."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference recordings beside the checkout; tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference recordings in {SHARED.name}/ beside the checkout")
    return SHARED
