"""Data sets as people have them: marks, orientation, names that lead out, sentences without
target."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_builders import (
    build_davis_archives,
    build_mevis,
    build_ref_youtube_vos,
    build_refcoco_archive,
)
from PIL import Image

from samwise_ros.cli.dataset_video import choose_sentences
from samwise_ros.data.datasets import ClipDataset
from samwise_ros.data.davis_converter import convert_davis
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.packed import pack_mevis
from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
from samwise_ros.data.refcoco import RefCocoSource
from samwise_ros.data.refcoco_converter import convert_refcoco
from samwise_ros.data.transforms import video_transform
from samwise_ros.structures import ConfigError, DataError


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file()}


# --- MeViS 2: sentences that name nothing in the video -------------------------------------------

def without_target(root: Path, fields: dict[str, Any], video: str = "v0") -> Path:
    def change(meta: dict) -> None:
        meta["videos"][video]["expressions"]["9"] = {"exp": "the dog that runs away", **fields}

    edit(root / "meta_expressions.json", change)
    return root


NOTHING = [{"obj_id": [], "anno_id": []}, {"obj_id": None, "anno_id": None}, {}]


@pytest.mark.parametrize("fields", NOTHING)
def test_a_sentence_without_target_has_an_empty_truth(tmp_path: Path, fields: dict) -> None:
    source = MevisSource(without_target(build_mevis(tmp_path), fields))
    video = source.videos[0]
    assert video.expressions[-1].answered
    masks = source.masks(video, video.expressions[-1], [0, 3])
    assert masks.shape == (2, 40, 60) and not masks.any()
    assert "the dog that runs away" not in choose_sentences(video)


def test_an_empty_list_alone_is_an_answer_too(tmp_path: Path) -> None:
    def empty(meta: dict) -> None:
        for video in meta["videos"].values():
            for fields in video["expressions"].values():
                fields.update(obj_id=[], anno_id=[])

    edit(build_mevis(tmp_path) / "meta_expressions.json", empty)
    source = MevisSource(tmp_path)
    assert not source.masks(source.videos[0], source.videos[0].expressions[0], [0]).any()


def test_training_goes_past_sentences_without_target(tmp_path: Path) -> None:
    root = build_mevis(tmp_path, ("v0",))
    for key in NOTHING:
        without_target(root, key)
    data = ClipDataset(MevisSource(root), 2, "global", video_transform(64))
    assert {data[index].expression for index in range(len(data))} and len(data) == 6 * 5
    assert all(data[index].masks.any() for index in range(len(data)))


def test_packing_keeps_them_as_absent(tmp_path: Path) -> None:
    root = without_target(build_mevis(tmp_path / "mv", ("v0",)), NOTHING[0])
    packed = pack_mevis([root], tmp_path / "packed", (20, 30), progress=False)
    assert packed.expressions(0)[-1] == ("the dog that runs away", None, ())


def test_an_object_without_masks_is_no_sentence_without_target(tmp_path: Path) -> None:
    source = MevisSource(without_target(build_mevis(tmp_path), {"obj_id": [1]}))
    with pytest.raises(DataError, match="comes without answers"):
        source.masks(source.videos[0], source.videos[0].expressions[-1], [0])


# --- Values of another type ----------------------------------------------------------------------

@pytest.mark.parametrize("fields",
                         [{"obj_id": 1}, {"obj_id": 0}, {"obj_id": "1"}, {"obj_id": ["a"]},
                                    {"obj_id": [[1]]}, {"obj_id": [True]}, {"anno_id": 3},
                                    {"anno_id": [None]}, {"exp": None}, {"exp": ["a"]}])
def test_a_value_of_another_type_is_named(tmp_path: Path, fields: dict) -> None:
    root = without_target(build_mevis(tmp_path), {"obj_id": [], "anno_id": [], **fields})
    with pytest.raises(DataError, match=rf"{next(iter(fields))}.*expression 9 of v0"):
        MevisSource(root)


@pytest.mark.parametrize("change", [
    lambda meta: [meta], lambda meta: meta.update(videos=[]),
    lambda meta: meta["videos"].update(v0=[]), lambda meta: meta["videos"].update(v0=None),
    lambda meta: meta["videos"]["v0"].update(expressions=[]),
    lambda meta: meta["videos"]["v0"]["expressions"].update({"0": ["a"]}),
    lambda meta: meta["videos"]["v0"].update(frames={"0": 1}),
    lambda meta: meta["videos"]["v0"].update(frames=[0, 1]),
    lambda meta: meta["videos"]["v0"].update(scene=[1])])
def test_another_shape_of_the_file_is_a_data_error(tmp_path: Path, change: Any) -> None:
    edit(build_mevis(tmp_path) / "meta_expressions.json", change)
    with pytest.raises(DataError, match=r"meta_expressions\.json"):
        MevisSource(tmp_path)


@pytest.mark.parametrize("masks", [[], {"0": None}, {"0": 5}, {"0": {}}])
def test_masks_of_another_shape_are_a_data_error(tmp_path: Path, masks: Any) -> None:
    edit(build_mevis(tmp_path) / "mask_dict.json", lambda _: masks or [1])
    source = MevisSource(tmp_path)
    with pytest.raises(DataError, match=r"mask_dict\.json"):
        source.masks(source.videos[0], source.videos[0].expressions[0], [0])


@pytest.mark.parametrize("value", ["x", [1], 1.5, True, -1])
def test_an_object_that_is_no_number_is_named(tmp_path: Path, value: Any) -> None:
    def change(meta: dict) -> None:
        meta["videos"]["t0"]["expressions"]["0"]["obj_id"] = value

    build_ref_youtube_vos(tmp_path)
    edit(tmp_path / "meta_expressions" / "train" / "meta_expressions.json", change)
    with pytest.raises(DataError, match="obj_id.*expression 0 of t0"):
        RefYoutubeVosSource(tmp_path)


# --- Names that lead out of the folder -----------------------------------------------------------

OUTSIDE = ["../../x", "/etc/passwd", "a/../../x", "", ".."]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("place", ["video", "frame", "expression"])
@pytest.mark.parametrize("layout", ["mevis", "ytvos"])
def test_names_that_leave_the_folder_are_refused(
        tmp_path: Path, name: str, place: str, layout: str) -> None:
    def change(meta: dict) -> None:
        video = next(iter(meta["videos"].values()))
        if place == "video":
            meta["videos"] = {name: video}
        elif place == "frame":
            video["frames"][1] = name
        else:
            video["expressions"][name] = video["expressions"].pop("0")

    if layout == "mevis":
        path = build_mevis(tmp_path) / "meta_expressions.json"
    else:
        path = build_ref_youtube_vos(tmp_path) / "meta_expressions/train/meta_expressions.json"
    edit(path, change)
    with pytest.raises(DataError, match=r"meta_expressions\.json.*not a name"):
        MevisSource(tmp_path) if layout == "mevis" else RefYoutubeVosSource(tmp_path)


def test_a_davis_list_cannot_write_outside(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path / "in")
    (davis / "ImageSets" / "2017" / "val.txt").write_text("../../../goat\n")
    with pytest.raises(DataError, match=r"val\.txt.*not a name"):
        convert_davis(davis, texts, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_picture_of_refcoco_cannot_lie_outside(tmp_path: Path) -> None:
    folder, images = build_refcoco_archive(tmp_path)
    edit(folder / "instances.json",
         lambda content: content["images"][0].update(file_name="../../secret.jpg"))
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    with pytest.raises(DataError, match="secret.*not a name"):
        RefCocoSource(tmp_path / "coco", images)


# --- Order of frames
# -------------------------------------------------------------------------------

def test_frames_without_leading_zeros_come_in_order(tmp_path: Path) -> None:
    build_ref_youtube_vos(tmp_path)
    edit(tmp_path / "meta_expressions" / "train" / "meta_expressions.json",
         lambda meta: meta["videos"]["t0"].update(frames=["10", "0", "5"]))
    assert RefYoutubeVosSource(tmp_path).videos[0].frames == ("0", "5", "10")


# --- Byte-order marks ----------------------------------------------------------------------------

def mark(path: Path, encoding: str = "utf-8-sig") -> None:
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_with_a_mark_is_read(tmp_path: Path, encoding: str) -> None:
    root = build_mevis(tmp_path)
    for name in ("meta_expressions.json", "mask_dict.json"):
        mark(root / name, encoding)
    source = MevisSource(root)
    assert source.masks(source.videos[0], source.videos[0].expressions[0], [0]).any()


def test_the_first_video_of_a_marked_list_is_found(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path / "in")
    for path in (*texts.glob("Davis17_annot1*.txt"), *(davis / "ImageSets" / "2017").glob("*.txt")):
        mark(path)
    for path in texts.glob("Davis17_annot2*.txt"):
        path.write_bytes(path.read_text(encoding="latin-1").encode("utf-8-sig"))
    convert_davis(davis, texts, tmp_path / "out", progress=False)
    (video,) = RefYoutubeVosSource(tmp_path / "out", "valid").videos
    assert video.name == "goat" and "caf\u00e9" in video.expressions[3].text


# --- Orientation: frames and masks as stored -----------------------------------------------------

@pytest.mark.parametrize("orientation", [3, 6])
def test_frames_are_read_as_stored_like_their_masks(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    folder, images = build_refcoco_archive(tmp_path / "coco")
    convert_refcoco(folder, tmp_path / "coco" / "out", "refcoco")
    mevis, ytvos = build_mevis(tmp_path / "mv"), build_ref_youtube_vos(tmp_path / "yt")
    for path in [*images.iterdir(), *mevis.rglob("*.jpg"), *ytvos.rglob("*.jpg")]:
        with Image.open(path) as image:
            pixels = image.copy()
        pixels.save(path, quality=95, exif=exif)
    for source in (RefCocoSource(tmp_path / "coco" / "out", images), MevisSource(mevis),
                   RefYoutubeVosSource(ytvos)):
        video = source.videos[0]
        frame, mask = source.frame(video, 0), source.masks(video, video.expressions[0], [0])[0]
        assert frame.shape[:2] == mask.shape
        assert frame[mask][:, 0].mean() > 180, "the red thing lies under its mask"


# --- RefCOCO: slivers, null, empty boxes ---------------------------------------------------------

@pytest.mark.parametrize("broken", [
    {"bbox": None}, {"bbox": []}, {"bbox": [1, 2, 0, 5]}, {"bbox": [1, 2, None, 5]},
    {"segmentation": None}, {"segmentation": []}, {"segmentation": [[3, 2, 9, 9]]},
    {"segmentation": [[]]}])
def test_an_object_without_an_area_is_left_out(tmp_path: Path, broken: dict) -> None:
    folder, images = build_refcoco_archive(tmp_path)
    edit(folder / "instances.json", lambda content: content["annotations"][0].update(broken))
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    assert len(RefCocoSource(tmp_path / "coco", images, split="train").videos) == 0
    assert len(RefCocoSource(tmp_path / "coco", images, split="val").videos) == 2


@pytest.mark.parametrize("outline", [
    [[3, 2, 9, 9], [10, 10, 40, 10, 40, 30, 10, 30]],  # two corners: no box of theirs
    [[], [10, 10, 40, 10, 40, 30, 10, 30]]])
def test_a_sliver_beside_an_outline_adds_nothing(tmp_path: Path, outline: list) -> None:
    folder, images = build_refcoco_archive(tmp_path)
    convert_refcoco(folder, tmp_path / "whole", "refcoco")
    edit(folder / "instances.json",
         lambda content: content["annotations"][0].update(segmentation=outline))
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    masks = [source.masks(source.videos[0], source.videos[0].expressions[0], [0]) for source in
             (RefCocoSource(tmp_path / name, images) for name in ("whole", "coco"))]
    np.testing.assert_array_equal(*masks)


def test_a_sliver_of_three_corners_is_an_empty_mask(tmp_path: Path) -> None:
    folder, images = build_refcoco_archive(tmp_path)
    edit(folder / "instances.json", lambda content: content["annotations"][0].update(
        segmentation=[[3, 2, 3.1, 2, 3, 2.1]]))
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    source = RefCocoSource(tmp_path / "coco", images)
    assert not source.masks(source.videos[0], source.videos[0].expressions[0], [0]).any()


@pytest.mark.parametrize("missing", ["area", "iscrowd", "category_id", "bbox", "segmentation"])
def test_a_missing_field_of_an_annotation_is_no_traceback(tmp_path: Path, missing: str) -> None:
    folder, images = build_refcoco_archive(tmp_path)
    edit(folder / "instances.json", lambda content: content["annotations"][0].pop(missing) and None)
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    expected = 0 if missing in ("bbox", "segmentation") else 2
    assert len(RefCocoSource(tmp_path / "coco", images).videos) == expected


# --- Conversions that are repeated ---------------------------------------------------------------

@pytest.mark.parametrize("placement", ["copy", "symlink"])
def test_a_repeated_conversion_mends_what_was_left_half_done(tmp_path: Path,
                                                             placement: Any) -> None:
    davis, texts = build_davis_archives(tmp_path / "in")
    convert_davis(davis, texts, tmp_path / "whole", progress=False)
    out = tmp_path / "out"
    convert_davis(davis, texts, out, placement=placement, progress=False)
    first, second, third = sorted(out.rglob("*.jpg"))[:3]
    first.unlink()
    first.symlink_to(tmp_path / "moved away" / "00000.jpg")
    half = second.read_bytes()[:100]
    second.unlink()
    second.write_bytes(half)
    third.unlink()
    (out / "valid" / "meta.json").unlink()
    convert_davis(davis, texts, out, placement=placement, progress=False)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("place", ["valid/Annotations/goat/00000.png", "train/meta.json",
                                   "meta_expressions/valid/meta_expressions.json"])
def test_a_conversion_replaces_nothing_of_other_origin(tmp_path: Path, place: str) -> None:
    davis, texts = build_davis_archives(tmp_path / "in")
    (tmp_path / "out" / place).parent.mkdir(parents=True)
    (tmp_path / "out" / place).write_text("my own work")
    with pytest.raises(DataError, match="not overwritten"):
        convert_davis(davis, texts, tmp_path / "out", progress=False)
    assert (tmp_path / "out" / place).read_text() == "my own work"


def test_hidden_companions_in_an_archive_are_no_frames(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path / "in")
    (davis / "JPEGImages" / "480p" / "goat" / "._00000.jpg").write_bytes(b"\0\5\x16\7")
    convert_davis(davis, texts, tmp_path / "out", progress=False)
    assert len(RefYoutubeVosSource(tmp_path / "out", "valid").videos[0].frames) == 6


def test_an_archive_is_not_converted_into_itself(tmp_path: Path) -> None:
    davis, texts = build_davis_archives(tmp_path / "in")
    shutil.move(davis, tmp_path / "out" / "train")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="what is read"):
        convert_davis(tmp_path / "out" / "train", texts, tmp_path / "out", progress=False)
    assert contents(tmp_path) == before


def test_refcoco_is_converted_twice_and_replaces_nothing_else(tmp_path: Path) -> None:
    folder, _ = build_refcoco_archive(tmp_path)
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    before = contents(tmp_path / "coco")
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    assert contents(tmp_path / "coco") == before
    (tmp_path / "coco" / "refcoco" / "instances_refcoco_val.json").write_text("{}")
    with pytest.raises(DataError, match="not overwritten"):
        convert_refcoco(folder, tmp_path / "coco", "refcoco")


def test_packing_replaces_nothing_and_an_interrupted_one_is_done_again(tmp_path: Path) -> None:
    root = build_mevis(tmp_path / "mv", ("v0",))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"index\.json exists"):
        pack_mevis([root], tmp_path / "mine", (20, 30), progress=False)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["index.json"]
    os.rename(root / "mask_dict.json", root / "away.json")
    with pytest.raises(DataError):
        pack_mevis([root], tmp_path / "packed", (20, 30), progress=False)
    os.rename(root / "away.json", root / "mask_dict.json")
    packed = pack_mevis([root], tmp_path / "packed", (20, 30), progress=False)
    assert packed.num_clips == 1
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == [
        "frames.npy", "index.json", "labels.npy"]
    with pytest.raises(ConfigError, match="what is read"):
        pack_mevis([root], root, (20, 30), progress=False)
