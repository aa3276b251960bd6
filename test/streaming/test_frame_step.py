"""A step is one function of tensors: what it answers, what it may not do, its export."""


import numpy as np
import pytest
import torch
from model_builders import make_frames
from torch.utils import _pytree as pytree

from samwise_ros.config import SessionConfig
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import stack_text
from samwise_ros.streaming.frame_step import FULL, Answer, Fill, FrameStep, fetch
from samwise_ros.streaming.image_ops import prepare_frame
from samwise_ros.streaming.stream_state import start_state

pytestmark = pytest.mark.usefixtures("one_thread")
SENTENCES = ("the red mug", "the small blue ball on the left side of the table", "duck")


class Stream:
    """A step, its inputs, and a state that is advanced frame by frame."""

    def __init__(self, model: SamwiseModel, rows: int, frames: int = 20) -> None:
        prepared = [prepare_frame(frame, model.config) for frame in make_frames(frames)]
        self.pixels = [pixels for pixels, _ in prepared]
        self.step = FrameStep(model, prepared[0][1], SessionConfig()).eval()
        with torch.no_grad():
            self.text = stack_text([model.encode_text(model.tokenizer([sentence]))
                                    for sentence in SENTENCES[:rows]])
        self.state = start_state(model, self.pixels[0], rows, 7)

    @torch.no_grad()
    def __call__(self, t: int, fill: Fill | None = None) -> Answer:
        answer, self.state = self.step(self.pixels[t], self.text, self.state, fill)
        return answer


def assert_close(one: object, other: object, tolerance: float = 1e-5) -> None:
    for a, b in zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True):
        torch.testing.assert_close(a.float(), b.float(), atol=tolerance, rtol=1e-5)


def test_reading_what_is_filled_equals_reading_all_with_masks(micro_model: SamwiseModel) -> None:
    exact, general = Stream(micro_model, 2), Stream(micro_model, 2)
    for t in range(20):
        one = exact(t, Fill(t, t) if t % 2 else FULL if t >= 15 else Fill(t, 0))
        assert_close(vars(one), vars(general(t)))
    assert exact.state.ages.tolist() == [20, 20] and exact.state.clock.item() == 20


def test_rows_of_any_age_answer_as_each_alone(micro_model: SamwiseModel) -> None:
    """A row that starts anew sees nothing from before, whatever the other rows remember."""
    joint, late = Stream(micro_model, 3), Stream(micro_model, 1)
    late.text = joint.text.select(torch.tensor([1]))
    for t in range(20):
        if t == 9:
            joint.state = joint.state.restarted(torch.tensor([False, True, False]))
        together = joint(t)
        if t >= 9:
            alone = late(t, Fill(t - 9, t - 9))
            for name, value in vars(alone).items():
                assert_close(vars(together)[name][1:2], value)
    assert joint.state.ages.tolist() == [20, 11, 20]


def test_a_step_leaves_what_counted_before_it(micro_model: SamwiseModel) -> None:
    """Rings are written to, but at slots that do not count for the state that was given."""
    stream = Stream(micro_model, 2)
    for t in range(17):
        stream(t)
    before = stream.state
    first = stream(17)
    stream.state = before
    stream(3)
    stream.state = before
    assert_close(vars(stream(17)), vars(first), tolerance=0)


def exported(step: FrameStep, *inputs: object) -> torch.export.ExportedProgram:
    with torch.no_grad():
        step(*inputs)  # tables are made here, not in the graph
        return torch.export.export(step, inputs, strict=False)


FORBIDDEN = ("nonzero", "_local_scalar", "aten.item", "complex", "masked_select", "bicubic")


@pytest.mark.parametrize("rows", [1, 2])
def test_the_exported_step_equals_the_step_and_has_no_state(micro_model: SamwiseModel,
                                                            rows: int) -> None:
    stream = Stream(micro_model, rows)
    program = exported(stream.step, stream.pixels[0], stream.text, stream.state)
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [name for name in names if any(word in name for word in FORBIDDEN)]
    call = program.module()
    for t in range(9):
        state = stream.state
        before = [tensor.clone() for tensor in state.tensors]
        found = call(stream.pixels[t], stream.text, state)
        assert all(map(torch.equal, before, state.tensors)), "inputs are not written to"
        answer = stream(t)
        assert_close(found, (answer, stream.state))


def test_an_answer_comes_to_the_host_as_it_is(micro_model: SamwiseModel) -> None:
    answer = Stream(micro_model, 3)(0)
    host = fetch(answer)
    for name, tensor in vars(answer).items():
        assert host[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(host[name], tensor.numpy())
    assert "low_res" not in fetch(answer, logits=False)


def test_blank_rows_and_tokens_change_nothing(micro_model: SamwiseModel) -> None:
    exact, padded = Stream(micro_model, 3), Stream(micro_model, 3)
    with torch.no_grad():
        padded.text = stack_text([padded.text], rows=4, length=padded.text.mask.shape[1] + 5)
    padded.state = start_state(micro_model, padded.pixels[0], 4, 7)
    for t in range(3):
        joint = vars(padded(t))
        assert joint["finite"].all()
        for name, value in vars(exact(t)).items():
            assert_close(joint[name][:3], value)
