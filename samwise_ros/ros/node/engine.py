"""From the node's parameters to a loaded model that hands out sessions. No ROS import."""

import gc
from typing import Any, Protocol, cast

import numpy as np

from samwise_ros.allocator import give_back_freed_memory
from samwise_ros.config import EngineName, Precision, SessionConfig
from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.streaming.commands import parse_command
from samwise_ros.streaming.target_tracker import TrackSettings
from samwise_ros.structures import Command, FrameResult, SamwiseError

_WARM_UP_FRAMES = 2  # the first frame has no memory, the second takes the other code path


class Session(Protocol):
    """What the node needs of `streaming.session.StreamingSession`."""

    tracking: TrackSettings  # when a target counts as there

    @property
    def command(self) -> int:
        """Number of the last accepted command; 0 before the first."""

    @property
    def targets(self) -> tuple[tuple[str, str, int], ...]:
        """(id, expression, command number) of each target."""

    def submit(self, command: Command) -> int:
        """Take a command in for the next frame and return its number; raises CommandError."""

    def step(self, rgb: np.ndarray, stamp: object = None) -> FrameResult:
        """Answer one frame, uint8 [H, W, 3]; raises FrameError."""

    def reset(self) -> None:
        """Forget what was seen, keep what is looked for."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def description(self) -> str:
        """Model and device in a few words."""

    def new_session(self) -> Session:
        """A session for one camera."""

    @property
    def device_memory(self) -> int | None:
        """Bytes of GPU memory that this process holds; None without a GPU."""

    def free_memory(self) -> None:
        """Give back what is cached but not in use."""

    def close(self) -> None:
        """Free what the model occupies."""


class ModelEngine:
    """The SAMWISE model named by the parameters, loaded and warmed up.

    Raises:
        SamwiseError: Weights are missing or don't fit, a value is out of its range, or there is
            what the engine needs is not installed.
    """

    def __init__(self, parameters: NodeParameters) -> None:
        # Imported here because torch and sam2 take seconds, and a node has to answer its lifecycle
        # services before it is told to load anything.
        import torch

        from samwise_ros.engines.choice import engine_device
        from samwise_ros.engines.sessions import SessionMaker
        from samwise_ros.model.checkpoint import load_model

        if parameters.num_threads:
            torch.set_num_threads(parameters.num_threads)
        changes: dict[str, Any] = (
            {"image_size": parameters.image_size} if parameters.image_size else {})
        engine = cast(EngineName, parameters.engine)
        model = load_model(parameters.model, device=engine_device(engine, parameters.device),
                           tokenizer_dir=parameters.tokenizer or None, seeded=parameters.seeded,
                           quality=parameters.quality, **changes)
        self._sessions: SessionMaker | None = SessionMaker(model, engine, SessionConfig(
            precision=cast(Precision, parameters.precision), fast_resize=parameters.fast_resize,
            max_targets=parameters.max_targets, mask_logits=False))
        self._camera = parameters.camera
        self._targets = 1 if engine == "eager" else parameters.prepared_targets
        seeded = " with seeded (untrained) weights" if parameters.seeded else ""
        self.description = (f"{model.config.name} at {model.config.image_size} on "
                            f"{model.device}, engine {engine}{seeded}")
        self._warm_up()

    def new_session(self) -> Session:
        """A session on the shared model, whose steps have been prepared."""
        if self._sessions is None:
            raise SamwiseError("the model was closed: configure the node again")
        session = self._sessions()
        for targets in range(1, self._targets + 1):
            session.prepare(self._camera, targets)
        return session

    @property
    def device_memory(self) -> int | None:
        """Bytes that torch has reserved on the model's GPU; None on the CPU."""
        import torch

        sessions = self._sessions  # may be closed meanwhile
        if sessions is None or sessions.model.device.type != "cuda":
            return None
        return torch.cuda.memory_reserved(sessions.model.device)

    def free_memory(self) -> None:
        """Collect garbage and give cached memory back, the GPU's and the system's."""
        import torch

        gc.collect()
        give_back_freed_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Drop the model and give GPU memory back."""
        self._sessions = None
        self.free_memory()

    def _warm_up(self) -> None:
        session = self.new_session()
        session.submit(parse_command("the warm-up target"))
        for _ in range(_WARM_UP_FRAMES):
            session.step(np.zeros((*self._camera, 3), np.uint8))
        self.free_memory()  # what loading left behind, which no frame will fill
