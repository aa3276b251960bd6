"""The MeViS reader, on a small set in MeViS' layout, and the errors it gives for broken ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_builders import NUM_FRAMES, SIZE, build_mevis, encode, moving_tracks

from samwise_ros.data.files import decode_rle
from samwise_ros.data.mevis import MevisSource
from samwise_ros.structures import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build_mevis(tmp_path / "train")


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_masks_are_the_union_of_all_annotations(root: Path) -> None:
    source = MevisSource(root)
    video = source.video("v1")

    masks = source.masks(video, video.expressions[1], [0, 7])

    mug, other, _ = moving_tracks()
    assert masks.dtype == bool
    np.testing.assert_array_equal(masks, ((mug | other) > 0)[[0, 7]])


def test_a_null_mask_is_empty_and_frames_read_as_rgb(root: Path) -> None:
    source = MevisSource(root)
    video = source.video("v0")

    masks = source.masks(video, video.expressions[2], range(NUM_FRAMES))

    assert [bool(mask.any()) for mask in masks] == [False] * 4 + [True] * 6
    frame = source.frame(video, 0)
    assert frame.shape == (*SIZE, 3) and frame.dtype == np.uint8
    assert frame[10, 9, 0] > 180 and frame[10, 9, 2] < 80, "the moving mug is red"


def test_the_simulators_facts_are_read(tmp_path: Path) -> None:
    source = MevisSource(build_mevis(tmp_path / "sim", simulated=True))
    video = source.videos[0]

    assert [expression.kind for expression in video.expressions] == [
        "motion", "class", "colour_class", "colour", "relation", "absent"]
    assert video.scene["objects"]["1"]["colour"] == "blue"
    assert not source.masks(video, video.expressions[5], [0, 1]).any()


def test_a_missing_meta_file_names_itself_and_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="meta_expressions.json: no such file.*one split of MeViS"):
        MevisSource(tmp_path)


def test_broken_json_is_named(root: Path) -> None:
    path = root / "meta_expressions.json"
    path.write_text(path.read_text()[:50])

    with pytest.raises(DataError, match="meta_expressions.json: not valid JSON.*fetch it again"):
        MevisSource(root)


def test_another_json_file_is_named(root: Path) -> None:
    (root / "meta_expressions.json").write_text('{"images": []}')

    with pytest.raises(DataError, match="has no 'videos' .found: images"):
        MevisSource(root)


def test_a_split_without_answers_opens_and_says_so_when_asked(root: Path) -> None:
    def strip(meta):
        for video in meta["videos"].values():
            for expression in video["expressions"].values():
                del expression["anno_id"], expression["obj_id"]

    edit(root / "meta_expressions.json", strip)
    source = MevisSource(root)

    with pytest.raises(DataError, match="has no anno_id.*Use train or valid_u"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0])


def test_a_missing_mask_file_says_where_masks_come_from(root: Path) -> None:
    (root / "mask_dict.json").unlink()
    source = MevisSource(root)

    with pytest.raises(DataError, match="mask_dict.json: no such file.*train and valid_u"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0])


def test_masks_of_another_split_are_refused(root: Path) -> None:
    edit(root / "mask_dict.json", lambda codes: codes.pop("0"))
    source = MevisSource(root)

    with pytest.raises(DataError, match="no masks for anno 0 of v0.*same split"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0])


def test_a_track_of_another_length_is_refused(root: Path) -> None:
    edit(root / "mask_dict.json", lambda codes: codes["0"].pop())
    source = MevisSource(root)

    with pytest.raises(DataError, match="anno 0 has 9 masks, video v0 10 frames"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0])


def test_a_mask_of_another_size_names_both_sizes(root: Path) -> None:
    def swap(codes):
        codes["0"][3] = encode(np.ones((60, 40), np.uint8))

    edit(root / "mask_dict.json", swap)
    source = MevisSource(root)
    video = source.videos[0]

    assert source.masks(video, video.expressions[0], [2]).any()
    with pytest.raises(DataError, match="frame 3 of v0: mask of 60x40 pixels for a frame of 40x60"):
        source.masks(video, video.expressions[0], [3])


def test_a_missing_image_is_named(root: Path) -> None:
    (root / "JPEGImages" / "v0" / "00004.jpg").unlink()
    source = MevisSource(root)

    with pytest.raises(DataError, match=r"v0/00004.jpg: no such file. Unpack the images"):
        source.frame(source.videos[0], 4)


def test_a_damaged_image_is_named(root: Path) -> None:
    (root / "JPEGImages" / "v0" / "00004.jpg").write_bytes(b"not a picture")
    source = MevisSource(root)

    with pytest.raises(DataError, match="v0/00004.jpg: not a readable image"):
        source.frame(source.videos[0], 4)


@pytest.mark.parametrize("code", [
    {"size": [40, 60], "counts": encode(moving_tracks()[0][0])["counts"][:4]},
    {"size": [40, 61], "counts": encode(moving_tracks()[0][0])["counts"]},
    {"size": [40, 60], "counts": ""},
    {"size": [40, 60], "counts": [10, 20]},
    {"size": [40, 60], "counts": 7},
    {"size": [40], "counts": "a"},
    {"counts": "a"},
    "text",
])
def test_wrong_run_length_codes_are_refused(code) -> None:
    with pytest.raises(DataError, match="^masks: "):
        decode_rle(code, "masks")


@pytest.mark.parametrize("seed", range(20))
def test_right_run_length_codes_are_read_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random((37, 53)) < rng.random()).astype(np.uint8)
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, len(flat)]).tolist()
    counts = [0, *runs] if flat[0] else runs  # the first run counts zeros

    np.testing.assert_array_equal(decode_rle(encode(mask), "here"), mask)
    np.testing.assert_array_equal(decode_rle({"size": [37, 53], "counts": counts}, "here"), mask)


def test_large_blank_and_full_masks_are_read() -> None:
    for value in (0, 1):
        mask = np.full((1080, 1920), value, np.uint8)
        np.testing.assert_array_equal(decode_rle(encode(mask), "here"), mask)
