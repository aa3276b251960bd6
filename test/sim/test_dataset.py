"""`samwise simulate`: the MeViS layout, resuming, and the same files from any number of workers."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco
from typer.testing import CliRunner

pytest.importorskip("pybullet", reason="the simulator needs PyBullet")

from samwise_ros.cli.main import app
from samwise_ros.sim.clip_renderer import simulate_clip
from samwise_ros.sim.errors import SimulationError
from samwise_ros.sim.generate import DatasetRequest, generate
from samwise_ros.sim.plan import SceneSettings
from samwise_ros.sim.writer import claim_split, encode_mask, merge_clips
from samwise_ros.structures import ConfigError

SETTINGS = SceneSettings(width=64, height=48, frames=4)


def _request(out: Path, clips: int = 2, depth: bool = False) -> DatasetRequest:
    return DatasetRequest("train", 1, clips, out, SETTINGS, depth)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sim")
    assert generate(_request(out, depth=True), show_progress=False) == 2
    return out


def test_layout_is_that_of_mevis(data: Path) -> None:
    videos = json.loads((data / "meta_expressions.json").read_text())["videos"]
    masks = json.loads((data / "mask_dict.json").read_text())
    assert list(videos) == ["sim_train_0001_000000", "sim_train_0001_000001"]
    for video, meta in videos.items():
        assert meta["frames"] == ["00000", "00001", "00002", "00003"]
        for name in meta["frames"]:
            assert cv2.imread(str(data / "JPEGImages" / video / f"{name}.jpg")).shape == (48, 64, 3)
        for expression in meta["expressions"].values():
            assert len(expression["obj_id"]) == len(expression["anno_id"])
            assert (not expression["anno_id"]) == (expression["kind"] == "absent")
            for anno in expression["anno_id"]:
                assert len(masks[str(anno)]) == 4
        assert {item["anno_id"] for item in meta["scene"]["objects"].values()} <= {
            int(key) for key in masks
        }


def test_masks_depth_and_poses_are_those_of_the_frames(data: Path) -> None:
    clip = simulate_clip("train", 1, 1, SETTINGS)
    video = "sim_train_0001_000001"
    scene = json.loads((data / "meta_expressions.json").read_text())["videos"][video]["scene"]
    masks = json.loads((data / "mask_dict.json").read_text())
    seen = 0
    for index, item in scene["objects"].items():
        for frame, encoded in zip(clip.frames, masks[str(item["anno_id"])]):
            expected = frame.mask(int(index))
            decoded = np.zeros_like(expected) if encoded is None else coco.decode(encoded) > 0
            np.testing.assert_array_equal(decoded, expected)
            seen += int(expected.any())
    assert seen > 4
    depth = cv2.imread(str(data / "Depth" / video / "00002.png"), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    np.testing.assert_allclose(depth / 1000, clip.frames[2].depth, atol=6e-4)
    cameras = json.loads((data / "cameras" / f"{video}.json").read_text())
    np.testing.assert_allclose(
        cameras["world_from_optical"]["00003"], clip.frames[3].camera.matrix, atol=1e-5
    )


def test_finished_clips_are_kept_and_partial_ones_made_again(tmp_path: Path) -> None:
    generate(_request(tmp_path), show_progress=False)
    first = tmp_path / "clips" / "sim_train_0001_000000.json"
    second = tmp_path / "clips" / "sim_train_0001_000001.json"
    before = json.loads((tmp_path / "mask_dict.json").read_text())
    stamp = first.stat().st_mtime_ns
    second.unlink()  # as if the program had been stopped while it wrote this clip
    (tmp_path / "JPEGImages" / "sim_train_0001_000001" / "00003.jpg").unlink()
    assert generate(_request(tmp_path), show_progress=False) == 1
    assert first.stat().st_mtime_ns == stamp
    assert (tmp_path / "JPEGImages" / "sim_train_0001_000001" / "00003.jpg").exists()
    assert json.loads((tmp_path / "mask_dict.json").read_text()) == before


def test_two_workers_write_the_same_files_as_one(data: Path, tmp_path: Path) -> None:
    generate(_request(tmp_path, depth=True), workers=2, show_progress=False)
    files = sorted(path.relative_to(data) for path in data.rglob("*") if path.is_file())
    assert len(files) > 12
    for name in files:
        assert (tmp_path / name).read_bytes() == (data / name).read_bytes(), name


def test_a_damaged_clip_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.json").write_text("{")
    with pytest.raises(SimulationError, match=r"a\.json.*delete it and run again"):
        merge_clips(tmp_path, ["a"])


def test_a_data_set_of_other_origin_is_kept(data: Path, tmp_path: Path) -> None:
    for name in ("meta_expressions.json", "mask_dict.json"):
        (tmp_path / name).write_text('{"videos": {"street": {}}}')
        with pytest.raises(ConfigError, match=f"{name} exists"):
            generate(_request(tmp_path), show_progress=False)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_clips_of_another_seed_are_not_dropped_from_the_lists(data: Path) -> None:
    before = (data / "meta_expressions.json").read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        claim_split(data, ["sim_train_0099_000000"])
    claim_split(data, [*json.loads(before)["videos"], "one_more"])
    assert (data / "meta_expressions.json").read_bytes() == before


def test_an_empty_mask_is_null() -> None:
    assert encode_mask(np.zeros((4, 6), bool)) is None
    square = np.zeros((4, 6), bool)
    square[1:3, 2:5] = True
    np.testing.assert_array_equal(coco.decode(encode_mask(square)).astype(bool), square)


def test_the_command_makes_stills(tmp_path: Path) -> None:
    arguments = ["simulate", "--split", "val", "--seed", "3", "--clips", "2", "--frames", "1"]
    arguments += ["--size", "64x48", "--workers", "1", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    videos = json.loads((tmp_path / "meta_expressions.json").read_text())["videos"]
    assert [meta["frames"] for meta in videos.values()] == [["00000"]] * 2
    kinds = {e["kind"] for meta in videos.values() for e in meta["expressions"].values()}
    assert "motion" not in kinds and "absent" in kinds


def test_a_wrong_size_is_refused_with_the_expected_form(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "--out", str(tmp_path), "--size", "big"])
    assert result.exit_code != 0
    assert "WIDTHxHEIGHT" in result.output
