"""Frame samplers of docs/model.md, 6.5: hand-computed cases and properties over many draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samwise_ros.data.reader import ExpressionRecord, VideoRecord
from samwise_ros.data.sampling import clip_anchors, sample_global, sample_local
from samwise_ros.structures import ConfigError


class Scripted:
    """A source of randomness that returns prepared numbers, so that results can be hand-computed.

    `choices` are positions in the pool that `choice` receives; `numbers` feed `integers`.
    """

    def __init__(self, choices: list[list[int]], numbers: list[int]) -> None:
        self._choices, self._numbers = list(choices), list(numbers)

    def choice(self, pool: np.ndarray, count: int, replace: bool) -> np.ndarray:
        assert not replace
        if count == 0:
            return pool[:0]
        picked = self._choices.pop(0)
        assert len(picked) == count and max(picked) < len(pool)
        return pool[picked]

    def integers(self, low: int, high: int, size: int | None = None) -> np.ndarray | int:
        if size is None:
            number = self._numbers.pop(0)
            assert low <= number < high
            return number
        taken = [self._numbers.pop(0) for _ in range(size)]
        assert all(low <= number < high for number in taken)
        return np.array(taken)


def test_anchors_step_by_the_clip_length_over_every_expression() -> None:
    expressions = (ExpressionRecord("0", "a"), ExpressionRecord("1", "b"))
    video = VideoRecord("v", tuple(f"{n}" for n in range(17)), expressions)

    assert clip_anchors([video], 8) == [(0, 0, 0), (0, 0, 8), (0, 0, 16),
                                        (0, 1, 0), (0, 1, 8), (0, 1, 16)]


def test_local_draws_half_before_and_half_from_the_anchor_on() -> None:
    # Pools for f=20, T=8: [12, 20) and [20, 28).
    rng = Scripted([[0, 3, 7, 5], [1, 2, 7, 4]], [])

    assert sample_local(20, 8, 40, rng) == [12, 15, 17, 19, 21, 22, 24, 27]


def test_local_at_the_start_adds_the_anchor_and_fills_from_two_lengths_around() -> None:
    # f=0: nothing before, 4 from [0, 8) = 2, 3, 5, 7; the anchor 0 is missing and added; three more
    # from [0, 16): 3 is taken already and drawn again, then 9, 15 and 4.
    rng = Scripted([[2, 3, 5, 7]], [3, 9, 15, 4])

    assert sample_local(0, 8, 40, rng) == [0, 2, 3, 4, 5, 7, 9, 15]


def test_local_at_the_last_frame_takes_none_after_it() -> None:
    # f=16, V=17: four from [8, 16), min(0, 4) = 0 from on the anchor, the anchor itself, then
    # three from [0, 17).
    rng = Scripted([[0, 1, 2, 3]], [0, 4, 14])

    assert sample_local(16, 8, 17, rng) == [0, 4, 8, 9, 10, 11, 14, 16]


def test_local_in_a_short_video_repeats_frames_only_after_three_tries_per_frame() -> None:
    # V=3, T=4, f=0: two from [0, 3), the anchor is among them; pool [0, 3) yields 1 once; then the
    # remaining 8 of 9 tries fail, and one frame is drawn with repetition.
    rng = Scripted([[0, 2]], [1] + [0] * 8 + [2])

    assert sample_local(0, 4, 3, rng) == [0, 1, 2, 2]


def test_global_takes_near_neighbours_and_the_rest_from_outside_them() -> None:
    # f=16, u1=2, u2=3: near 14, 16, 19; the rest [0, 14) then [19, 30): positions 0, 13, 14, 24, 5
    # are the frames 0, 13, 19 (again), 29, 5.
    rng = Scripted([[0, 13, 14, 24, 5]], [2, 3])

    assert sample_global(16, 8, 30, rng) == [0, 5, 13, 14, 16, 19, 19, 29]


def test_global_clamps_neighbours_at_both_ends() -> None:
    # f=0, u1=3: the earlier neighbour is 0 as well; rest: nothing before, [1, 12) after.
    rng = Scripted([[1, 2, 3, 4, 5]], [3, 1])

    assert sample_global(0, 8, 12, rng) == [0, 0, 1, 2, 3, 4, 5, 6]


def test_global_takes_from_all_frames_when_the_outside_is_too_small() -> None:
    # V=6, f=2, u1=u2=2: near 0, 2, 4; outside is [4, 6): two frames for five places, V >= 5.
    rng = Scripted([[0, 1, 2, 3, 5]], [2, 2])

    assert sample_global(2, 8, 6, rng) == [0, 0, 1, 2, 2, 3, 4, 5]


def test_global_repeats_in_a_video_shorter_than_the_places() -> None:
    # V=3 < T-3=5: five draws with repetition.
    rng = Scripted([], [1, 1, 2, 2, 0, 1, 2])

    assert sample_global(1, 8, 3, rng) == [0, 0, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("sample", [sample_local, sample_global])
@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=st.integers(0, 10_000))
def test_clips_have_the_asked_length_rise_and_stay_in_the_video(sample, data, seed) -> None:
    length = data.draw(st.integers(1, 60))
    anchor = data.draw(st.integers(0, length - 1))
    num_frames = data.draw(st.integers(1, 12))

    frames = sample(anchor, num_frames, length, np.random.default_rng(seed))

    assert len(frames) == num_frames
    assert frames == sorted(frames)
    assert all(0 <= frame < length for frame in frames)


@settings(max_examples=100, deadline=None)
@given(anchor=st.integers(0, 99), seed=st.integers(0, 10_000))
def test_local_frames_of_a_long_video_are_distinct_and_near(anchor: int, seed: int) -> None:
    frames = sample_local(anchor, 8, 100, np.random.default_rng(seed))

    assert len(set(frames)) == 8
    assert max(abs(frame - anchor) for frame in frames) <= 16


def test_global_keeps_the_anchor_and_spreads_over_the_video() -> None:
    spans = []
    for seed in range(200):
        frames = sample_global(48, 8, 100, np.random.default_rng(seed))
        assert 48 in frames
        spans.append(frames[-1] - frames[0])

    assert np.mean(spans) > 50


def test_one_frame_clips_are_the_anchor() -> None:
    rng = np.random.default_rng(0)

    assert sample_local(5, 1, 9, rng) == [5]
    assert sample_global(5, 1, 9, rng) == [5]


def test_an_anchor_outside_the_video_is_refused() -> None:
    with pytest.raises(ConfigError, match="anchor: expected a frame in 0..8, got 9"):
        sample_local(9, 8, 9, np.random.default_rng(0))
