"""A session on a GPU without data: one wait a frame, one device, whatever is looked for."""

import numpy as np
import pytest
import torch
from fake_gpu import GPU, Crossings, fake_gpu
from model_builders import MICRO, make_frames, make_model
from recorded_streams import MODELS

from samwise_ros.config import Precision, SessionConfig
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import Command, CommandKind, Prompt

pytestmark = pytest.mark.usefixtures("one_thread")
FILLED = 8  # frames after which all tables are made, those of six spatial memories last
FRAMES = make_frames(4)


def run(session: StreamingSession, count: int = FILLED) -> None:
    for t in range(count):
        session.step(FRAMES[t % len(FRAMES)])


def crossings_of_a_frame(session: StreamingSession, crossings: Crossings,
                         ) -> tuple[list[str], list[str]]:
    """Where the host waits within a frame, and what it sends without waiting."""
    crossings.waits.clear()
    crossings.uploads.clear()
    session.step(FRAMES[0])
    return [each.partition(" in ")[2].partition(":")[0] for each in crossings.waits], [
        each.partition(" in ")[2].partition(":")[0] for each in crossings.uploads]


ONE = (["frame_step.py"], ["uploads.py"])  # the answer down, the picture up
# Of a new sentence of mini: which of its words are nouns.
NOUNS = {"mini": ["noun_finder.py"]}


@pytest.mark.parametrize(("name", "precision"), [
    ("switching", "fp32"), ("switching", "bf16"), ("mini", "bf16")])
def test_the_host_waits_once_a_frame(
        name: str, precision: Precision, tiny_tokenizer: ExpressionTokenizer,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """One target, rows of several ages, a target that has gone, one shown beside its sentence.

    So it is on frames with which commands come. Model "switching" has the CME on from its third
    frame on.
    """
    with fake_gpu(MODELS[name](tiny_tokenizer), monkeypatch) as (model, crossings):
        session = StreamingSession(model, SessionConfig(precision=precision))
        session.submit("add:a: the red mug")
        run(session)
        assert crossings_of_a_frame(session, crossings) == ONE
        session.submit("add:b: duck")
        session.submit(Command(CommandKind.ADD, "c", "the ball", prompt=Prompt(((20.0, 30.0),))))
        waits, uploads = crossings_of_a_frame(session, crossings)
        assert waits == NOUNS.get(name, []) * 2 + ["frame_step.py"]
        assert len(uploads) > 5 and set(uploads) == {"uploads.py"}
        assert crossings_of_a_frame(session, crossings) == ONE
        session.submit("remove:a")
        assert crossings_of_a_frame(session, crossings) == (ONE[0], ["uploads.py"] * 3)
        assert crossings_of_a_frame(session, crossings) == ONE
        state = session._frames.state
        assert state is not None and state.ages.shape == (2,)
        assert {part.device for part in state.tensors} == {GPU}


def test_a_target_that_was_only_shown_beside_a_named_one_waits_no_more(
        tiny_tokenizer: ExpressionTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu(make_model(MICRO.replace(shown="sam2"), tiny_tokenizer),
                  monkeypatch) as (model, crossings):
        session = StreamingSession(model, SessionConfig(precision="bf16"))
        mask = np.zeros(FRAMES[0].shape[:2], bool)
        mask[20:40, 30:50] = True
        session.submit(Command(CommandKind.ADD, "a", "", prompt=Prompt(mask=mask)))
        session.submit("add:b: the red mug")
        run(session)
        assert crossings_of_a_frame(session, crossings) == ONE
        session.submit(Command(CommandKind.ADD, "c", "", prompt=Prompt(box=(20., 20., 50., 40.))))
        assert crossings_of_a_frame(session, crossings) == (ONE[0], ["uploads.py"] * 3)


def test_the_guard_notices_what_it_should(tiny_tokenizer: ExpressionTokenizer,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu(make_model(MICRO, tiny_tokenizer), monkeypatch) as (_, crossings):
        there = torch.zeros(3, device=GPU)
        for wait in (lambda: torch.tensor([1.0, 2.0], device=GPU), lambda: there.cpu()):
            crossings.waits.clear()
            wait()
            assert len(crossings.waits) == 1
        for refused in (lambda: bool((there > 0).any()), lambda: there[there > 0].sum().item(),
                        lambda: there + torch.zeros(3),
                        lambda: there + torch.zeros(3, device="cuda:0")):
            with pytest.raises(Exception, match="device|Data|Dynamic|aten"):
                refused()
