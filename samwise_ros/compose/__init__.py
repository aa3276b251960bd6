"""Composed clips: photographic cut-outs move over photographs; exact masks and sentences."""

from samwise_ros.compose.clip_set import ComposeRequest, generate
from samwise_ros.compose.composition import SceneSettings

__all__ = ["ComposeRequest", "SceneSettings", "generate"]
