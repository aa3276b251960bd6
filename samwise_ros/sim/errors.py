"""Errors of the simulator, and the check that PyBullet is there."""

from __future__ import annotations

from types import ModuleType

from samwise_ros.structures import MissingDependencyError, SamwiseError


class SimulationError(SamwiseError):
    """A simulated scene could not be made or written."""


def require_pybullet() -> ModuleType:
    """Imports PyBullet, the optional dependency of the simulator.

    Raises:
        MissingDependencyError: PyBullet is not installed; the message says how to install it.
    """
    try:
        import pybullet
    except ImportError as error:
        raise MissingDependencyError(
            "the simulated camera needs PyBullet, which is not installed: "
            "run `pip install pybullet` (or `pip install samwise_ros[sim]`)"
        ) from error
    return pybullet
