"""Packed clips hold what the source holds, at another size."""

import json
import pickle
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_builders import NUM_FRAMES, build_mevis, moving_tracks

from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.packed import PackedClips, pack_mevis
from samwise_ros.structures import DataError


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    return build_mevis(tmp_path / "sim", simulated=True)


def test_packed_frames_and_labels_equal_the_source_resized(simulated: Path, tmp_path: Path) -> None:
    packed = pack_mevis([simulated], tmp_path / "packed", (20, 30), progress=False)

    assert packed.num_clips == 2
    assert packed.frames(1).shape == (NUM_FRAMES, 20, 30, 3)
    source = MevisSource(simulated)
    expected = cv2.resize(source.frame(source.videos[1], 5), (30, 20),
                          interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(packed.frames(1)[5], expected)
    tracks = moving_tracks()
    for number in (1, 2, 3):
        area = (packed.labels(1)[6] == number).sum()
        # A quarter of the pixels; a rectangle's odd sides may round by one row and one column.
        assert area == pytest.approx(tracks[number - 1][6].sum() / 4, abs=14)
    assert not (packed.labels(1)[2] == 3).any(), "the third object enters at frame 4"


def test_packed_at_the_source_size_labels_are_the_masks_themselves(
        simulated: Path, tmp_path: Path) -> None:
    packed = pack_mevis([simulated], tmp_path / "packed", (40, 60), progress=False)

    for number, track in enumerate(moving_tracks(), start=1):
        np.testing.assert_array_equal(packed.labels(0) == number, track > 0)


def test_expressions_carry_object_numbers_of_their_own_clip(
        simulated: Path, tmp_path: Path) -> None:
    packed = pack_mevis([simulated], tmp_path / "packed", (20, 30), progress=False)

    expressions = packed.expressions(1)

    assert expressions[1] == ("The two  mugs", "class", (1, 2))
    assert expressions[5] == ("the green robot", "absent", ())
    assert packed.objects(1)[2]["class"] == "duck"
    assert packed.objects(1)[2]["colour"] == "red"


def test_recorded_mevis_packs_the_objects_that_are_referred_to(tmp_path: Path) -> None:
    root = build_mevis(tmp_path / "mevis")

    packed = pack_mevis([root], tmp_path / "packed", (20, 30), progress=False)

    assert packed.objects(1) == [{"anno_id": "3"}, {"anno_id": "4"}, {"anno_id": "5"}]


def test_two_processes_pack_the_same_bytes_as_one(simulated: Path, tmp_path: Path) -> None:
    more = build_mevis(tmp_path / "more", tuple(f"w{n}" for n in range(9)), simulated=True)

    one = pack_mevis([simulated, more], tmp_path / "one", (20, 30), progress=False)
    two = pack_mevis([simulated, more], tmp_path / "two", (20, 30), workers=2, progress=False)

    assert two.num_clips == 11
    for clip in range(11):
        np.testing.assert_array_equal(one.frames(clip), two.frames(clip))
        np.testing.assert_array_equal(one.labels(clip), two.labels(clip))


def test_an_unfinished_packing_is_refused(simulated: Path, tmp_path: Path) -> None:
    pack_mevis([simulated], tmp_path / "packed", (20, 30), progress=False)
    (tmp_path / "packed" / "index.json").unlink()

    with pytest.raises(DataError, match="index.json.*Packing did not finish"):
        PackedClips(tmp_path / "packed")


def test_a_truncated_file_is_refused(simulated: Path, tmp_path: Path) -> None:
    pack_mevis([simulated], tmp_path / "packed", (20, 30), progress=False)
    path = tmp_path / "packed" / "labels.npy"
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(DataError, match="labels.npy.*Pack the data again"):
        PackedClips(tmp_path / "packed")


def test_a_mask_of_another_size_stops_the_packing(simulated: Path, tmp_path: Path) -> None:
    path = simulated / "mask_dict.json"
    codes = json.loads(path.read_text())
    codes["0"][0]["size"] = [60, 40]
    path.write_text(json.dumps(codes))

    with pytest.raises(DataError, match="mask_dict.json.*60x40.*40x60"):
        pack_mevis([simulated], tmp_path / "packed", (20, 30), progress=False)


def test_packed_clips_travel_to_loader_processes_without_their_pixels(
        simulated: Path, tmp_path: Path) -> None:
    packed = pack_mevis([simulated], tmp_path / "packed", (20, 30), progress=False)

    copied = pickle.dumps(packed)

    assert len(copied) < packed.frames(0).nbytes
    np.testing.assert_array_equal(pickle.loads(copied).frames(1), packed.frames(1))


def test_reading_a_clip_costs_less_than_ten_milliseconds(simulated: Path, tmp_path: Path) -> None:
    packed = pack_mevis([simulated], tmp_path / "packed", (128, 192), progress=False)
    np.array(packed.frames(0))

    start = time.perf_counter()
    for _ in range(20):
        np.array(packed.frames(0)), np.array(packed.labels(0))

    assert (time.perf_counter() - start) / 20 < 0.01
