"""Stream mode: causal, one target's answer is nobody else's business, memory is never wiped."""

import numpy as np
import pytest
import torch
from model_builders import TINY, make_frames, make_model, set_object_score
from recorded_streams import MODELS

from samwise_ros.config import SessionConfig
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.clip_runner import ClipRunner
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.streaming.target_tracker import TrackSettings
from samwise_ros.structures import (
    Command,
    CommandKind,
    FrameError,
    FrameResult,
    TargetResult,
)

pytestmark = pytest.mark.usefixtures("one_thread")
SENTENCES = {"a": "the red mug", "b": "the small blue ball on the left side of the table",
             "c": "duck"}


def add(session: StreamingSession, *ids: str) -> None:
    for name in ids:
        session.submit(Command(CommandKind.ADD, name, SENTENCES[name]))


def run(model: SamwiseModel, frames: list[np.ndarray], *ids: str,
        config: SessionConfig | None = None) -> list[FrameResult]:
    session = StreamingSession(model, config)
    add(session, *ids)
    return [session.step(frame) for frame in frames]


def tensors_of(session: StreamingSession, row: int) -> list[torch.Tensor]:
    """Copies of all that is remembered of one target."""
    state = session.memory.frames.state
    rings = [part for ring in state.rows for part in ring.parts]
    return [part[row].clone() for part in (state.ages, state.last_switch, state.spatial,
                                           state.pointers, *rings)]


def assert_same_answer(one: TargetResult, other: TargetResult, tolerance: float = 1e-5) -> None:
    assert one.object_score == pytest.approx(other.object_score, abs=tolerance)
    np.testing.assert_allclose(one.mask_logits, other.mask_logits, atol=tolerance, rtol=1e-4)
    assert (one.state, one.switched, one.age) == (other.state, other.switched, other.age)


def assert_identical_answer(one: TargetResult, other: TargetResult) -> None:
    assert one.object_score == other.object_score
    np.testing.assert_array_equal(one.mask_logits, other.mask_logits)
    np.testing.assert_array_equal(one.mask, other.mask)


def test_a_result_never_depends_on_a_later_frame(tiny_model: SamwiseModel) -> None:
    frames = make_frames(10)
    whole = run(tiny_model, frames, "a", "b")
    for t in (0, 3, 8):
        altered = frames[: t + 1] + [255 - frame for frame in frames[t + 1 :]]
        again = run(tiny_model, altered[: t + 2], "a", "b")
        for name in "ab":
            assert_identical_answer(again[t][name], whole[t][name])
    assert not np.array_equal(again[-1]["a"].mask_logits, whole[9]["a"].mask_logits)


def test_every_earlier_frame_in_reach_matters(tiny_model: SamwiseModel) -> None:
    """The counterpart of causality: the past is really used."""
    frames = make_frames(6)
    last = run(tiny_model, frames, "a")[-1]["a"]
    for t in range(5):
        altered = [255 - frame if i == t else frame for i, frame in enumerate(frames)]
        other = run(tiny_model, altered, "a")[-1]["a"]
        assert not np.allclose(other.mask_logits, last.mask_logits, atol=1e-5), f"frame {t}"


def test_targets_together_answer_as_each_alone(tiny_model: SamwiseModel) -> None:
    frames = make_frames(18)
    together = run(tiny_model, frames, "a", "b", "c")
    for name in "abc":
        for joint, single in zip(together, run(tiny_model, frames, name), strict=True):
            assert_same_answer(joint[name], single[name])


def test_a_target_added_later_answers_as_if_it_were_alone(tiny_model: SamwiseModel) -> None:
    """What other targets did before must not show."""
    frames = make_frames(14)
    crowded, lonely = (StreamingSession(tiny_model) for _ in range(2))
    add(crowded, "a")
    for t, frame in enumerate(frames):
        if t in (3, 5):
            add(crowded, "b" if t == 3 else "c")
        if t == 5:
            add(lonely, "c")
        joint, single = crowded.step(frame), lonely.step(frame)
        if t >= 5:
            assert_same_answer(joint["c"], single["c"])


def test_replacing_one_target_leaves_the_others_bit_identical(tiny_model: SamwiseModel) -> None:
    frames = make_frames(14)
    session, undisturbed = (StreamingSession(tiny_model) for _ in range(2))
    for each in (session, undisturbed):
        add(each, "a", "b")
        for frame in frames[:9]:
            each.step(frame)
    before = tensors_of(session, 0)
    session.submit("add:b: the green duck")
    session._apply_commands()
    assert all(map(torch.equal, before, tensors_of(session, 0)))
    assert session.memory.frames.state.ages.tolist() == [9, 0]
    for frame in frames[9:]:
        joint = session.step(frame)
        assert_same_answer(joint["a"], undisturbed.step(frame)["a"])
    assert joint["b"].age == 4 and joint["b"].expression == "the green duck"


@pytest.mark.parametrize("command", ["add:b: the green duck", "remove:b", "add:x: duck"])
def test_a_command_for_one_target_does_not_touch_anothers_tensors(
        tiny_model: SamwiseModel, command: str) -> None:
    session = StreamingSession(tiny_model)
    add(session, "a", "b")
    for frame in make_frames(8):
        session.step(frame)
    copies, memory = tensors_of(session, 0), session.memory
    session.submit(command)
    session._apply_commands()
    assert all(map(torch.equal, copies, tensors_of(session, 0)))
    session.step(make_frames(1)[0])
    session._frames = memory.frames
    assert all(map(torch.equal, copies, tensors_of(session, 0))), \
        "a step must not write into a copy of what an earlier step remembered"


def test_removing_and_readding_forgets(tiny_model: SamwiseModel) -> None:
    frames = make_frames(6)
    session = StreamingSession(tiny_model)
    add(session, "a", "b")
    for frame in frames[:4]:
        session.step(frame)
    session.submit("remove:a")
    session.submit("add:a: " + SENTENCES["a"])
    back = session.step(frames[4])["a"]
    assert back.age == 0
    assert_same_answer(back, run(tiny_model, [frames[4]], "a")[0]["a"])


def test_two_sessions_on_one_model_do_not_mix(tiny_model: SamwiseModel) -> None:
    left_frames, right_frames = make_frames(9, seed=1), make_frames(9, 64, 160, seed=2)
    left, right = StreamingSession(tiny_model), StreamingSession(tiny_model)
    add(left, "a")
    add(right, "b", "c")
    mixed = [(left.step(x), right.step(y))
             for x, y in zip(left_frames, right_frames, strict=True)]
    for t, (x, y) in enumerate(zip(run(tiny_model, left_frames, "a"),
                                   run(tiny_model, right_frames, "b", "c"), strict=True)):
        assert_identical_answer(mixed[t][0]["a"], x["a"])
        assert_identical_answer(mixed[t][1]["b"], y["b"])
        assert_identical_answer(mixed[t][1]["c"], y["c"])


def test_the_first_frame_equals_a_clip_of_one_frame(tiny_model: SamwiseModel) -> None:
    frame = make_frames(1, 90, 121)[0]
    stream = run(tiny_model, [frame], "b")[0]["b"]
    clip = next(ClipRunner(tiny_model).run([frame], SENTENCES["b"]))
    assert stream.object_score == pytest.approx(clip.object_score, abs=1e-6)
    np.testing.assert_array_equal(stream.mask, clip.mask)


def test_a_single_frame_call_keeps_the_memory(tiny_model: SamwiseModel) -> None:
    """The official code wipes the bank whenever it is given one frame."""
    frames = make_frames(5)
    session = StreamingSession(tiny_model)
    add(session, "a")
    for count, frame in enumerate(frames, start=1):
        session.step(frame)
        assert session.memory.frames.state.ages.tolist() == [count]
    with_memory = session.step(frames[0])["a"]
    without = run(tiny_model, frames[:1], "a")[0]["a"]
    assert not np.allclose(with_memory.mask_logits, without.mask_logits, atol=1e-4)


def test_reset_forgets_frames_but_keeps_targets(tiny_model: SamwiseModel) -> None:
    frames = make_frames(4)
    session = StreamingSession(tiny_model)
    add(session, "a")
    first = [session.step(frame)["a"] for frame in frames]
    session.reset()
    assert [name for name, _, _ in session.targets] == ["a"]
    for before, frame in zip(first, frames, strict=True):
        assert_identical_answer(session.step(frame)["a"], before)


def test_memory_put_back_undoes_the_steps_since(tiny_model: SamwiseModel) -> None:
    frames = make_frames(8)
    session = StreamingSession(tiny_model)
    add(session, "a", "b")
    for frame in frames[:3]:
        session.step(frame)
    kept = session.memory
    first = [session.step(frame) for frame in frames[3:6]]
    session.memory = kept
    session.step(frames[7])  # what is put back is not changed by steps either
    session.memory = kept
    for frame, before in zip(frames[3:6], first, strict=True):
        for one, other in zip(before.targets, session.step(frame).targets, strict=True):
            assert_identical_answer(one, other)
            assert (one.state, one.age) == (other.state, other.age)


def test_another_camera_size_restarts_the_memory(tiny_model: SamwiseModel) -> None:
    session = StreamingSession(tiny_model)
    add(session, "a")
    for frame in make_frames(3, 96, 128):
        session.step(frame)
    tall = make_frames(1, 128, 96)[0]
    changed = session.step(tall)["a"]
    assert changed.mask.shape == (128, 96)
    assert_same_answer(changed, run(tiny_model, [tall], "a")[0]["a"])


def test_states_follow_what_was_seen(tiny_tokenizer: ExpressionTokenizer) -> None:
    model = make_model(TINY, tiny_tokenizer)
    frame = make_frames(1)[0]
    session = StreamingSession(model)
    add(session, "a")
    seen = []
    for score in (-3.0, -3.0, 3.0, -3.0, -3.0, -3.0, 3.0):
        set_object_score(model, score)
        seen.append(session.step(frame)["a"])
    assert [r.state.value for r in seen] == [
        "SEARCHING", "SEARCHING", "TRACKING", "TRACKING", "TRACKING", "LOST", "REACQUIRED"]
    absent, visible = seen[3], seen[6]
    assert not absent.mask.any() and absent.box is None and absent.area == 0
    assert (absent.mask_logits == -1024).all() and absent.score < 0.05
    assert visible.mask.any() and visible.area == visible.mask.sum() and visible.score > 0.95
    box, inside = visible.box, np.zeros_like(visible.mask)
    inside[box.y0 : box.y1, box.x0 : box.x1] = True
    assert not (visible.mask & ~inside).any()
    for strip in (visible.mask[box.y0], visible.mask[box.y1 - 1], visible.mask[:, box.x0],
                  visible.mask[:, box.x1 - 1]):
        assert strip.any(), "the box is tight"


def test_thresholds_may_change_and_a_reset_forgets_states(
        tiny_tokenizer: ExpressionTokenizer) -> None:
    model = make_model(TINY, tiny_tokenizer)
    frame = make_frames(1)[0]
    session = StreamingSession(model, tracking=TrackSettings(leave_frames=1))
    add(session, "a")

    def state(score: float) -> str:
        set_object_score(model, score)
        return session.step(frame)["a"].state.value

    assert [state(3.0), state(-3.0)] == ["TRACKING", "LOST"]
    session.tracking = TrackSettings(enter_score=0.99)
    assert state(3.0) == "LOST"
    held_back = session.step(frame)["a"]
    assert not held_back.mask.any() and held_back.object_score > 0
    assert (held_back.mask_logits > 0).any(), "the network's verdict stays"
    session.reset()
    assert state(3.0) == "SEARCHING"


def test_a_frame_that_fails_leaves_the_state(tiny_tokenizer: ExpressionTokenizer) -> None:
    model = make_model(TINY, tiny_tokenizer)
    frame, other_size = make_frames(1)[0], make_frames(1, 64, 48)[0]
    session = StreamingSession(model, tracking=TrackSettings(leave_frames=1))
    add(session, "a")
    set_object_score(model, 3.0)
    session.step(frame)
    bias = model.sam.obj_ptr_proj.layers[2].bias
    whole = bias.clone()
    for bad in (frame, other_size):  # the second one would also restart the memory
        bias.data.fill_(float("nan"))
        with pytest.raises(FrameError):
            session.step(bad)
        bias.data.copy_(whole)
    set_object_score(model, -3.0)
    assert session.step(frame)["a"].state.value == "LOST"


def test_the_result_says_what_it_answers(tiny_model: SamwiseModel) -> None:
    session = StreamingSession(tiny_model)
    frame = make_frames(1, 48, 64)[0]
    assert session.step(frame, stamp="t0").targets == ()
    number = session.submit("add:cup: the red mug")
    other = session.submit("add:toy: duck")
    result = session.step(frame, stamp=("any", 7))
    assert (result.index, result.stamp, result.size) == (1, ("any", 7), (48, 64))
    assert [(t.target_id, t.expression, t.command) for t in result.targets] == [
        ("cup", "the red mug", number), ("toy", "duck", other)]
    assert session.targets == (("cup", "the red mug", number), ("toy", "duck", other))
    assert result["toy"].mask.shape == (48, 64) and result["toy"].mask.dtype == bool
    with pytest.raises(KeyError):
        result["nobody"]


def test_inputs_are_not_changed(tiny_model: SamwiseModel) -> None:
    frame = make_frames(1)[0]
    before = frame.copy()
    frame.setflags(write=False)
    run(tiny_model, [frame, frame], "a")
    np.testing.assert_array_equal(frame, before)


def test_mask_logits_come_only_where_they_are_asked_for(tiny_model: SamwiseModel) -> None:
    frames = make_frames(2)
    asked = run(tiny_model, frames, "a")
    plain = run(tiny_model, frames, "a", config=SessionConfig(mask_logits=False))
    for one, other in zip(asked, plain, strict=True):
        assert one["a"].mask_logits is not None and other["a"].mask_logits is None
        assert one["a"].object_score == other["a"].object_score
        np.testing.assert_array_equal(one["a"].mask, other["a"].mask)


@pytest.mark.parametrize("name", ["tiny", "switching", "mini"])
def test_lower_precision_answers_close_to_fp32(name: str, tiny_tokenizer: ExpressionTokenizer,
                                               ) -> None:
    model, frames = MODELS[name](tiny_tokenizer), make_frames(7)
    exact = run(model, frames, "a")
    rough = run(model, frames, "a", config=SessionConfig(precision="bf16"))
    for one, other in zip(rough, exact, strict=True):
        assert one["a"].mask_logits.dtype == np.float32
        assert np.abs(one["a"].mask_logits - other["a"].mask_logits).mean() < 0.1
