"""Ref-YouTube-VOS' reader, and the conversion of DAVIS 2017 to its layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_builders import (
    build_davis_archives,
    build_ref_youtube_vos,
    moving_tracks,
    write_indexed,
)

from samwise_ros.data.davis_converter import convert_davis
from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
from samwise_ros.structures import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build_ref_youtube_vos(tmp_path / "ref-youtube-vos")


def test_masks_are_the_pixels_of_the_expressions_object(root: Path) -> None:
    source = RefYoutubeVosSource(root, "train")
    video = source.videos[0]

    masks = source.masks(video, video.expressions[1], [0, 5, 9])

    np.testing.assert_array_equal(masks, moving_tracks()[1][[0, 5, 9]] > 0)
    assert source.frame_path(video, 2).name == "00010.jpg"


def test_validation_leaves_out_the_test_videos(root: Path) -> None:
    assert [video.name for video in RefYoutubeVosSource(root, "valid").videos] == ["a0"]
    assert [video.name for video in RefYoutubeVosSource(root, "test").videos] == ["b0"]


def test_a_split_without_answers_says_so(root: Path) -> None:
    source = RefYoutubeVosSource(root, "valid")

    with pytest.raises(DataError, match="of a0 has no obj_id.*Use train"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0])


def test_an_annotation_of_another_size_is_named(root: Path) -> None:
    path = root / "train" / "Annotations" / "t0" / "00005.png"
    write_indexed(path, np.zeros((20, 30), np.uint8))
    source = RefYoutubeVosSource(root, "train")

    with pytest.raises(DataError, match="t0/00005.png: mask of 20x30 pixels for a frame of 40x60"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0, 1])


def test_a_colour_picture_is_no_annotation(root: Path) -> None:
    image = root / "train" / "JPEGImages" / "t0" / "00005.jpg"
    target = root / "train" / "Annotations" / "t0" / "00005.png"
    target.write_bytes(image.read_bytes())
    source = RefYoutubeVosSource(root, "train")

    with pytest.raises(DataError, match="t0/00005.png: expected a palette or grey 8-bit PNG"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [1])


def test_a_missing_split_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="meta_expressions.json: no such file.*holds meta_expr"):
        RefYoutubeVosSource(tmp_path, "train")


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("placement", ["copy", "symlink"])
def test_conversion_leaves_the_archive_whole_and_reads_back(tmp_path: Path, placement) -> None:
    davis, texts = build_davis_archives(tmp_path)
    before = files_below(davis)

    for _ in range(2):  # a second run keeps what is there
        convert_davis(davis, texts, tmp_path / "ref-davis", placement=placement, progress=False)

    assert files_below(davis) == before
    source = RefYoutubeVosSource(tmp_path / "ref-davis", "valid")
    video = source.videos[0]
    assert (video.name, len(video.frames)) == ("goat", 6)
    np.testing.assert_array_equal(source.masks(video, video.expressions[4], [3])[0],
                                  moving_tracks()[1][3] > 0)


def test_expressions_come_object_by_object_in_the_order_of_the_annotators(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path)
    convert_davis(davis, texts, tmp_path / "out", progress=False)

    path = tmp_path / "out" / "meta_expressions" / "train" / "meta_expressions.json"
    expressions = json.loads(path.read_text())["videos"]["motorbike"]["expressions"]

    assert [expressions[str(key)]["exp"] for key in range(8)] == [
        "object 1 by 1 caf\u00e9", "object 1 by 1_full_video caf\u00e9",
        "object 1 by 2 caf\u00e9", "object 1 by 2_full_video caf\u00e9",
        "object 2 by 1 caf\u00e9", "object 2 by 1_full_video caf\u00e9",
        "object 2 by 2 caf\u00e9", "object 2 by 2_full_video caf\u00e9"]
    assert [expressions[str(key)]["obj_id"] for key in range(8)] == ["1"] * 4 + ["2"] * 4


def test_categories_come_from_the_semantics_file(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path)
    semantics = tmp_path / "davis_semantics.json"
    semantics.write_text(json.dumps({"goat": {"1": "goat", "2": "person"}}))

    convert_davis(davis, texts, tmp_path / "out", semantics=semantics, progress=False)

    meta = json.loads((tmp_path / "out" / "valid" / "meta.json").read_text())
    assert meta["videos"]["goat"]["objects"] == {"1": {"category": "goat"},
                                                 "2": {"category": "person"}}


def test_a_missing_archive_part_says_what_to_unpack(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path)
    (davis / "ImageSets" / "2017" / "val.txt").unlink()

    with pytest.raises(DataError, match="val.txt: no such file. Unpack DAVIS-2017-Unsupervised"):
        convert_davis(davis, texts, tmp_path / "out", progress=False)


def test_a_damaged_line_is_named_by_number(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path)
    path = texts / "Davis17_annot2.txt"
    path.write_text(path.read_text(encoding="latin-1") + "goat\n", encoding="latin-1")

    with pytest.raises(DataError, match="Davis17_annot2.txt, line 5: expected 'video object"):
        convert_davis(davis, texts, tmp_path / "out", progress=False)


def test_files_that_disagree_about_objects_are_refused(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path)
    path = texts / "Davis17_annot2.txt"
    lines = path.read_text(encoding="latin-1").splitlines()
    path.write_text("\n".join(lines[1:]), encoding="latin-1")

    with pytest.raises(DataError, match="objects of motorbike differ between the four files"):
        convert_davis(davis, texts, tmp_path / "out", progress=False)
