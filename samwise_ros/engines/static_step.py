"""A step on tensors that stay where they are, so that what was compiled or captured serves all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from samwise_ros.engines.flat_step import StepInputs, check_shapes
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.frame_step import Answer, Fill
from samwise_ros.streaming.stream_state import StreamState

Run = Callable[[StepInputs], tuple[Answer, StreamState]]


class StaticStep:
    """Takes and returns what a `FrameStep` does, through buffers of its own.

    Rings are written in place: the state that is returned holds the buffers, and they are not
    copied when it comes back. All else of a state is small and copied each time, so the state
    before a frame that fails is as good as it was. A step therefore serves one stream: the rings
    of another one would be written over.

    Args:
        run: The step. It may write to the rings, and use its outputs' memory again in the next
            call.
        example: Gives the shapes; its tensors become the buffers.
    """

    def __init__(self, run: Run, example: StepInputs) -> None:
        self._run = run
        self._held = example

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that no state holds."""
        return sum(tensor.nbytes for tensor in tree_leaves((self._held.pixels, self._held.text)))

    def __call__(self, pixels: Tensor, text: TextState, state: StreamState,
                 fill: Fill | None = None) -> tuple[Answer, StreamState]:
        """See `FrameStep.forward`; `fill` is not needed: one program serves every state.

        Raises:
            SamwiseError: A tensor has another shape than the step was made for.
        """
        given = StepInputs(pixels, text, state)
        check_shapes(given, self._held)
        # Not in inference mode: its tensors are of another kind, and would be compiled for anew.
        with torch.inference_mode(False), torch.no_grad():
            for held, new in zip(tree_leaves(self._held), tree_leaves(given), strict=True):
                if held.data_ptr() != new.data_ptr():
                    held.copy_(new)
            answer, after = self._run(self._held)
            return tree_map(torch.clone, answer), tree_map(_kept, after, self._held.state)


def _kept(new: Tensor, held: Tensor) -> Tensor:
    """The buffer where it was written in place, else a copy that no later frame writes to."""
    return held if new.data_ptr() == held.data_ptr() else new.clone()
