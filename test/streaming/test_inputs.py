"""Any camera and any sentence gets a clear answer or a clear error, and a session survives both."""

import threading

import numpy as np
import pytest
import torch
from model_builders import MICRO, make_frames, make_model

from samwise_ros.config import SessionConfig
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.clip_runner import ClipRunner
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import Command, CommandError, CommandKind, FrameError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def rectangle_model(tiny_tokenizer: ExpressionTokenizer) -> SamwiseModel:
    return make_model(MICRO.replace(fit="rectangle", image_size=128), tiny_tokenizer)


def started(model: SamwiseModel, frames: int = 2) -> StreamingSession:
    session = StreamingSession(model)
    session.submit("add:a: the red mug")
    for frame in make_frames(frames, 48, 64):
        session.step(frame)
    return session


@pytest.mark.parametrize("fit", ["pad", "rectangle"])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 129), (479, 641), (641, 479), (16, 1),
                                  (64, 64)])
def test_every_camera_gets_masks_of_its_size(
        micro_model: SamwiseModel, rectangle_model: SamwiseModel, fit: str,
        size: tuple[int, int]) -> None:
    session = StreamingSession(micro_model if fit == "pad" else rectangle_model)
    session.submit("the red mug")
    for frame in make_frames(2, *size):
        result = session.step(frame)
        target = result["target"]
        assert result.size == size and target.mask.shape == size
        assert np.isfinite(target.mask_logits).all()
        if target.box is not None:
            assert 0 <= target.box.x0 < target.box.x1 <= size[1]
            assert 0 <= target.box.y0 < target.box.y1 <= size[0]


def test_cropped_reversed_and_readonly_views_are_fine(micro_model: SamwiseModel) -> None:
    frame = make_frames(1, 60, 80)[0]
    views = [frame[::-1], frame[:, ::-1], frame[..., ::-1], frame[10:50, 5:70],
             np.asfortranarray(frame)]
    for view in views:
        for fast in (False, True):
            answers = []
            for each in (view, np.ascontiguousarray(view)):
                session = StreamingSession(micro_model, SessionConfig(fast_resize=fast))
                session.submit("duck")
                answers.append(session.step(each)["target"])
            np.testing.assert_array_equal(answers[0].mask_logits, answers[1].mask_logits)


BAD_FRAMES = {
    "float": np.zeros((4, 4, 3), np.float32), "grey": np.zeros((4, 4), np.uint8),
    "rgba": np.zeros((4, 4, 4), np.uint8), "no height": np.zeros((0, 4, 3), np.uint8),
    "no width": np.zeros((4, 0, 3), np.uint8), "ribbon": np.zeros((2, 200, 3), np.uint8),
    "list": [[[0, 0, 0]]], "none": None, "signed": np.zeros((4, 4, 3), np.int8),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_bad_frame_is_refused_and_changes_nothing(
        micro_model: SamwiseModel, kind: str) -> None:
    session, undisturbed = started(micro_model), started(micro_model)
    session.submit("add:b: duck")
    with pytest.raises(FrameError, match=r"expected"):
        session.step(BAD_FRAMES[kind])
    assert [name for name, _, _ in session.targets] == ["a"]
    undisturbed.submit("add:b: duck")
    frame = make_frames(3, 48, 64)[2]
    after, expected = session.step(frame), undisturbed.step(frame)
    assert after.index == expected.index == 2
    for name in "ab":
        np.testing.assert_array_equal(after[name].mask_logits, expected[name].mask_logits)


@pytest.mark.parametrize("damaged", [
    "sam.obj_ptr_proj.layers.2.bias", "sam.memory_encoder.out_proj.bias",
    "cmt_adapters.1.proj_text_up.0.weight", "sam.sam_mask_decoder.iou_token.weight"])
def test_a_frame_that_turns_into_nan_is_refused_and_changes_nothing(
        tiny_tokenizer: ExpressionTokenizer, damaged: str) -> None:
    """Whatever is damaged, the frame on which it shows is refused, not a later one."""
    model = make_model(MICRO, tiny_tokenizer)
    session, undisturbed = started(model), started(model)
    weight = model.get_parameter(damaged)
    whole = weight.clone()
    for size in ((48, 64), (64, 48)):  # the second one would also restart the memory
        weight.data.fill_(float("nan"))
        with pytest.raises(FrameError, match="not finite"):
            session.step(make_frames(1, *size)[0])
        weight.data.copy_(whole)
    frame = make_frames(3, 48, 64)[2]
    after, expected = session.step(frame)["a"], undisturbed.step(frame)["a"]
    assert after.age == expected.age == 2
    np.testing.assert_array_equal(after.mask_logits, expected.mask_logits)


def test_a_failed_frame_does_not_lose_a_waiting_command(
        tiny_tokenizer: ExpressionTokenizer) -> None:
    model = make_model(MICRO, tiny_tokenizer)
    session = started(model)
    number = session.submit("add:b: duck")
    weight = model.sam.obj_ptr_proj.layers[2].bias
    whole = weight.clone()
    weight.data.fill_(float("nan"))
    with pytest.raises(FrameError):
        session.step(make_frames(1, 48, 64)[0])
    weight.data.copy_(whole)
    result = session.step(make_frames(1, 48, 64)[0])
    assert result["b"].command == number and result["b"].age == 0


@pytest.mark.parametrize("text", ["add:b: duck", "duck"])
def test_a_command_whose_text_cannot_be_encoded_is_not_lost(
        tiny_tokenizer: ExpressionTokenizer, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """As when the GPU's memory is full: what is there stays, what is asked for comes later."""
    model = make_model(MICRO, tiny_tokenizer)
    session = started(model)
    number = session.submit(text)
    encode, failures = model.encode_text, [2]

    def encode_or_fail(tokens: object) -> object:
        if failures[0]:
            failures[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(tokens)

    monkeypatch.setattr(model, "encode_text", encode_or_fail)
    frame = make_frames(1, 48, 64)[0]
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            session.step(frame)
        assert session.targets == (("a", "the red mug", 1),)
    commands = [target.command for target in session.step(frame).targets]
    assert commands == ([1, number] if ":" in text else [number])
    session.submit("stop")
    failures[0] = 1
    assert session.step(frame).targets == (), "a stop needs no text"


def test_a_long_text_never_reaches_the_tokeniser(
        micro_model: SamwiseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    session = started(micro_model)
    monkeypatch.setattr(micro_model, "tokenizer", None)  # a call would be a TypeError
    for command in ("x" * 10**7, Command(CommandKind.ADD, "a", "x" * 10**7)):
        with pytest.raises(CommandError, match="characters; at most"):
            session.submit(command)


@pytest.mark.parametrize("sentence", [
    "the 🦆 next to the 🍵", "two\nlines\tand a tab", "Die größte Ente 鸭子 بطة", "x",
    "  spaces  around  ", " ".join(["the red mug on the left"] * 33), "a:b:c", "?!"])
def test_unusual_sentences_are_answered(micro_model: SamwiseModel, sentence: str) -> None:
    session = StreamingSession(micro_model)
    session.submit(Command(CommandKind.ADD, "a", sentence))
    for frame in make_frames(2, 48, 64):
        target = session.step(frame)["a"]
    assert target.expression == sentence and np.isfinite(target.object_score)


@pytest.mark.parametrize(("sentence", "message"), [
    ("", "expected an id and a sentence"), (" \n\t ", "expected an id and a sentence"),
    (" ".join(["unforeseeable"] * 200), "tokens"), ("broken \ud800 text", "Unicode")])
def test_unusable_sentences_are_refused_at_once_and_change_nothing(
        micro_model: SamwiseModel, sentence: str, message: str) -> None:
    session = started(micro_model)
    with pytest.raises(CommandError, match=message):
        session.submit(Command(CommandKind.ADD, "b", sentence))
    assert len(session.step(make_frames(1, 48, 64)[0]).targets) == 1
    if sentence.strip():
        with pytest.raises(CommandError, match=message):
            list(ClipRunner(micro_model).run(make_frames(1), sentence))


@pytest.mark.parametrize("text", ["", "   ", "stop", "STOP", "clear", "\n"])
def test_empty_text_and_stop_release_all_targets(micro_model: SamwiseModel, text: str) -> None:
    session = started(micro_model)
    session.submit(text)
    assert session.step(make_frames(1, 48, 64)[0]).targets == ()
    assert session.nbytes < 1e6


def test_commands_are_refused_at_once_when_they_cannot_be_carried_out(
        micro_model: SamwiseModel) -> None:
    session = StreamingSession(micro_model, SessionConfig(max_targets=2))
    session.submit("add:a: mug")
    session.submit("add:b: duck")
    with pytest.raises(CommandError, match="already 2 targets"):
        session.submit("add:c: ball")
    with pytest.raises(CommandError, match="no target 'z'; known are a, b"):
        session.submit("remove:z")
    for malformed in ("add:x", "add: : mug", "remove:", "add:two words: mug"):
        with pytest.raises(CommandError):
            session.submit(malformed)
    session.submit("remove:a")
    session.submit("add:c: ball")
    result = session.step(make_frames(1, 48, 64)[0])
    assert [target.target_id for target in result.targets] == ["b", "c"]


def test_commands_between_two_frames_act_in_their_order(micro_model: SamwiseModel) -> None:
    session = started(micro_model)
    for text in ("add:b: duck", "the blue ball", "add:c: mug", "remove:c", "add:d: left",
                 "add:d: right"):
        last = session.submit(text)
    result = session.step(make_frames(1, 48, 64)[0])
    assert [(t.target_id, t.expression) for t in result.targets] == [
        ("target", "the blue ball"), ("d", "right")]
    assert result["d"].command == last


@pytest.mark.parametrize("text, left", [
    ("add:b: duck", ["a", "b"]), ("the blue ball", ["target"]), ("remove:a", []),
    ("add:a: duck", ["a"])])
def test_a_command_between_a_reset_and_the_next_frame_is_carried_out(
        micro_model: SamwiseModel, text: str, left: list[str]) -> None:
    """As when a camera was away: memory is reset, and the frame fails no more for want of it."""
    session, frame = started(micro_model), make_frames(1, 48, 64)[0]
    session.step(frame)
    session.reset()
    session.submit(text)
    for _ in range(2):
        assert [target.target_id for target in session.step(frame).targets] == left


def test_submit_may_be_called_from_many_threads_while_stepping(
        micro_model: SamwiseModel) -> None:
    session = StreamingSession(micro_model, SessionConfig(max_targets=3))
    numbers, failures = [], []

    def talk(name: str) -> None:
        try:
            for i in range(30):
                numbers.append(session.submit(f"add:{name}: the red mug {'x' * (i % 7)}"))
        except (CommandError, RuntimeError) as error:  # "already borrowed" is a RuntimeError
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    frame = make_frames(1, 48, 64)[0]
    for _ in range(5):
        session.step(frame)
    for thread in threads:
        thread.join(timeout=30)
    assert failures == [] and sorted(numbers) == list(range(1, 91))
    result = session.step(frame)
    assert {t.target_id for t in result.targets} == set("abc")
    assert all(t.expression == "the red mug x" for t in result.targets)


def test_clip_mode_refuses_frames_of_two_sizes(micro_model: SamwiseModel) -> None:
    frames = make_frames(2, 48, 64) + make_frames(1, 64, 48)
    with pytest.raises(FrameError, match="one size"):
        list(ClipRunner(micro_model).run(frames, "mug"))


def test_weights_are_not_touched_by_running(micro_model: SamwiseModel) -> None:
    before = {name: tensor.clone() for name, tensor in micro_model.state_dict().items()}
    attributes = _attributes(micro_model)
    started(micro_model, 3)
    list(ClipRunner(micro_model).run(make_frames(3), "mug"))
    for name, tensor in micro_model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert attributes == _attributes(micro_model)


def _attributes(model: SamwiseModel) -> dict[str, set[str]]:
    """By module; without what follows from weights alone and may be kept (`model.constants`)."""
    return {name: set(vars(module)) - {"_constants"} for name, module in model.named_modules()}
