"""Which earlier frames a frame sees."""

import numpy as np
import pytest
import torch
from model_builders import TINY, make_frames

from samwise_ros.config import SessionConfig
from samwise_ros.model.cmt import CmtAdapter
from samwise_ros.model.context_ring import ContextRing, Sight
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import ConfigError, FrameResult

pytestmark = pytest.mark.usefixtures("one_thread")


def run(model: SamwiseModel, frames: list[np.ndarray], **config: object) -> list[FrameResult]:
    session = StreamingSession(model, SessionConfig(**config))
    session.submit("the red mug")
    return [session.step(frame) for frame in frames]


@pytest.mark.parametrize("context_frames", range(8))
def test_a_frame_sees_itself_and_at_most_the_context(
        tiny_model: SamwiseModel, monkeypatch: pytest.MonkeyPatch, context_frames: int) -> None:
    seen, original = [], CmtAdapter.attend_ring

    def spy(self: CmtAdapter, x: torch.Tensor, ring: ContextRing, sight: Sight) -> torch.Tensor:
        if self.patch_side == TINY.cmt.hsa_patch_sides[0]:
            assert sight.seen is None, "no mask where all rows see the same"
            seen.append(sight.codes.shape[1])
        return original(self, x, ring, sight)

    monkeypatch.setattr(CmtAdapter, "attend_ring", spy)
    run(tiny_model, make_frames(10), context_frames=context_frames)
    assert seen == [min(t, context_frames) + 1 for t in range(10)]


def newest_of(model: SamwiseModel, frames: list[np.ndarray],
              context_frames: int) -> list[torch.Tensor]:
    """Projection of the last frame: of the first adapter, then of the further ones."""
    session = StreamingSession(model, SessionConfig(context_frames=context_frames))
    session.submit("the red mug")
    for frame in frames:
        session.step(frame)
    state = session.memory.frames.state
    rings = [ring.frames for ring in (*state.shared, *state.rows)]
    assert all(ring.shape[1] == context_frames + 1 for ring in rings)
    return [ring[:, (len(frames) - 1) % ring.shape[1]] for ring in rings]


@pytest.mark.parametrize(("earlier", "reached"), [(4, True), (5, False)])
def test_features_reach_back_one_context_per_adapter(
        tiny_model: SamwiseModel, earlier: int, reached: bool) -> None:
    """Kept frames carry their own past: with two context frames, the third adapter's newest
    projection depends on four earlier frames through the two adapters before it."""
    frames = make_frames(8)
    altered = [255 - frame if t == 7 - earlier else frame for t, frame in enumerate(frames)]
    newest = [newest_of(tiny_model, video, 2)[2] for video in (frames, altered)]
    assert torch.equal(*newest) is not reached


@pytest.mark.parametrize("bad", [{"context_frames": 8}, {"context_frames": -1},
                                 {"precision": "int8"},
                                 {"max_targets": 0}])
def test_session_options_out_of_range_are_refused(bad: dict) -> None:
    with pytest.raises(ConfigError, match="expected"):
        SessionConfig(**bad)
