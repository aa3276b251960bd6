"""Protocols of the recorded benchmarks, their files and their figures."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_builders import (
    SIZE,
    build_davis_archives,
    build_mevis,
    build_ref_youtube_vos,
    build_refcoco_archive,
    moving_tracks,
    rectangle,
)
from evaluation_builders import PreparedPredictor, nothing, red_pixels
from PIL import Image

from samwise_ros.data.davis_converter import convert_davis
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
from samwise_ros.data.refcoco import RefCocoSource
from samwise_ros.data.refcoco_converter import convert_refcoco
from samwise_ros.data.transforms import training_size
from samwise_ros.evaluation.davis_protocol import (
    Statistics,
    frame_statistics,
    mean_statistics,
    palette,
    score_sequence,
)
from samwise_ros.evaluation.metrics import mask_scores
from samwise_ros.evaluation.mevis_ytvos import evaluate_recorded
from samwise_ros.evaluation.ref_davis17 import evaluate_ref_davis, merge_objects
from samwise_ros.evaluation.refcoco_protocol import (
    ImageResult,
    OfficialImagePredictor,
    StreamImagePredictor,
    evaluate_refcoco,
    summarise,
)
from samwise_ros.evaluation.report import write_expression_csv, write_video_csv
from samwise_ros.evaluation.selection import Selection
from samwise_ros.evaluation.store import ResultStore
from samwise_ros.structures import DataError


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_mevis_scores_every_expression_and_zips_videos_at_the_top(tmp_path: Path) -> None:
    source = MevisSource(build_mevis(tmp_path / "valid_u"))
    store = ResultStore(tmp_path / "out", {})

    report = evaluate_recorded(PreparedPredictor(red_pixels), source, store,
                               selection=Selection(), keep_top=False, progress=False)

    assert len(report.results) == 10
    assert 0.0 < report.scores.jf < 1.0
    # Both videos are alike, so counting equal sentences once changes nothing here.
    assert report.scores_by_text == pytest.approx(report.scores)
    with zipfile.ZipFile(report.submission) as archive:
        names = archive.namelist()
        assert len(names) == 2 * 5 * 10 and "v0/3/00009.png" in names
        with archive.open("v0/0/00009.png") as file:
            picture = Image.open(file)
            assert picture.mode == "L" and picture.size == (SIZE[1], SIZE[0])
            assert set(np.unique(np.array(picture))) == {0, 255}


def test_mevis_counts_every_frame_with_the_empty_ones(tmp_path: Path) -> None:
    source = MevisSource(build_mevis(tmp_path / "valid_u", ("v0",)))
    report = evaluate_recorded(PreparedPredictor(nothing), source, ResultStore(None, {}),
                               selection=Selection(), keep_top=False, masks=False, progress=False)

    by_id = {result.expression_id: result.scores for result in report.results}
    assert by_id["2"] == (0.4, 0.4), "the duck is absent on four frames of ten"
    assert by_id["0"] == (0.0, 0.0)
    assert report.to_dict()["submission"] is None


def test_youtube_validation_gives_masks_and_a_zip_with_the_top_folder(tmp_path: Path) -> None:
    source = RefYoutubeVosSource(build_ref_youtube_vos(tmp_path / "yt"), "valid")

    report = evaluate_recorded(PreparedPredictor(red_pixels), source,
                               ResultStore(tmp_path / "out", {}), selection=Selection(),
                               keep_top=True, progress=False)

    assert report.scores is None and report.to_dict()["jf"] is None
    with zipfile.ZipFile(report.submission) as archive:
        assert min(archive.namelist()) == "Annotations/a0/0/00000.png"
        assert len(archive.namelist()) == 3 * 10


def test_youtube_training_videos_are_scored(tmp_path: Path) -> None:
    source = RefYoutubeVosSource(build_ref_youtube_vos(tmp_path / "yt"), "train")
    blue = PreparedPredictor(lambda text, number, frame: moving_tracks()[1][number] > 0)

    report = evaluate_recorded(blue, source, ResultStore(None, {}), selection=Selection(),
                               keep_top=True, masks=False, progress=False)

    assert {result.text: result.scores.j for result in report.results}["a blue mug"] == 1.0


def test_csv_files_hold_a_line_per_expression_and_per_video(tmp_path: Path) -> None:
    source = MevisSource(build_mevis(tmp_path / "sim", simulated=True))
    report = evaluate_recorded(PreparedPredictor(nothing), source, ResultStore(None, {}),
                               selection=Selection(), keep_top=False, masks=False, progress=False)

    write_expression_csv(tmp_path / "e.csv", report.results)
    write_video_csv(tmp_path / "v.csv", report.results)

    expressions, videos = read_csv(tmp_path / "e.csv"), read_csv(tmp_path / "v.csv")
    assert len(expressions) == 12 and len(videos) == 2
    duck = expressions[2]
    assert (duck["video"], duck["kind"], duck["text"]) == ("v0", "colour_class", "the red duck")
    assert (duck["j"], duck["jf"], duck["frames"]) == ("0.4000", "0.4000", "10")
    absent = expressions[5]
    assert absent["j"] == "" and absent["empty_frames"] == "10"
    assert videos[0]["expressions"] == "6" and videos[0]["absent_accuracy"] == "1.0000"
    assert float(videos[0]["jf"]) == pytest.approx(0.4 / 5)


def test_objects_merge_to_the_most_probable_above_one_half() -> None:
    def logit(*probabilities: float) -> np.ndarray:
        values = np.array([probabilities])
        return np.log(values / (1 - values))

    #                 first wins, second wins, both below 0.5, tie
    merged = merge_objects([logit(0.9, 0.6, 0.49, 0.7), logit(0.8, 0.7, 0.4, 0.7)])

    assert merged.tolist() == [[1, 2, 0, 1]] and merged.dtype == np.uint8


def tracks_to_ids(tracks: list[np.ndarray]) -> np.ndarray:
    ids = np.zeros(tracks[0].shape, np.uint8)
    for number, track in enumerate(tracks, start=1):
        ids[track > 0] = number
    return ids


def test_answers_in_another_order_are_matched_to_their_objects() -> None:
    tracks = moving_tracks()[:2]
    truth, swapped = tracks_to_ids(tracks), tracks_to_ids(tracks[::-1])

    first, second = score_sequence("v", swapped, truth)

    assert (first.number, second.number) == (1, 2)
    assert first.j.mean() == 1.0 and second.f.mean() == 1.0


def test_matching_maximises_the_total_and_not_each_object() -> None:
    # Answer 1 overlaps object 1 best, and object 2; answer 2 overlaps object 1 only. Taking the
    # best pair first would leave object 2 with nothing.
    truth = np.zeros((1, 30, 60), np.uint8)
    truth[0, 5:25, 5:25], truth[0, 5:25, 25:45] = 1, 2
    answered = np.zeros_like(truth)
    answered[0, 5:25, 13:33] = 1  # 12 columns of object 1, 8 of object 2
    answered[0, 5:25, 5:13] = 2  # 8 columns of object 1

    first, second = score_sequence("v", answered, truth)

    pairs = {(a, o): mask_scores(answered[0] == a, truth[0] == o).jf
             for a in (1, 2) for o in (1, 2)}
    assert pairs[1, 1] + pairs[2, 2] < pairs[2, 1] + pairs[1, 2]
    assert first.j[0] == pytest.approx(8 / 20)
    assert second.j[0] == pytest.approx(8 / 32)


def test_missing_answers_count_as_empty_and_surplus_ones_are_ignored() -> None:
    tracks = moving_tracks()[:2]
    truth = tracks_to_ids(tracks)

    only_second = np.where(truth == 2, 1, 0).astype(np.uint8)
    first, second = score_sequence("v", only_second, truth)
    assert first.j.mean() == 0.0 and second.j.mean() == 1.0

    surplus = truth.copy()
    surplus[:, 0, 0] = 7
    assert [entry.j.mean() for entry in score_sequence("v", surplus, truth)] == [1.0, 1.0]


def test_void_pixels_of_davis_do_not_count_and_are_no_object() -> None:
    truth = tracks_to_ids(moving_tracks()[:2])
    answered = truth.copy()
    truth[:, 30:, :] = 255
    answered[:, 36:, 20:50] = 1

    scores = score_sequence("v", answered, truth)

    assert [entry.number for entry in scores] == [1, 2]
    assert scores[0].j.mean() == 1.0 and scores[1].j.mean() == 1.0


def test_objects_are_those_of_the_first_frame() -> None:
    truth = tracks_to_ids(moving_tracks())  # the third object enters at frame 4

    assert len(score_sequence("v", truth, truth)) == 2


def test_more_than_twenty_answers_are_refused() -> None:
    truth = tracks_to_ids(moving_tracks()[:1])
    answered = truth.copy()
    answered[0, 0, 0] = 21

    with pytest.raises(DataError, match="21 answered ids, the protocol allows 20"):
        score_sequence("v", answered, truth)


def test_statistics_by_hand_and_beyond_256_frames() -> None:
    # Limits 1, 2.75, 4.5, 6.25, 8 round to frames 1, 3, 5, 6, 8: the first quarter is frames 1 to
    # 3 (mean 0.8), the last one 6 to 8 (mean 0.2).
    values = np.array([1.0, 0.8, 0.6, 0.4, 0.4, 0.4, 0.2, 0.0])

    statistics = frame_statistics(values)

    assert statistics.mean == pytest.approx(0.475)
    assert statistics.recall == pytest.approx(3 / 8)
    assert statistics.decay == pytest.approx(0.8 - 0.2)
    falling = np.linspace(1, 0, 400)
    assert frame_statistics(falling).decay == pytest.approx(0.75, abs=0.01)
    assert mean_statistics([Statistics(0, 0, 0), Statistics(1, 0.5, 0.2)]) == Statistics(
        0.5, 0.25, 0.1)


def test_palette_is_that_of_davis_annotations() -> None:
    colours = np.array(palette()).reshape(256, 3).tolist()

    assert colours[:5] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    assert colours[8] == [64, 0, 0] and colours[255] == [224, 224, 192]


@pytest.fixture
def davis(tmp_path: Path) -> RefYoutubeVosSource:
    archive, texts = build_davis_archives(tmp_path)
    convert_davis(archive, texts, tmp_path / "ref-davis", progress=False)
    return RefYoutubeVosSource(tmp_path / "ref-davis", "valid")


def test_davis_averages_four_annotators(davis: RefYoutubeVosSource, tmp_path: Path) -> None:
    tracks = moving_tracks(6)

    def answer(text: str, number: int, frame: np.ndarray) -> np.ndarray:
        # The first annotator's first-frame sentences name the wrong object each: matching repairs
        # that. The full-video sentences of the second annotator find nothing.
        track = tracks[int(text.split()[1]) - 1][number] > 0
        if "by 2_full_video" in text:
            return np.zeros_like(track)
        return tracks[2 - int(text.split()[1])][number] > 0 if "by 1 " in text else track

    predictor = PreparedPredictor(answer)
    report = evaluate_ref_davis(predictor, davis, davis.videos, tmp_path / "out", progress=False)

    assert [entry.jf for entry in report.annotators] == [1.0, 1.0, 1.0, 0.0]
    assert report.to_dict()["jf"] == pytest.approx(0.75)
    assert predictor.calls[1] == ("object 1 by 1_full_video caf\u00e9",
                                  "object 2 by 1_full_video caf\u00e9")
    folder = tmp_path / "out" / "eval_davis" / "valid" / "anno_1"
    picture = Image.open(folder / "goat" / "00003.png")
    assert picture.mode == "P" and picture.getpalette()[3:6] == [128, 0, 0]
    assert set(np.unique(np.array(picture))) == {0, 1, 2}
    assert read_csv(folder / "global_results-val.csv")[0]["J&F-Mean"] == "1.0000"
    lines = read_csv(folder / "per-sequence_results-val.csv")
    assert [line["Sequence"] for line in lines] == ["goat_1", "goat_2"]


def test_davis_resumes_where_it_stopped(davis: RefYoutubeVosSource, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate_ref_davis(PreparedPredictor(red_pixels, fail_after=2), davis, davis.videos,
                           tmp_path / "out", progress=False)
    rest = PreparedPredictor(red_pixels)

    report = evaluate_ref_davis(rest, davis, davis.videos, tmp_path / "out", progress=False)

    assert len(rest.calls) == 2 and len(report.annotators) == 4
    assert len({entry.jf for entry in report.annotators}) == 1


def test_davis_expressions_must_come_in_fours(davis: RefYoutubeVosSource, tmp_path: Path) -> None:
    path = davis.root / "meta_expressions" / "valid" / "meta_expressions.json"
    meta = json.loads(path.read_text())
    del meta["videos"]["goat"]["expressions"]["7"]
    path.write_text(json.dumps(meta))
    source = RefYoutubeVosSource(davis.root, "valid")

    with pytest.raises(DataError, match="goat has 7 expressions, expected 4 per object"):
        evaluate_ref_davis(PreparedPredictor(nothing), source, source.videos, tmp_path / "out",
                           progress=False)


def test_a_real_model_answers_davis_with_camera_sized_logits(
        davis: RefYoutubeVosSource, tmp_path: Path, micro_model, one_thread) -> None:
    from samwise_ros.evaluation.predictors import FrameSequence, make_predictor

    video = davis.videos[0]
    for mode in ("stream", "clip"):
        predictor = make_predictor(micro_model, mode)
        for answers in predictor.run(FrameSequence(davis, video), ["the red mug", "the duck"]):
            for answer in answers:
                assert answer.logits().shape == SIZE
                # The mask is what the logits say, up to rounding at the threshold.
                np.testing.assert_array_equal((answer.logits() > 1e-4) & ~answer.mask, False)
                np.testing.assert_array_equal((answer.logits() < -1e-4) & answer.mask, False)


@pytest.fixture
def refcoco(tmp_path: Path) -> RefCocoSource:
    folder, images = build_refcoco_archive(tmp_path)
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    return RefCocoSource(tmp_path / "coco", images, "refcoco", "val")


class PreparedImages:
    """Answers "red box ..." with half of the truth, anything else with all of it."""

    def __init__(self) -> None:
        self.count = 0

    def mask(self, rgb: np.ndarray, expression: str) -> np.ndarray:
        self.count += 1
        width = 15 if expression.startswith("red") else 30
        return rectangle(10, 11, 20, width) > 0


def test_refcoco_figures_by_hand_and_resumed(refcoco: RefCocoSource, tmp_path: Path) -> None:
    first, second = PreparedImages(), PreparedImages()
    reports = [evaluate_refcoco(predictor, refcoco, refcoco.videos,
                                ResultStore(tmp_path / "out", {}, record_type=ImageResult),
                                progress=False) for predictor in (first, second)]

    assert reports[0] == reports[1] and (first.count, second.count) == (2, 0)
    report = reports[0]
    assert report.overall_iou == pytest.approx(900 / 1200)
    assert report.mean_iou == pytest.approx(0.75)
    # 300 / (600 + 1e-6) is just below one half.
    assert report.precision == {0.5: 0.5, 0.6: 0.5, 0.7: 0.5, 0.8: 0.5, 0.9: 0.5}


def test_refcoco_overall_iou_weighs_large_objects_more() -> None:
    report = summarise([ImageResult("0", 90, 100), ImageResult("1", 100, 1000)])

    assert report.overall_iou == pytest.approx(190 / 1100)
    assert report.mean_iou == pytest.approx(0.5)
    assert report.precision[0.8] == 0.5 and report.precision[0.9] == 0.0
    assert summarise([]).count == 0


@pytest.mark.parametrize("kind", [OfficialImagePredictor, StreamImagePredictor])
@pytest.mark.parametrize("fit", ["pad", "rectangle"])
def test_a_real_model_segments_single_images(refcoco: RefCocoSource, tiny_tokenizer, kind, fit,
                                             one_thread) -> None:
    from model_builders import MICRO, make_model

    model = make_model(MICRO.replace(fit=fit), tiny_tokenizer)

    mask = kind(model).mask(refcoco.frame(refcoco.videos[0], 0), "the red mug")

    assert mask.shape == SIZE and mask.dtype == bool


def test_the_official_image_path_accepts_very_wide_images(tiny_tokenizer, one_thread) -> None:
    from model_builders import MICRO, make_model

    model = make_model(MICRO.replace(fit="pad"), tiny_tokenizer)

    # 21 x 92 becomes 15 x 65: one pixel wider than the input.
    assert training_size(21, 92, 64, 64) == (15, 65)
    for width in (92, 100):
        mask = OfficialImagePredictor(model).mask(np.zeros((21, width, 3), np.uint8), "the mug")
        assert mask.shape == (21, width)
