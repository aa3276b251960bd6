"""The error of this room."""

from __future__ import annotations

from samwise_ros.structures import SamwiseError


class ComposeError(SamwiseError):
    """Pictures are missing, or a composed clip could not be made or written."""
