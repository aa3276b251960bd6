"""SAMWISE as a streaming, text-prompted video segmenter, and its ROS 2 node.

Public names are loaded on first use, so that `import samwise_ros` is quick, has no side effects
and needs neither ROS nor a GPU.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import Any

# A source checkout on sys.path would otherwise hide the generated `samwise_ros.msg`, which colcon
# and pip install beside the Python files (see docs/architecture.md).
__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"

_PUBLIC = {
    "ModelConfig": "samwise_ros.config",
    "SessionConfig": "samwise_ros.config",
    "SamwiseError": "samwise_ros.structures",
    "FrameResult": "samwise_ros.structures",
    "TargetResult": "samwise_ros.structures",
    "TargetState": "samwise_ros.structures",
    "TrackSettings": "samwise_ros.streaming.target_tracker",
    "load_model": "samwise_ros.model.checkpoint",
    "StreamingSession": "samwise_ros.streaming.session",
    "ClipRunner": "samwise_ros.streaming.clip_runner",
}

__all__ = [
    "ClipRunner", "FrameResult", "ModelConfig", "SamwiseError", "SessionConfig",
    "StreamingSession", "TargetResult", "TargetState", "TrackSettings",
    "__version__", "load_model",
]


def __getattr__(name: str) -> Any:
    """Resolve a public name lazily (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'samwise_ros' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
