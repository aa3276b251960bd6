"""Composed clips: photographic cut-outs that move over photographs, with exact masks and sentences."""

from samwise_ros.compose.generate import ComposeRequest, generate
from samwise_ros.compose.scene import SceneSettings

__all__ = ["ComposeRequest", "SceneSettings", "generate"]
