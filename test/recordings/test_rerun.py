"""Files for Rerun's viewer, read back by Rerun's own reader."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pybullet", reason="needs pip install 'samwise_ros[sim]'")
pytest.importorskip("rosbags", reason="needs pip install 'samwise_ros[recordings]'")
pytest.importorskip("rerun", reason="needs pip install 'samwise_ros[rerun]'")

import pyarrow as pa
import recordings as made
from PIL import Image
from rerun.chunk import RrdReader
from typer.testing import CliRunner

from samwise_ros.cli.main import app

pytestmark = pytest.mark.usefixtures("one_thread")
FRAMES = 4


def columns(path: Path) -> dict[str, list[pa.RecordBatch]]:
    """What was logged, by entity."""
    found: dict[str, list[pa.RecordBatch]] = {}
    for chunk in RrdReader(path).stream():
        found.setdefault(chunk.entity_path, []).append(chunk.to_record_batch())
    return found


def values(batches: list[pa.RecordBatch], name: str) -> list:
    """A column over all batches, flat, in the order of the timeline `stamp`."""
    rows = [(stamp, row) for batch in batches if name in batch.schema.names
            for stamp, row in zip(batch["stamp"].cast(pa.int64()).to_pylist(),
                                  batch[name].to_pylist(), strict=True)]
    return [entry for _, row in sorted(rows, key=lambda pair: pair[0]) for entry in row or ()]


def stamps(batches: list[pa.RecordBatch]) -> list[int]:
    return sorted(stamp for batch in batches
                  for stamp in batch["stamp"].cast(pa.int64()).to_pylist())


def test_a_recording_leaves_pictures_places_curves_and_commands(tmp_path: Path) -> None:
    path = made.write_recording(tmp_path / "r", made.simulate(FRAMES))
    done = CliRunner().invoke(app, [
        "segment", str(path), "--model", "nano", "--topic", made.IMAGE, "--depth-topic", made.DEPTH,
        "--info-topic", made.INFO, "-e", "the red ball", "-e", "the blue ball",
        "--out", str(tmp_path / "o"), "--rerun", str(tmp_path / "o.rrd")])
    assert done.exit_code == 0, done.output
    found = columns(tmp_path / "o.rrd")
    name = "/camera_image_raw"
    wanted = [made.stamp_of(index) for index in range(FRAMES)]
    for entity in ("picture/image", "picture/masks", "picture/boxes", "picture/depth", "places",
                   "latency_ms", "targets/0/score", "targets/1/state"):
        assert stamps(found[f"{name}/{entity}"]) == wanted, entity
    masks = values(found[f"{name}/picture/masks"], "SegmentationImage:buffer")
    stored = np.array(Image.open(tmp_path / "o/Annotations/camera_image_raw/0/00000.png")) > 0
    labels = np.frombuffer(np.asarray(masks[0], np.uint8).tobytes(), np.uint16)
    assert stored.any()
    np.testing.assert_array_equal(labels.reshape(stored.shape) == 1, stored)
    scores = values(found[f"{name}/targets/0/score"], "Scalars:scalars")
    assert len(scores) == FRAMES and min(scores) > 0.5
    assert values(found[f"{name}/targets/0/state"], "Scalars:scalars") == [1] * FRAMES
    assert values(found["/commands"], "TextLog:text") == [
        "camera_image_raw: add:0: the red ball", "camera_image_raw: add:1: the blue ball"]
    middles = values(found[f"{name}/places"], "Boxes3D:centers")
    assert len(middles) == FRAMES and 0.2 < middles[0][2] < 5


def test_a_video_leaves_pictures_and_curves_on_its_own_times(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    for number, frame in enumerate(made.simulate(2)):
        Image.fromarray(frame.rgb).save(tmp_path / "v" / f"{number}.png")
    arguments = ["segment", str(tmp_path / "v"), "-e", "the red ball", "--rerun",
                 str(tmp_path / "v.rrd")]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    found = columns(tmp_path / "v.rrd")
    assert stamps(found["/v/picture/image"]) == stamps(found["/v/latency_ms"]) == [0, 40_000_000]
    again = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "p")])
    assert again.exit_code == 2 and "cannot be written as a new file" in again.output
