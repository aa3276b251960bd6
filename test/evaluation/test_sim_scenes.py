"""Evaluation on simulated scenes: scores by kind, baselines, statistics, resuming."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data_builders import NUM_FRAMES, build_mevis, moving_tracks
from evaluation_builders import PreparedPredictor, nothing

from samwise_ros.data.mevis import MevisSource
from samwise_ros.evaluation.baselines import SceneBaselines, named_colours
from samwise_ros.evaluation.clip_rows import ClipRowsPredictor
from samwise_ros.evaluation.expression_scores import (
    ExpressionResult,
    Scores,
    mean_of_equal_texts_once,
)
from samwise_ros.evaluation.metrics import mask_scores
from samwise_ros.evaluation.predictors import ClipPredictor
from samwise_ros.evaluation.selection import Selection
from samwise_ros.evaluation.sim_scenes import evaluate_sim, sim_predictor, sim_report
from samwise_ros.evaluation.store import ResultStore, weights_digest
from samwise_ros.evaluation.stream_statistics import (
    first_correct,
    reacquired,
    stream_statistics,
)
from samwise_ros.structures import ConfigError, DataError


@pytest.fixture
def source(tmp_path: Path) -> MevisSource:
    return MevisSource(build_mevis(tmp_path / "sim", simulated=True))


def true_answer(source: MevisSource):
    """A predictor that answers as the ground truth does."""
    video = source.videos[0]
    texts = {expression.text: expression for expression in video.expressions}

    def make_mask(text: str, number: int, frame: np.ndarray) -> np.ndarray:
        return source.masks(video, texts[text], [number])[0]

    return PreparedPredictor(make_mask)


def run(predictor, source: MevisSource, store: ResultStore, **options):
    return evaluate_sim(predictor, "stream", source, store, progress=False,
                             selection=options.pop("selection", Selection()), **options)


def test_true_answers_score_one_in_every_kind(source: MevisSource) -> None:
    report = run(true_answer(source), source, ResultStore(None, {}))

    summary = report.to_dict()
    assert summary["jf"] == 1.0 and summary["absent_accuracy"] == 1.0
    assert set(summary["by_kind"]) == {"colour", "class", "colour_class", "relation", "motion"}
    for scores in summary["by_kind"].values():
        assert (scores["j"], scores["f"], scores["jf"], scores["count"]) == (1.0, 1.0, 1.0, 2)
        assert 0.0 < scores["random_object_jf"] < 1.0
    assert summary["count"] == 10 and summary["absent_count"] == 2


def test_empty_answers_score_only_where_nothing_is_to_be_seen(source: MevisSource) -> None:
    report = run(PreparedPredictor(nothing), source, ResultStore(None, {}))

    # The duck enters at frame 4 of 10; everything else is always visible.
    assert report.by_kind["colour_class"].scores == Scores(0.4, 0.4)
    assert report.by_kind["colour"].scores == Scores(0.0, 0.0)
    assert report.absent_accuracy == 1.0
    assert report.jf == pytest.approx(0.4 / 5)
    duck = next(result for result in report.results if result.kind == "colour_class")
    assert (duck.visible, duck.first_visible, duck.first_correct) == (True, 4, None)


def test_absent_expressions_do_not_enter_jf(source: MevisSource) -> None:
    def loud(text: str, number: int, frame: np.ndarray) -> np.ndarray:
        return np.ones(frame.shape[:2], bool) & (number % 4 == 0)

    report = run(PreparedPredictor(loud), source, ResultStore(None, {}))

    assert report.absent_accuracy == pytest.approx(7 / 10)
    assert report.overall.count == 10


def test_random_object_is_the_mean_over_visible_objects(source: MevisSource) -> None:
    video = source.videos[0]
    baselines = SceneBaselines(source, video)
    tracks = [track > 0 for track in moving_tracks()]

    scores = baselines.random_object(video.expressions[2])  # the duck: third object, from frame 4

    expected = []
    for frame in range(NUM_FRAMES):
        visible = [track[frame] for track in tracks if track[frame].any()]
        each = [mask_scores(mask, tracks[2][frame]) for mask in visible]
        expected.append(np.mean(np.asarray(each), axis=0))
    assert scores == pytest.approx(tuple(np.mean(expected, axis=0)))
    assert scores.j == pytest.approx(0.6 / 3), "one of three objects on six frames of ten"


def test_colour_guess_takes_the_expected_score_over_objects_of_that_colour(
        source: MevisSource) -> None:
    video = source.videos[0]
    baselines = SceneBaselines(source, video)

    # "the red duck": before frame 4 only the red mug can be guessed, and nothing is right; after
    # it the mug or the duck, each with probability one half.
    assert baselines.colour_guess(video.expressions[2]).j == pytest.approx(0.6 / 2)
    # "the blue one": there is one.
    assert baselines.colour_guess(video.expressions[3]) == (1.0, 1.0)
    # "The two  mugs": no colour is named.
    assert (baselines.colour_guess(video.expressions[1])
            == baselines.random_object(video.expressions[1]))


def test_colour_guess_answers_nothing_while_no_object_has_the_colour(tmp_path: Path) -> None:
    root = build_mevis(tmp_path / "sim", ("v0",), simulated=True)
    meta = json.loads((root / "meta_expressions.json").read_text())
    meta["videos"]["v0"]["scene"]["objects"]["2"]["colour"] = "green"
    meta["videos"]["v0"]["expressions"]["2"]["exp"] = "the green duck"
    (root / "meta_expressions.json").write_text(json.dumps(meta))
    source = MevisSource(root)

    scores = SceneBaselines(source, source.videos[0]).colour_guess(
        source.videos[0].expressions[2])

    assert scores == (1.0, 1.0), "nothing green before frame 4, the duck alone after it"


def test_colours_are_whole_words() -> None:
    assert named_colours("the Red mug left of the blue-ish tired duck") == {"red", "blue"}
    assert named_colours("the reddest shred") == frozenset()


def test_frames_until_the_first_correct_mask_count_from_the_first_appearance() -> None:
    visible = [False, False, True, True, True]

    assert first_correct(visible, [1.0, 1.0, 0.2, 0.5, 0.9]) == 1
    assert first_correct(visible, [0.0, 0.0, 0.7, 0.0, 0.0]) == 0
    assert first_correct(visible, [1.0, 1.0, 0.4, 0.4, 0.4]) is None
    assert first_correct([False], [1.0]) is None


def test_reacquisition_counts_per_return_and_not_for_the_first_appearance() -> None:
    visible = [False, True, True, False, True, True, False, False, True, True, True]
    overlaps = [1.0, 0.0, 0.9, 1.0, 0.1, 0.2, 1.0, 1.0, 0.1, 0.1, 0.8]

    assert reacquired(visible, overlaps) == (None, 2)
    assert reacquired([True, True], [0.0, 0.0]) == ()
    assert reacquired([False, True], [0.0, 0.0]) == ()


def result(**changes) -> ExpressionResult:
    fields = {"video": "v", "expression_id": "0", "text": "it", "kind": "colour", "frames": 30,
              "seconds": 3.0, "scores": Scores(0.5, 0.7), "visible": True}
    return ExpressionResult(**{**fields, **changes})


def test_statistics_of_a_run_by_hand() -> None:
    results = [
        result(switches=2, first_visible=0, first_correct=4, reacquired=(1, None)),
        result(expression_id="1", switches=1, first_visible=7, first_correct=0, reacquired=(3,)),
        result(expression_id="2", first_visible=3, first_correct=None),
        result(expression_id="3", kind="absent", scores=None, visible=None, empty_frames=24),
        result(expression_id="4", kind="absent", scores=None, visible=None, empty_frames=27),
    ]

    statistics = stream_statistics(results)

    assert statistics.absent_accuracy == pytest.approx(51 / 60)
    assert statistics.switches_per_minute == pytest.approx(3 / (15 / 60))
    assert statistics.first_correct_median == 2.0
    assert statistics.found_share == pytest.approx(2 / 3)
    assert statistics.late_count == 2
    assert statistics.late_first_correct_median == 0.0
    assert statistics.late_found_share == pytest.approx(1 / 2)
    assert statistics.reacquire_median == 2.0
    assert statistics.reacquired_share == pytest.approx(2 / 3)
    assert statistics.returns == 3


def test_the_published_mean_counts_equal_sentences_once_the_last_one() -> None:
    results = [result(scores=Scores(0.0, 0.0)), result(video="w", scores=Scores(1.0, 0.8)),
               result(video="x", text="other", scores=Scores(0.5, 0.4))]

    assert mean_of_equal_texts_once(results) == pytest.approx((0.75, 0.6))


def test_a_report_without_expressions_has_no_scores() -> None:
    report = sim_report("stream", [])

    assert report.jf == 0.0 and report.by_kind == {} and report.absent_accuracy is None


def test_chunks_bound_how_many_expressions_run_together(source: MevisSource) -> None:
    predictor = PreparedPredictor(nothing)
    run(predictor, source, ResultStore(None, {}), chunk=4)

    assert [len(call) for call in predictor.calls] == [4, 2, 4, 2]


def test_an_interrupted_run_resumes_without_repeating_anything(
        source: MevisSource, tmp_path: Path) -> None:
    whole = run(true_answer(source), source, ResultStore(None, {}), chunk=2)
    out = tmp_path / "out"
    interrupted = PreparedPredictor(true_answer(source)._make_mask, fail_after=4)
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, source, ResultStore(out, {"model": "a"}), chunk=2)
    # A line that was being written when the power went.
    path = out / "results.jsonl"
    path.write_text(path.read_text()[:-20])

    rest = true_answer(source)
    report = run(rest, source, ResultStore(out, {"model": "a"}), chunk=2)

    assert len(path.read_text().splitlines()) == 12
    assert sum(len(call) for call in rest.calls) == 12 - 8 + 1
    assert report.to_dict() == whole.to_dict()
    again = true_answer(source)
    assert run(again, source, ResultStore(out, {"model": "a"})).to_dict() == whole.to_dict()
    assert again.calls == []


def test_results_of_another_run_are_not_mixed_in(tmp_path: Path) -> None:
    ResultStore(tmp_path, {"model": "a", "mode": "clip"})

    with pytest.raises(DataError, match="another run .mode: 'clip' then, 'stream' now"):
        ResultStore(tmp_path, {"model": "a", "mode": "stream"})


def test_a_line_damaged_in_the_middle_is_named(source: MevisSource, tmp_path: Path) -> None:
    run(PreparedPredictor(nothing), source, ResultStore(tmp_path / "out", {}))
    path = tmp_path / "out" / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "{broken\n", *lines[2:]]))

    with pytest.raises(DataError, match="results.jsonl, line 2: damaged"):
        ResultStore(tmp_path / "out", {})


def test_selection_is_seeded_and_counts_per_kind(tmp_path: Path) -> None:
    root = build_mevis(tmp_path / "sim", tuple(f"v{n}" for n in range(8)), simulated=True)
    videos = MevisSource(root).videos

    chosen = Selection(4, 2, seed=3).apply(videos)

    kinds = [expression.kind for video in chosen for expression in video.expressions]
    assert sorted(kinds) == sorted(2 * ["colour", "class", "colour_class", "relation", "motion",
                                        "absent"])
    assert len(chosen) <= 4
    assert Selection(4, 2, seed=3).apply(videos) == chosen
    assert Selection(4, 2, seed=4).apply(videos) != chosen
    assert Selection().apply(videos) == list(videos)


def test_a_selection_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_videos: expected >= 1, got 0"):
        Selection(max_videos=0)


@pytest.mark.parametrize("mode", ["stream", "clip"])
def test_a_real_model_is_evaluated_and_left_as_it_was(
        source: MevisSource, micro_model, mode: str, one_thread) -> None:
    digest = weights_digest(micro_model)
    report = evaluate_sim(sim_predictor(micro_model, mode), mode, source, ResultStore(None, {}),
                          selection=Selection(1), chunk=4, progress=False)
    assert weights_digest(micro_model) == digest
    assert len(report.results) == 6 and 0.0 <= report.jf <= 1.0
    assert report.mode == mode


def test_expressions_score_the_same_alone_and_together(
        source: MevisSource, micro_model, one_thread) -> None:
    together, alone = (evaluate_sim(sim_predictor(micro_model, "stream"), "stream", source,
                                    ResultStore(None, {}), chunk=chunk, selection=Selection(1),
                                    progress=False) for chunk in (6, 1))

    assert alone.jf > 0.01, "the model answers something"
    assert together.jf == pytest.approx(alone.jf, abs=1e-3)
    assert together.absent_accuracy == pytest.approx(alone.absent_accuracy, abs=0.1)


@pytest.mark.parametrize("length", [9, 10])
def test_batched_clip_mode_equals_the_official_runner_row_by_row(
        source: MevisSource, tiny_tokenizer, length: int, one_thread) -> None:
    # 9 frames end in a window of one, which forgets everything. CME switches whenever it may.
    from model_builders import MICRO, make_model

    model = make_model(MICRO, tiny_tokenizer)
    model.conditional_memory_encoder.decision_class_head.bias.data[:] = torch.tensor([-1e3, 1e3])
    frames = [source.frame(source.videos[0], index) for index in range(length)]
    texts = ["the red mug", "the blue duck on the table", "the ball"]

    together = list(ClipRowsPredictor(model).run(frames, texts))
    alone = list(ClipPredictor(model).run(frames, texts))

    assert len(together) == len(alone) == length
    assert any(answer.switched for answers in alone for answer in answers)
    for ours, official in zip(together, alone, strict=True):
        for one, other in zip(ours, official, strict=True):
            np.testing.assert_allclose(one.logits(), other.logits(), atol=1e-3)
            assert one.switched == other.switched
            assert (one.mask != other.mask).mean() < 0.01
