"""What CUDA allows while a step is captured, checked on a GPU without data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from fake_gpu import GPU, Crossings, fake_gpu
from mini_builders import make_mini
from model_builders import MICRO, make_frames, make_model

from samwise_ros.config import Precision, SessionConfig
from samwise_ros.engines import sessions, torch_steps
from samwise_ros.engines.flat_step import example_inputs
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.engines.static_step import StaticStep
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.frame_step import FrameStep
from samwise_ros.streaming.image_ops import input_size
from samwise_ros.streaming.steps import StepShape

pytestmark = pytest.mark.usefixtures("one_thread")
MOTION = MICRO.replace(motion_lag=2, cmt={"fusion_stages": (2, 3), "hsa_patch_sides": (4, 2)},
                       text={"fusion_layers": (1, 3)})
FRAME = make_frames(1)[0]
MODELS: dict[str, Callable[[ExpressionTokenizer], SamwiseModel]] = {
    "micro": lambda tokenizer: make_model(MICRO, tokenizer),
    "motion": lambda tokenizer: make_model(MOTION, tokenizer),
    "mini": lambda _: make_mini()}


class Captures:
    """In place of CUDA's streams and graphs: on which device's stream, and how often replayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, crossings: Crossings) -> None:
        self.devices: list[torch.device] = []
        self.replays = 0
        self._crossings = crossings
        for name, stand_in in (
                ("Stream", self._stream), ("current_stream", self._stream),
                ("stream", lambda _: nullcontext()), ("graph", self._graph),
                ("CUDAGraph", lambda: SimpleNamespace(replay=self._replay))):
            monkeypatch.setattr(torch.cuda, name, stand_in)
        # It asks whether there is a GPU.
        monkeypatch.setattr(sessions, "engine_device", lambda _, device: device)

    @staticmethod
    def _stream(device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(device=device, wait_stream=lambda _: None)

    def _replay(self) -> None:
        self.replays += 1

    @contextmanager
    def _graph(self, _: object, stream: SimpleNamespace) -> Iterator[None]:
        self.devices.append(stream.device)
        self._crossings.forbidden = True
        yield
        self._crossings.forbidden = False


@pytest.mark.parametrize(("name", "precision"), [
    ("micro", "bf16"), ("motion", "fp32"), ("mini", "bf16")])
def test_a_captured_step_reads_nothing_from_the_host_and_serves_all_frames(
        name: str, precision: Precision, tiny_tokenizer: ExpressionTokenizer,
        monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(torch_steps, "_WARM_UP", 1)  # makes all tables; kernels there are none
    with fake_gpu(MODELS[name](tiny_tokenizer), monkeypatch) as (model, crossings):
        captures = Captures(monkeypatch, crossings)
        make = SessionMaker(model, "cuda_graph", SessionConfig(precision=precision), told.append)
        for count in (1, 2):  # each camera has a graph of its own
            session = make()
            session.prepare((96, 128), targets=3)
            assert captures.devices == [GPU] * count and len(told) == 2 * count
        for text in ("add:a: the red mug", "add:b: duck", "add:c: the ball"):
            session.submit(text)
        nouns = 3 if name == "mini" else 0  # which words of three sentences they are
        for waits in (nouns + 1, 1, 1):
            crossings.waits.clear()
            session.step(FRAME)
            assert [wait.partition(" in ")[0] for wait in crossings.waits] == ["transfer"] * waits
        assert captures.replays == 3 and len(captures.devices) == 2


def test_the_guard_notices_what_a_capture_refuses(tiny_tokenizer: ExpressionTokenizer,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu(make_model(MICRO, tiny_tokenizer), monkeypatch) as (_, crossings):
        there, crossings.forbidden = torch.zeros(2, device=GPU), True
        for refused in (lambda: torch.tensor([1.0, 2.0], device=GPU), lambda: there.cpu()):
            with pytest.raises(AssertionError, match="CUDA refuses that"):
                refused()


def test_the_buffers_of_a_step_are_written_in_place(tiny_tokenizer: ExpressionTokenizer) -> None:
    """Rings come back as the tensors they were: a captured graph finds them in the next frame."""
    model = make_model(MOTION, tiny_tokenizer)
    size = input_size((96, 128), model.config.image_size, model.config.fit)
    inputs = example_inputs(model, StepShape(size, 2, 16), SessionConfig())
    step = StaticStep(lambda held: FrameStep(model, size, SessionConfig())(*held), inputs)
    _, state = step(*example_inputs(model, StepShape(size, 2, 16), SessionConfig()))
    for name in ("spatial", "pointers"):
        assert getattr(state, name) is getattr(inputs.state, name)
    for ring, held in zip((*state.shared, *state.rows),
                          (*inputs.state.shared, *inputs.state.rows), strict=True):
        assert all(one is two for one, two in zip(ring.parts, held.parts, strict=True))
