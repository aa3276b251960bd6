"""Recordings that rosbags wrote, in every storage, whole and cut off, through `samwise segment`."""

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pybullet", reason="needs pip install 'samwise_ros[sim]'")
pytest.importorskip("rosbags", reason="needs pip install 'samwise_ros[recordings]'")

import recordings as made
from mcap.reader import make_reader
from PIL import Image
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner, Result

from samwise_ros.cli.main import app
from samwise_ros.messages.image_codec import ENCODINGS, image_to_rgb
from samwise_ros.recordings.files import Recording
from samwise_ros.recordings.message_types import MessageTypes
from samwise_ros.sim.scene import SimFrame
from samwise_ros.structures import FrameError

pytestmark = pytest.mark.usefixtures("one_thread")
FRAMES = 6
PLACES = ("--depth-topic", made.DEPTH, "--info-topic", made.INFO)


@pytest.fixture(scope="module")
def frames() -> list[SimFrame]:
    return made.simulate(FRAMES)


@pytest.fixture(scope="module")
def recording(frames: list[SimFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_recording(tmp_path_factory.mktemp("recordings") / "robot", frames)


def segment(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["segment", str(path), "--model", "nano", *map(str, arguments)])


def records_of(path: Path, *topics: str) -> list[tuple]:
    with closing(Recording(path)) as recording:
        return list(recording.records(topics or recording.topics))


@pytest.mark.parametrize(("storage", "compression"), [
    ("mcap", "message"), ("mcap", "file"), ("mcap", "storage"), ("sqlite3", "none"),
    ("sqlite3", "message"), ("sqlite3", "file")])
def test_every_storage_and_compression_holds_the_same(
        frames: list[SimFrame], recording: Path, tmp_path: Path, storage: str,
        compression: str) -> None:
    other = made.write_recording(tmp_path / "r", frames, storage, compression)
    wanted = records_of(recording)
    assert len(wanted) == 3 * FRAMES and records_of(other) == wanted
    file = next(path for path in other.iterdir() if path.suffix != ".yaml")
    assert records_of(file) == wanted  # a single file of it
    (other / "metadata.yaml").unlink()  # as after a crash of the recorder
    assert records_of(other) == wanted


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("share", [0.95, 0.5])
def test_a_recording_that_was_cut_off_is_read_as_far_as_it_goes(
        frames: list[SimFrame], recording: Path, tmp_path: Path, storage: str,
        share: float) -> None:
    # 50 frames: MCAP writes chunks of a megabyte.
    path = made.write_recording(tmp_path / "r", frames * 8, storage)
    wanted = records_of(path)
    file = next(entry for entry in path.iterdir() if entry.suffix != ".yaml")
    with file.open("r+b") as opened:
        opened.truncate(round(file.stat().st_size * share))
    (path / "metadata.yaml").unlink()
    shutil.copy(next(recording.glob("*.mcap")), path / "whole.mcap")  # a later file of it
    with closing(Recording(path)) as cut:
        found = list(cut.records(cut.topics))
        read = len(found) - 3 * FRAMES
        assert 0.6 * share * len(wanted) < read < len(wanted) and found[:read] == wanted[:read]
        assert cut.topics[made.IMAGE].count == sum(entry[0] == made.IMAGE for entry in found)
        assert f"{read} messages before that are readable" in cut.faults[file.name]


def test_without_a_topic_image_topics_are_listed_and_nothing_is_written(
        recording: Path, tmp_path: Path) -> None:
    done = segment(recording, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    for text in (made.IMAGE, "160x120 rgb8", made.DEPTH, "32FC1", made.INFO, "--topic"):
        assert text in done.output
    assert not (tmp_path / "o").exists()


def test_a_new_recording_holds_what_the_node_would_have_published(
        frames: list[SimFrame], recording: Path, tmp_path: Path) -> None:
    asked = ("--topic", made.IMAGE, *PLACES, "-e", "the red ball", "-e", "the blue ball")
    for name in ("a", "b"):
        done = segment(recording, *asked, "--out", tmp_path / name,
                       "--out-bag", tmp_path / f"{name}.mcap")
        assert done.exit_code == 0, done.output
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()
    assert re.search(r"the red ball .*TRACKING 6 +0 +0 +0\.5", done.output), done.output
    assert "6 frames" in done.output

    with AnyReader([tmp_path / "a.mcap"]) as reader:  # by the definitions in the file alone
        found: dict[str, list] = {}
        for connection, logged, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic.removeprefix("/samwise/"), []).append(message)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            assert logged == stamp + made.DELAY and message.header.frame_id
    assert {name: len(entries) for name, entries in found.items()} == {
        "mask": FRAMES, "label_mask": FRAMES, "targets": FRAMES, "label_info": 1,
        "detections": FRAMES, "detections_3d": FRAMES, "target_pose": FRAMES,
        "target_cloud": FRAMES}
    records = [json.loads(line) for line in (tmp_path / "a/results.jsonl").open()]
    folder = tmp_path / "a/Annotations/camera_image_raw/0"
    for index, (mask, targets) in enumerate(zip(found["mask"], found["targets"], strict=True)):
        pixels = np.array(Image.open(folder / f"{index:05d}.png"))
        np.testing.assert_array_equal(mask.data.reshape(120, 160), pixels)
        assert mask.header.stamp == targets.header.stamp
        record = records[2 * index]
        assert record["stamp"] == made.stamp_of(index)
        assert [target.expression for target in targets.targets] == ["the red ball",
                                                                    "the blue ball"]
        assert targets.targets[0].score == pytest.approx(record["score"])
        truth = frames[index].mask(0)  # of follow_scene: the red ball comes first
        assert (truth & (pixels > 0)).sum() > 0.5 * (truth | (pixels > 0)).sum()
        ball = frames[index].depth[truth].mean()
        assert found["target_pose"][index].pose.position.z == pytest.approx(ball, abs=0.05)
    with (tmp_path / "a.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    definitions = {schema.name: schema.data.decode() for schema in summary.schemas.values()}
    assert "uint8 REACQUIRED=3" in definitions["samwise_ros/msg/TargetArray"]
    with closing(Recording(tmp_path / "a.mcap")) as again:  # ours are recordings, too
        assert again.topics["/samwise/mask"].count == FRAMES


def test_a_new_recording_is_what_mcap_and_its_reader_of_ros_2_expect(
        recording: Path, tmp_path: Path) -> None:
    """By the registry of MCAP and the decoder of those who make Foxglove, not by rosbags."""
    decoders = pytest.importorskip("mcap_ros2.decoder", reason="needs mcap-ros2-support")
    path = tmp_path / "new.mcap"
    done = segment(recording, "--topic", made.IMAGE, *PLACES, "-e", "the red ball", "--out",
                   tmp_path / "out", "--out-bag", path)
    assert done.exit_code == 0, done.output
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True,
                             decoder_factories=[decoders.DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}
        assert {channel.message_encoding for channel in summary.channels.values()} == {"cdr"}
        found = [(channel.topic, message) for _, channel, _, message
                 in reader.iter_decoded_messages()]
    assert len(found) == summary.statistics.message_count == 7 * FRAMES + 1
    newest = dict(found)
    assert bytes(newest["/samwise/mask"].data).count(255) > 30
    (target,) = newest["/samwise/targets"].targets
    assert (target.expression, target.state) == ("the red ball", 1)  # TRACKING
    (detection,) = newest["/samwise/detections_3d"].detections
    middle, pose = detection.bbox.center.position, newest["/samwise/target_pose"].pose.position
    assert (middle.x, middle.y, middle.z) == pytest.approx((pose.x, pose.y, pose.z), abs=0.1)
    cloud = newest["/samwise/target_cloud"]
    assert len(cloud.data) == cloud.width * cloud.point_step > 0
    (meant,) = newest["/samwise/label_info"].class_map
    assert meant.class_name == "the red ball"


def test_several_cameras_have_folders_and_topics_of_their_own(
        frames: list[SimFrame], tmp_path: Path) -> None:
    path = made.write_recording(tmp_path / "r", frames, "sqlite3",
                                topics=(made.IMAGE, made.COMPRESSED))
    done = segment(path, "--topic", made.IMAGE, "--topic", made.COMPRESSED, "-e", "the red ball",
                   "--out", tmp_path / "o", "--out-bag", tmp_path / "o.mcap", "--max-frames", "3")
    assert done.exit_code == 0, done.output
    raw, packed = "camera_image_raw", "camera_image_raw_compressed"
    lines = [[json.loads(line)["area"] for line in (tmp_path / "o" / name / "results.jsonl").open()]
             for name in (raw, packed)]
    assert lines[0] == lines[1] and len(lines[0]) == 3  # PNG loses nothing
    masks = {name: [data for topic, _, _, data in records_of(tmp_path / "o.mcap",
                                                             f"/samwise/{name}/mask")]
             for name in (raw, packed)}
    assert len(masks[raw]) == 3 and masks[raw] == masks[packed]


def test_a_target_that_is_shown_is_in_the_results_from_its_image_on(
        frames: list[SimFrame], recording: Path, tmp_path: Path) -> None:
    truth = max((frames[2].mask(number) for number in range(4)), key=np.sum)
    rows, columns = np.nonzero(truth)
    box = ",".join(map(str, (columns.min(), rows.min(), columns.max(), rows.max())))
    done = segment(recording, "--topic", made.IMAGE, "--box", box, "--frame", 2, "--out",
                   tmp_path / "o", "--out-bag", tmp_path / "new.mcap")
    assert done.exit_code == 0, done.output
    masks = {path.stem: np.array(Image.open(path)) > 0 for path in sorted(
        (tmp_path / "o" / "Annotations").glob("*/0/*.png"))}
    assert list(masks) == [f"{number:05d}" for number in range(2, FRAMES)]
    assert (masks["00002"] & truth).sum() / (masks["00002"] | truth).sum() > 0.7
    with AnyReader([tmp_path / "new.mcap"]) as reader:
        targets = [reader.deserialize(data, each.msgtype) for each, _, data in reader.messages(
            [each for each in reader.connections if each.topic == "/samwise/targets"])]
    assert [[(each.id, each.expression) for each in message.targets] for message in targets] == [
        [], [], *[[("shown", "")]] * (FRAMES - 2)]
    far = segment(recording, "--topic", made.IMAGE, "--point", "9999,1", "--out", tmp_path / "p")
    assert far.exit_code != 0 and "outside the image" in far.output + str(far.exception)


@pytest.mark.parametrize(("arguments", "message"), [
    (("--topic", "/nowhere"), r"/nowhere: expected .* it is not there; .* /camera/image_raw"),
    (("--topic", made.INFO), "it is sensor_msgs/msg/CameraInfo"),
    (("--topic", made.IMAGE, "--depth-topic", made.DEPTH), "need each other"),
    (("--topic", made.IMAGE, "--topic", made.DEPTH, *PLACES), "expected one for each of 2"),
    (("--topic", made.IMAGE, "--mode", "clip"), "frame by frame"),
    (("--topic", made.DEPTH), r"no image of it can be answered \(encoding '32FC1' is a depth")])
def test_wrong_use_is_one_line_with_exit_code_two(
        recording: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = segment(recording, *arguments, "-e", "the red ball", "--out", tmp_path / "o",
                   "--out-bag", tmp_path / "o.mcap")
    assert done.exit_code == 2 and re.search(message, done.output), done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "o.mcap").exists()


def test_a_message_that_cannot_be_read_is_left_out_and_named(
        frames: list[SimFrame], tmp_path: Path) -> None:
    path = made.write_recording(tmp_path / "r", frames[:3], "sqlite3", topics=(made.IMAGE,))
    with closing(sqlite3.connect(next(path.glob("*.db3")))) as database:
        database.execute("UPDATE messages SET data = X'00010000AABB' WHERE id = 2")
        database.commit()
    done = segment(path, "--topic", made.IMAGE, "-e", "the red ball", "--out", tmp_path / "o")
    assert done.exit_code == 3, done.output
    assert "2 frames" in done.output and "not a message of type sensor_msgs" in done.output
    names = [json.loads(line)["name"] for line in (tmp_path / "o/results.jsonl").open()]
    assert names == ["00000", "00002"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_images_of_every_encoding_are_read_from_cdr(encoding: str) -> None:
    types, values = MessageTypes(), np.random.default_rng(0).integers(0, 256, 4096, np.uint8)
    fields = {"height": 8, "width": 16, "encoding": encoding, "is_bigendian": 0, "step": 160,
              "data": values}
    message = types.make("sensor_msgs/msg/Image", **fields)
    read = types.read(types.write(message), "sensor_msgs/msg/Image")
    np.testing.assert_array_equal(image_to_rgb(read), image_to_rgb(SimpleNamespace(**fields)))


def test_recordings_of_ros_1_and_empty_folders_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FrameError, match="ROS 1; rosbags-convert"):
        Recording(tmp_path / "old.bag")
    with pytest.raises(FrameError, match="holds no recording"):
        Recording(tmp_path / "empty")
