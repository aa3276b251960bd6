"""Which earlier frames a frame sees, and with which time codes."""

import numpy as np
import pytest
import torch
from model_builders import TINY, make_frames

from samwise_ros.config import SessionConfig
from samwise_ros.model.cmt import CmtAdapter, TimeWindow
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import ConfigError, FrameResult

pytestmark = pytest.mark.usefixtures("one_thread")


def run(model: SamwiseModel, frames: list[np.ndarray], **config: object) -> list[FrameResult]:
    session = StreamingSession(model, SessionConfig(**config))
    session.submit("the red mug")
    return [session.step(frame) for frame in frames]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, TimeWindow]]:
    """(frames in sight, codes) of every call of the first adapter's HSA."""
    seen, original = [], CmtAdapter.attend_time

    def spy(self: CmtAdapter, present: torch.Tensor, past: torch.Tensor | None,
            window: TimeWindow) -> torch.Tensor:
        if self.patch_side == TINY.cmt.hsa_patch_sides[0]:
            seen.append((1 + (0 if past is None else past.shape[1]), window))
        return original(self, present, past, window)

    monkeypatch.setattr(CmtAdapter, "attend_time", spy)
    return seen


@pytest.mark.parametrize("context_frames", range(8))
def test_sliding_codes_run_from_one_to_the_frames_in_sight(
        tiny_model: SamwiseModel, windows: list, context_frames: int) -> None:
    run(tiny_model, make_frames(10), context_frames=context_frames)
    expected = [min(t, context_frames) + 1 for t in range(10)]
    assert windows == [(count, TimeWindow(1, count)) for count in expected]


@pytest.mark.parametrize("context_frames", [0, 3, 7])
def test_aligned_codes_are_places_in_windows_of_eight(
        tiny_model: SamwiseModel, windows: list, context_frames: int) -> None:
    run(tiny_model, make_frames(18), context_frames=context_frames, time_code="aligned")
    for t, (count, window) in enumerate(windows):
        position = t % 8 + 1
        assert count == min(position - 1, context_frames) + 1
        assert window == TimeWindow(position - count + 1, 8), t
        assert window.first + count - 1 == position, "the current frame has its own place"


def test_an_aligned_code_never_changes_while_it_is_kept(
        tiny_model: SamwiseModel, windows: list) -> None:
    """What makes keys of kept frames reusable: frame t carries code t % 8 + 1 in every window."""
    run(tiny_model, make_frames(17), time_code="aligned")
    for t, (count, window) in enumerate(windows):
        codes = {t - count + 1 + i: window.first + i for i in range(count)}
        assert all(code == frame % 8 + 1 for frame, code in codes.items())


def test_the_two_time_codes_give_different_answers(tiny_model: SamwiseModel) -> None:
    frames = make_frames(3)
    sliding = run(tiny_model, frames)[-1]["target"].mask_logits
    aligned = run(tiny_model, frames, time_code="aligned")[-1]["target"].mask_logits
    assert not np.allclose(sliding, aligned, atol=1e-5)


def remembered(model: SamwiseModel, frames: list[np.ndarray],
               context_frames: int) -> list[torch.Tensor | None]:
    """Context after the last frame: of the first adapter, then of the further ones."""
    session = StreamingSession(model, SessionConfig(context_frames=context_frames))
    session.submit("the red mug")
    for frame in frames:
        session.step(frame)
    return [session._shared, *session._table.targets["target"].memory.context]


def test_without_context_frames_no_features_are_kept(tiny_model: SamwiseModel) -> None:
    assert remembered(tiny_model, make_frames(3), 0) == [None, None, None]


@pytest.mark.parametrize(("earlier", "reached"), [(4, True), (5, False)])
def test_features_reach_back_one_context_per_adapter(
        tiny_model: SamwiseModel, earlier: int, reached: bool) -> None:
    """Kept frames carry their own past: with two context frames, the third adapter's newest
    projection depends on four earlier frames through the two adapters before it."""
    frames = make_frames(8)
    altered = [255 - frame if t == 7 - earlier else frame for t, frame in enumerate(frames)]
    newest = [remembered(tiny_model, video, 2)[2][:, -1] for video in (frames, altered)]
    assert torch.equal(*newest) is not reached


@pytest.mark.parametrize("bad", [{"context_frames": 8}, {"context_frames": -1},
                                 {"time_code": "ring"}, {"precision": "int8"},
                                 {"max_targets": 0}])
def test_session_options_out_of_range_are_refused(bad: dict) -> None:
    with pytest.raises(ConfigError, match="expected"):
        SessionConfig(**bad)
