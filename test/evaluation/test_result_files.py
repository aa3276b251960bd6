"""Evaluation beside files that people care about, and on data as people have them."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_builders import build_mevis, build_refcoco_archive
from evaluation_builders import PreparedPredictor, nothing, red_pixels

from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.refcoco import RefCocoSource
from samwise_ros.data.refcoco_converter import convert_refcoco
from samwise_ros.evaluation.mevis_ytvos import evaluate_recorded
from samwise_ros.evaluation.refcoco_protocol import ImageResult, evaluate_refcoco
from samwise_ros.evaluation.selection import Selection
from samwise_ros.evaluation.store import ResultStore, mask_path, write_mask
from samwise_ros.structures import ConfigError, DataError


@pytest.mark.parametrize(("answer", "score"), [(nothing, 1.0), (red_pixels, 0.0)])
def test_a_sentence_without_target_is_scored(tmp_path: Path, answer: object, score: float) -> None:
    path = build_mevis(tmp_path / "mv", ("v0",)) / "meta_expressions.json"
    meta = json.loads(path.read_text())
    meta["videos"]["v0"]["expressions"]["9"] = {"exp": "the dog", "obj_id": [], "anno_id": []}
    path.write_text(json.dumps(meta))
    report = evaluate_recorded(PreparedPredictor(answer), MevisSource(tmp_path / "mv"),
                               ResultStore(None, {}), selection=Selection(), keep_top=False,
                               masks=False, progress=False)
    found = {result.expression_id: result for result in report.results}["9"]
    assert found.scores == (score, score) and found.visible is False
    assert found.first_correct is None and found.reacquired == ()


def test_a_sliver_does_not_stop_an_evaluation(tmp_path: Path) -> None:
    folder, images = build_refcoco_archive(tmp_path)
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"][1]["segmentation"] = [[3, 2, 3.1, 2, 3, 2.1]]
    (folder / "instances.json").write_text(json.dumps(content))
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    source = RefCocoSource(tmp_path / "coco", images, split="val")

    class Everything:
        def mask(self, rgb: np.ndarray, expression: str) -> np.ndarray:
            return np.ones(rgb.shape[:2], bool)

    report = evaluate_refcoco(Everything(), source, source.videos,
                              ResultStore(None, {}, record_type=ImageResult), progress=False)
    assert report.count == 2 and report.mean_iou == 0


@pytest.mark.parametrize("name",
                         ["results.jsonl", "summary.json", "per_video.csv", "submission.zip",
                                  "Annotations/clip/00000.png"])
def test_results_are_not_written_over_files_of_other_origin(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"frame": 0}\n{"frame": 1')
    with pytest.raises(ConfigError, match=f"{name.partition('/')[0]} exists"):
        ResultStore(tmp_path / "out", {"model": "a"})
    assert mine.read_text() == '{"frame": 0}\n{"frame": 1'
    assert not (tmp_path / "out" / "run.json").exists()


def test_results_are_not_written_among_the_data(tmp_path: Path) -> None:
    data = build_mevis(tmp_path / "mv")
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(ConfigError, match="what is read"):
        ResultStore(tmp_path / "link", {}, inputs=[data])
    assert len(list(data.iterdir())) == 3


@pytest.mark.parametrize("content", ["", "[1]", "no json"])
def test_a_run_file_of_other_origin_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json: damaged"):
        ResultStore(tmp_path, {})


def test_a_record_without_an_end_is_run_again(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, {}, record_type=ImageResult)
    store.add([ImageResult("a", 1, 2), ImageResult("b", 1, 2)])
    lines = (tmp_path / "results.jsonl").read_text()
    (tmp_path / "results.jsonl").write_text(lines.rstrip("\n"))
    store = ResultStore(tmp_path, {}, record_type=ImageResult)
    assert [result.name for result in store.results] == ["a"]
    store.add([ImageResult("b", 1, 2)])
    assert len(ResultStore(tmp_path, {}, record_type=ImageResult).results) == 2


def test_masks_are_written_to_any_path(tmp_path: Path) -> None:
    path = mask_path(tmp_path / "\udcff %05d", "v\udcfe", "0", "a")
    write_mask(path, np.ones((3, 4), bool))
    assert path.stat().st_size > 0
