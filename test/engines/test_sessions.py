"""Every engine through the real session, beside eager: same answers, and how often it builds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from model_builders import make_frames

from samwise_ros.config import EngineName
from samwise_ros.engines import torch_steps
from samwise_ros.engines.flat_step import example_inputs
from samwise_ros.engines.sessions import SessionMaker, bucket
from samwise_ros.engines.static_step import StaticStep
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming import session as session_module
from samwise_ros.streaming.frame_step import FrameStep
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.streaming.steps import StepShape
from samwise_ros.structures import FrameResult

pytestmark = [pytest.mark.timeout(1500), pytest.mark.usefixtures("one_thread")]
PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"),
            "openvino": ("onnx", "onnxscript", "openvino")}
COMMANDS = {0: ("add:a: the red mug", "add:b: the blue ball on the left", "add:c: duck"),
            3: ("add:d: the green ball",), 6: ("add:b: the red duck on the table", "remove:a")}
FAILS, RESET, RESIZED, END = 5, 8, 10, 12


def story(session: StreamingSession, monkeypatch: pytest.MonkeyPatch) -> list[FrameResult]:
    """Targets are added, replaced, removed; a frame fails; a reset; another camera size."""
    frames = make_frames(END)
    frames[RESIZED:] = make_frames(END - RESIZED, 80, 144)
    results = []
    for t, frame in enumerate(frames):
        for command in COMMANDS.get(t, ()):
            session.submit(command)
        if t == RESET:
            session.reset()
        if t == FAILS:
            with monkeypatch.context() as broken, pytest.raises(RuntimeError, match="torn"):
                broken.setattr(session_module, "fetch_rows", _torn)
                session.step(np.ascontiguousarray(frame[::-1]))
        results.append(session.step(frame))
    return results


def _torn(*_: object) -> None:
    raise RuntimeError("torn off")


def assert_same(found: list[FrameResult], expected: list[FrameResult]) -> None:
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one.targets, other.targets, strict=True):
            assert (a.target_id, a.command, a.age) == (b.target_id, b.command, b.age)
            assert a.object_score == pytest.approx(b.object_score, abs=1e-3)
            scale = max(1.0, float(np.abs(b.mask_logits).max()))
            assert np.abs(a.mask_logits - b.mask_logits).max() < 1e-3 * scale
            assert (a.mask != b.mask).mean() < 2e-3
            assert (a.switched, a.state, a.box is None) == (b.switched, b.state, b.box is None)
            if a.box is not None:
                assert np.abs(np.subtract(*(list(vars(x.box).values()) for x in (a, b)))).max() <= 2


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of graphs, for all engines."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def expected(micro_model: SamwiseModel, monkeypatch: pytest.MonkeyPatch) -> list[FrameResult]:
    """Answers of the step as it is."""
    return story(StreamingSession(micro_model), monkeypatch)


@pytest.mark.parametrize("engine", ["compile", "onnx", "openvino"])
def test_an_engine_answers_as_eager_and_builds_for_sizes_only(
        micro_model: SamwiseModel, engine: EngineName, cache: Path, expected: list[FrameResult],
        monkeypatch: pytest.MonkeyPatch) -> None:
    for package in PACKAGES.get(engine, ()):
        pytest.importorskip(package, reason=f"{package} is not installed")
    told: list[str] = []
    monkeypatch.setattr(torch_steps, "_BACKEND", "aot_eager")  # traces as much, in a tenth of time
    make = SessionMaker(micro_model, engine, tell=told.append, cache=cache)
    session = make()
    session.prepare((96, 128), targets=3)
    before = _compiled_graphs()
    assert_same(story(session, monkeypatch), expected)
    names = [line.partition(":")[0] for line in told[::2]]
    assert names == [f"engine {engine} for {size}, 4 row(s), 32 tokens"
                     for size in ("128x96", "144x80")]
    assert [line.partition(": ready after ")[0] for line in told[1::2]] == names
    # A second camera shares what there is; its memory is its own.
    other = make()
    assert_same(story(other, monkeypatch), expected)
    assert len(told) == 4
    if engine == "compile":
        assert _compiled_graphs() - before == 1, "the second size, and nothing else"
    make().prepare((96, 128), targets=2)
    name = f"engine {engine} for 128x96, 2 row(s), 32 tokens"
    assert told[4] == f"{name}: being prepared, no frame is answered meanwhile"
    assert told[5].startswith(f"{name}: ready after ")


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")
def test_what_torch_compiles_answers_as_the_step_as_it_is(micro_model: SamwiseModel) -> None:
    """With the compiler that the engine has. Nothing is compiled after the preparation."""
    frames, sessions = make_frames(4), (SessionMaker(micro_model, "compile")(),
                                        StreamingSession(micro_model))
    sessions[0].prepare((96, 128))
    before = _compiled_graphs()
    for session in sessions:
        session.submit("the red mug")
    found, expected = ([session.step(frame) for frame in frames] for session in sessions)
    assert_same(found, expected)
    assert _compiled_graphs() == before


def _compiled_graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


class _StaticSteps:
    """Eager steps on static buffers: what compiled and captured steps share."""

    def __init__(self, model: SamwiseModel, config: object) -> None:
        self._model, self._config, self._steps = model, config, {}

    def room(self, targets: int, tokens: int) -> tuple[int, int]:
        return bucket(targets), bucket(tokens, 16)

    def step(self, shape: StepShape) -> StaticStep:
        if shape not in self._steps:
            step = FrameStep(self._model, shape.size, self._config)
            example = example_inputs(self._model, shape, self._config)
            outputs: list[tuple] = []

            def run(inputs: object) -> tuple:
                """As a captured graph: the same memory holds the outputs of every frame."""
                found = step(*inputs)
                if not outputs:
                    outputs.append(found)
                for new, kept in zip(_tensors(found), _tensors(outputs[0]), strict=True):
                    if new.data_ptr() != kept.data_ptr():
                        kept.copy_(new)
                return outputs[0]

            self._steps[shape] = StaticStep(run, example)
        return self._steps[shape]


def _tensors(record: object) -> list[torch.Tensor]:
    return torch.utils._pytree.tree_leaves(record)


def test_buffers_that_stay_give_the_answers_of_a_step(
        micro_model: SamwiseModel, expected: list[FrameResult],
        monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [StreamingSession(micro_model, steps=_StaticSteps) for _ in range(2)]
    answers = [story(session, monkeypatch) for session in sessions]
    assert_same(answers[0], expected)
    assert_same(answers[1], expected)


def test_rings_stay_in_the_buffers_and_the_rest_of_a_state_is_its_own(
        micro_model: SamwiseModel) -> None:
    session = StreamingSession(micro_model, steps=_StaticSteps)
    session.submit("the red mug")
    states = []
    for frame in make_frames(3):
        session.step(frame)
        states.append(session._frames.state)
    assert [state.ages.tolist() for state in states] == [[1], [2], [3]]
    assert len({state.spatial.data_ptr() for state in states}) == 1
    assert len({state.clock.data_ptr() for state in states}) == 3


def test_memory_put_back_undoes_frames_on_static_buffers(micro_model: SamwiseModel) -> None:
    session = StreamingSession(micro_model, steps=_StaticSteps)
    session.submit("the red mug")
    frames = make_frames(8)
    for frame in frames[:4]:
        session.step(frame)
    memory = session.memory
    first = [session.step(frame) for frame in frames[4:]]
    session.memory = memory
    assert_same([session.step(frame) for frame in frames[4:]], first)


def test_counts_are_rounded_up() -> None:
    assert [bucket(count) for count in (1, 2, 3, 4, 5, 9, 16, 17)] == [1, 2, 4, 4, 8, 16, 16, 32]
    assert [bucket(count, 16) for count in (3, 16, 17, 40)] == [16, 16, 32, 64]
