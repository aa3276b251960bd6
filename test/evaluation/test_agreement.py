"""How far two runs are from each other, also where neither of them finds anything."""

from dataclasses import replace

import pytest
from model_builders import MICRO, make_frames, make_model, set_object_score

from samwise_ros.config import SessionConfig
from samwise_ros.evaluation.agreement import agreement
from samwise_ros.evaluation.gpu_measure import answers
from samwise_ros.evaluation.speed_engines import compare_engines
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import FrameResult

pytestmark = pytest.mark.usefixtures("one_thread")


def run(model: SamwiseModel) -> list[FrameResult]:
    """Two targets on three frames, all mask logits -1."""
    results = answers(StreamingSession(model), make_frames(3), ["mug", "ball"])
    for result in results:
        for target in result.targets:
            target.mask_logits[:] = -1.0
    return results


def test_masks_are_pooled_and_differences_are_the_largest(micro_model: SamwiseModel) -> None:
    once, twice = run(micro_model), run(micro_model)
    once[0].targets[0].mask_logits[:2] = 1.0
    twice[0].targets[0].mask_logits[:1] = 1.0
    target = twice[2].targets[1]
    twice[2] = replace(twice[2], targets=(twice[2].targets[0], replace(
        target, object_score=target.object_score + 0.25)))
    found = agreement(once, twice)
    assert found.iou == pytest.approx(0.5) and found.logits == 2.0 and not found.empty
    assert found.score == pytest.approx(0.25) and str(found).startswith("IoU 0.5000")


def test_runs_without_any_mask_agree_and_that_says_nothing(micro_model: SamwiseModel) -> None:
    once, twice = run(micro_model), run(micro_model)
    twice[0].targets[0].mask_logits[:] = -3.0
    found = agreement(once, twice)
    assert found.iou == 1.0 and found.empty and found.logits == 2.0
    assert str(found).startswith("all masks are empty")
    once[0].targets[0].mask_logits[0] = 1.0
    assert agreement(once, twice).iou == 0.0 and not agreement(once, twice).empty


@pytest.mark.parametrize(("score", "empty"), [(5.0, False), (-5.0, True)])
def test_the_table_of_engines_says_when_there_was_no_mask(
        tiny_tokenizer: ExpressionTokenizer, score: float, empty: bool) -> None:
    model = make_model(MICRO, tiny_tokenizer)
    set_object_score(model, score)
    report = compare_engines(model, SessionConfig(), engines=("eager",), camera=(48, 64),
                             targets=(1,), frames=1)
    row, table = report.rows[0].beside_first, report.markdown()
    assert row.empty is empty and row.iou == 1.0
    assert ("| all masks empty |" in table) is empty and ("| 1.0000 |" in table) is not empty
    assert table.endswith("object scores.") is empty
