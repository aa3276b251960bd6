"""Training items and batches, read directly and by loader processes."""

import json
from pathlib import Path

import pytest
import torch
from data_builders import build_mevis, build_ref_youtube_vos, build_refcoco_archive
from torch.utils.data import DataLoader

from samwise_ros.data.datasets import ClipDataset, ClipSample, collate_clips
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
from samwise_ros.data.refcoco import RefCocoSource
from samwise_ros.data.refcoco_converter import convert_refcoco
from samwise_ros.data.transforms import image_transform, video_transform
from samwise_ros.structures import DataError


@pytest.fixture
def mevis(tmp_path: Path) -> ClipDataset:
    source = MevisSource(build_mevis(tmp_path / "train"))
    return ClipDataset(source, 4, "global", video_transform(64))


def test_an_item_holds_aligned_frames_masks_and_sentence(mevis: ClipDataset) -> None:
    # Two videos, five expressions, anchors 0, 4, 8.
    assert len(mevis) == 2 * 5 * 3

    sample = mevis[3]

    assert sample.frames.shape == (4, 3, 43, 64) and sample.masks.shape == (4, 43, 64)
    assert sample.expression == "the two mugs", "training captions are normalised"
    assert (sample.video, sample.expression_id) == ("v0", "1")
    assert len(sample.frame_indices) == 4
    # The standing mug is blue (channel 2) inside the mask.
    blue = sample.frames[0, 2][sample.masks[0]].max()
    assert blue > 1.0


def test_items_depend_on_seed_epoch_and_index_only(mevis: ClipDataset) -> None:
    first = [mevis[index].frame_indices for index in range(10)]
    assert [mevis[index].frame_indices for index in range(10)] == first

    mevis.set_epoch(1)

    assert [mevis[index].frame_indices for index in range(10)] != first


def test_a_clip_without_target_is_replaced_by_another_item(tmp_path: Path) -> None:
    root = build_mevis(tmp_path / "train", ("v0",))
    meta = json.loads((root / "meta_expressions.json").read_text())
    expressions = meta["videos"]["v0"]["expressions"]
    meta["videos"]["v0"]["expressions"] = {"2": expressions["2"], "3": expressions["3"]}
    (root / "meta_expressions.json").write_text(json.dumps(meta))
    dataset = ClipDataset(MevisSource(root), 1, "global", video_transform(64))

    # The duck enters at frame 4: anchors 0..3 of its expression show nothing.
    replaced = [dataset[index] for index in range(4)]

    assert all(sample.masks.any() for sample in replaced)
    assert any(sample.frame_indices != (index,) or sample.expression_id != "2"
               for index, sample in enumerate(replaced))


def test_a_source_that_never_shows_a_target_stops(tmp_path: Path) -> None:
    root = build_mevis(tmp_path / "train", ("v0",))
    codes = json.loads((root / "mask_dict.json").read_text())
    (root / "mask_dict.json").write_text(json.dumps({key: [None] * 10 for key in codes}))
    dataset = ClipDataset(MevisSource(root), 4, "global", video_transform(64))

    with pytest.raises(DataError, match="100 clips in a row show no target"):
        dataset[0]


def test_loader_processes_give_the_same_batches_as_the_main_one(mevis: ClipDataset) -> None:
    batches = []
    for workers in (0, 2):
        loader = DataLoader(mevis, batch_size=3, collate_fn=collate_clips, num_workers=workers,
                            timeout=60 if workers else 0)
        batches.append(list(loader))

    assert len(batches[0]) == len(batches[1]) == 10
    for alone, shared in zip(*batches, strict=True):
        assert alone.expressions == shared.expressions
        assert torch.equal(alone.pixels, shared.pixels)
        assert torch.equal(alone.masks, shared.masks)


def test_persistent_loader_processes_see_a_new_epoch(mevis: ClipDataset) -> None:
    loader = DataLoader(mevis, batch_size=30, collate_fn=collate_clips, num_workers=1,
                        persistent_workers=True, timeout=60)
    indices = []
    for epoch in (0, 1):
        mevis.set_epoch(epoch)
        indices.append([sample.frame_indices for batch in loader for sample in batch.samples])

    assert indices[0] != indices[1]


def test_batches_pad_frames_to_the_largest_and_masks_to_multiples_of_32() -> None:
    def sample(height: int, width: int) -> ClipSample:
        return ClipSample(torch.ones(2, 3, height, width),
                          torch.ones(2, height, width, dtype=torch.bool), "it", "v", "0", (0, 1))

    batch = collate_clips([sample(40, 50), sample(30, 70)])

    assert batch.pixels.shape == (2, 2, 3, 40, 70)
    assert batch.masks.shape == (2, 2, 64, 96)
    assert batch.pixels[0].sum() == 2 * 3 * 40 * 50
    assert batch.masks[1].sum() == 2 * 30 * 70
    assert not batch.masks[1, :, 30:].any()


def test_clips_of_different_length_do_not_make_a_batch() -> None:
    samples = [ClipSample(torch.ones(t, 3, 8, 8), torch.ones(t, 8, 8, dtype=torch.bool), "it", "v",
                          "0", tuple(range(t))) for t in (1, 2)]

    with pytest.raises(DataError, match=r"one length, got \[1, 2\]"):
        collate_clips(samples)


def test_youtube_and_refcoco_train_through_the_same_dataset(tmp_path: Path) -> None:
    youtube = ClipDataset(RefYoutubeVosSource(build_ref_youtube_vos(tmp_path / "yt")), 8, "local",
                          video_transform(64))
    folder, images = build_refcoco_archive(tmp_path)
    convert_refcoco(folder, tmp_path / "coco", "refcoco")
    refcoco = ClipDataset(RefCocoSource(tmp_path / "coco", images), 1, "local",
                          image_transform(64), lower_captions=False)

    assert youtube[0].frames.shape == (8, 3, 43, 64)
    assert youtube[0].expression == "the red mug"
    assert refcoco[1].frames.shape == (1, 3, 43, 64)
    assert refcoco[1].expression == "Left  Thing", "RefCOCO captions stay as stored"


def test_a_frame_of_another_size_than_its_mask_is_named(tmp_path: Path) -> None:
    import cv2

    root = build_mevis(tmp_path / "train", ("v0",))
    path = root / "JPEGImages" / "v0" / "00004.jpg"
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (30, 20)))
    dataset = ClipDataset(MevisSource(root), 8, "global", video_transform(64))

    with pytest.raises(DataError, match="00004.jpg: mask of 40x60 pixels for a frame of 20x30"):
        for index in range(len(dataset)):
            dataset[index]
