"""RefCOCO/+/g: conversion of the published files, and reading of the result."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from data_builders import build_refcoco_archive, encode, rectangle

from samwise_ros.data.refcoco import RefCocoSource
from samwise_ros.data.refcoco_converter import convert_refcoco
from samwise_ros.structures import DataError


@pytest.mark.parametrize(("name", "splits"), [
    ("refcoco", {"train": 2, "val": 2, "testA": 2, "testB": 2}),
    ("refcocog", {"train": 2, "val": 2, "test": 2}),
])
def test_every_sentence_becomes_an_item_of_its_split(tmp_path: Path, name, splits) -> None:
    folder, images = build_refcoco_archive(tmp_path, name)

    assert convert_refcoco(folder, tmp_path / "coco", name) == splits

    source = RefCocoSource(tmp_path / "coco", images, name, "val")
    assert [video.expressions[0].text for video in source.videos] == ["red box 1", "Left  Thing"]
    masks = source.masks(source.videos[1], source.videos[1].expressions[0], [0])
    np.testing.assert_array_equal(masks[0], rectangle(10, 11, 20, 30) > 0)
    assert source.frame(source.videos[1], 0).shape == (40, 60, 3)


def test_converted_files_keep_the_original_ids(tmp_path: Path) -> None:
    folder, _ = build_refcoco_archive(tmp_path)
    convert_refcoco(folder, tmp_path / "coco", "refcoco")

    content = json.loads((tmp_path / "coco/refcoco/instances_refcoco_testA.json").read_text())

    assert [entry["id"] for entry in content["images"]] == [0, 1]
    assert {entry["original_id"] for entry in content["images"]} == {102}
    assert {entry["original_id"] for entry in content["annotations"]} == {502}
    assert content["categories"] == [{"id": 3, "name": "car"}]


def converted(tmp_path: Path) -> tuple[Path, Path, Path]:
    folder, images = build_refcoco_archive(tmp_path)
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    return tmp_path / "coco", images, tmp_path / "coco/refcoco/instances_refcoco_train.json"


def test_crowds_and_boxes_without_area_are_left_out(tmp_path: Path) -> None:
    root, images, path = converted(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    assert len(RefCocoSource(root, images).videos) == 1

    content["annotations"][1]["bbox"][2] = 0
    path.write_text(json.dumps(content))
    assert len(RefCocoSource(root, images).videos) == 0


def test_run_length_segmentations_are_read(tmp_path: Path) -> None:
    root, images, path = converted(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = encode(rectangle(1, 2, 3, 4))
    path.write_text(json.dumps(content))
    source = RefCocoSource(root, images)

    masks = source.masks(source.videos[0], source.videos[0].expressions[0], [0])

    np.testing.assert_array_equal(masks[0], rectangle(1, 2, 3, 4) > 0)


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    root, images, path = converted(tmp_path)
    content = json.loads(path.read_text())
    content["images"][0]["height"] = 80
    path.write_text(json.dumps(content))
    source = RefCocoSource(root, images)

    with pytest.raises(DataError, match="sentence 0: mask of 80x60 pixels for a frame of 40x60"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0])


def test_an_unconverted_set_says_how_to_convert(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="instances_refcoco_train.json: no such file. Convert the"):
        RefCocoSource(tmp_path, tmp_path)


def test_an_unknown_split_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'testA' of 'refcocog'.*refcocog: train, val"):
        RefCocoSource(tmp_path, tmp_path, "refcocog", "testA")


class Dangerous:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_that_carries_code_is_refused(tmp_path: Path, capsys) -> None:
    folder, _ = build_refcoco_archive(tmp_path)
    (folder / "refs(unc).p").write_bytes(pickle.dumps([Dangerous()]))

    with pytest.raises(DataError, match=r"refs\(unc\).p: not a plain pickle.*load builtins.print"):
        convert_refcoco(folder, tmp_path / "coco", "refcoco")
    assert "executed" not in capsys.readouterr().out


def test_refs_without_instances_are_refused(tmp_path: Path) -> None:
    folder, _ = build_refcoco_archive(tmp_path)
    (folder / "instances.json").write_text('{"images": [], "annotations": []}')

    with pytest.raises(DataError, match="image 100 or annotation 500 is not in instances.json"):
        convert_refcoco(folder, tmp_path / "coco", "refcoco")
