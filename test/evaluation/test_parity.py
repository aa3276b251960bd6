"""Clip mode is numerically the official model, and `samwise parity` notices when it is not."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import cv2
import numpy as np
import pytest
from model_builders import make_frames
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.evaluation import golden as golden_file
from samwise_ros.evaluation.golden import Golden, Header, read_frames, read_golden
from samwise_ros.evaluation.name_hash import Entry, make_state, make_tensor
from samwise_ros.evaluation.parity import (
    ParityReport,
    official_model,
    run_parity,
    tolerance_of,
)
from samwise_ros.evaluation.parity_probes import LadderRecorder
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.clip_runner import ClipRunner
from samwise_ros.streaming.image_ops import input_size
from samwise_ros.structures import DataError

FRAMES = 9  # a full window, then one of a single frame, which wipes the memory


# -- the rule of the weights ---------------------------------------------------------------------

NAMES = {
    "cmt_adapters.0.proj_vis_down.1.running_var": (7,),
    "cmt_adapters.0.proj_vis_down.1.running_mean": (7,),
    "cmt_adapters.0.proj_vis_down.0.weight": (5, 7, 1, 1),
    "cmt_adapters.0.spatial_pos_embed": (1, 1, 1, 4, 3),
    "cmt_adapters.0.hsa.self_attn.in_proj_weight": (9, 3),
    "sam.memory_encoder.fuser.layers.0.gamma": (5,),
    "sam.image_encoder.trunk.blocks.0.attn.qkv.weight": (6, 2),
    "sam.image_encoder.trunk.blocks.0.norm1.weight": (3,),
    "sam.image_encoder.trunk.blocks.0.norm1.bias": (3,),
    "sam.image_encoder.trunk.pos_embed_window": (1, 3, 2, 2),
    "sam.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (2, 5),
    "sam.sam_prompt_encoder.point_embeddings.3.weight": (1, 5),
    "sam.sam_mask_decoder.mask_tokens.weight": (4, 5),
    "sam.sam_mask_decoder.pred_obj_score_head.layers.2.weight": (1, 5),
    "sam.sam_mask_decoder.pred_obj_score_head.layers.2.bias": (1,),
    "sam.memory_attention.layers.0.self_attn.q_proj.weight": (5, 5),
    "sam.no_obj_ptr": (1, 5),
    "text_encoder._float_tensor": (1,),
    "text_encoder.model.encoder.sentence_encoder.version": (1,),
    "text_encoder.model.encoder.sentence_encoder.embed_tokens.weight": (11, 3),
    "text_encoder.model.encoder.lm_head.weight": (11, 3),
}


def test_rebuilt_weights_are_bit_identical_to_the_published_rule(shared_dir: Path) -> None:
    path = shared_dir / "goldens" / "name_hash_weights.py"
    spec = importlib.util.spec_from_file_location("published_rule", path)
    published = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(published)
    calibration = {"sam.sam_mask_decoder.pred_obj_score_head.layers.2.bias": 2.25,
                   "sam.image_encoder.trunk.blocks.0.norm1.bias": [1.0, 2.0, -3.0]}
    for salt in ("dev", "émile:7"):
        for name, shape in NAMES.items():
            expected = published.tensor_for(name, shape, salt, calibration=calibration)
            ours = make_tensor(name, Entry(shape), salt, calibration)
            assert ours.dtype == expected.dtype and np.array_equal(ours, expected), name
    entries = {name: Entry(shape) for name, shape in NAMES.items()}
    keys = {name: {"shape": list(shape)} for name, shape in NAMES.items()}
    assert make_state(entries, "dev", {})[1] == published.digest(keys, "dev")


def test_counters_are_integers() -> None:
    counter = make_tensor("x.num_batches_tracked", Entry((), "int64"), "dev", {})
    assert counter.dtype == np.int64 and counter == 0


# -- a recording of our own small model: does the comparison see what it should? ------------------


class _Anything:
    """Stands for a recorded name of any shape, of which everything is kept."""

    full_shape = ANY

    def __init__(self, name: str) -> None:
        self.slices = (slice(None),) * 4 if "/fpn/" in name else (Ellipsis,)


class _Everything(dict):
    """Asks the recorder for all tensors that it knows of."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> _Anything:
        return _Anything(name)

    def __iter__(self) -> Any:
        return iter(())


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ExpressionTokenizer) -> Path:
    """A folder like the shared one, with a small tokeniser and a video of our own."""
    folder = tmp_path_factory.mktemp("assets")
    shutil.copytree(tiny_tokenizer.folder, folder / "tokenizer" / "roberta-base")
    (folder / "samples").mkdir()
    writer = cv2.VideoWriter(str(folder / "samples" / "discs.avi"),
                             cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for frame in make_frames(FRAMES + 2, 64, 96):
        writer.write(frame)
    writer.release()
    return folder


def header_for(**changes: Any) -> dict[str, Any]:
    return {"size": "nano", "salt": "test", "text": "the red mug", "first_frame": 2,
            "frames": FRAMES, "original_hw": [64, 96], "clip_window": 8, "video": "discs.avi",
            "input_hw": list(input_size((64, 96), 192, "rectangle").resized),
            "calibration": {"sam.sam_mask_decoder.pred_obj_score_head.layers.2.bias": 3.0},
            **changes}


@pytest.fixture(scope="module")
def recording(assets: Path) -> Path:
    """What our own nano computes, written as a recording; large tensors are stored strided."""
    header = header_for()
    wanted = Golden(Path("none"), Header.from_dict(header), _Everything(), {})
    model, _ = official_model(wanted, assets)
    frames, _ = read_frames(assets / "samples" / "discs.avi", 2, FRAMES)
    recorder = LadderRecorder(wanted, model)
    with recorder.attached():
        masks = [result.mask for result in ClipRunner(model).run(frames, header["text"])]
    recorder.finish()
    arrays, keys = {}, {}
    for name, full in recorder.samples.items():
        steps = [3 if side > 40 else 1 for side in full.shape]
        arrays[name] = full[tuple(slice(None, None, step) for step in steps)]
        keys[name] = {"full_shape": list(full.shape), "strides": steps if 3 in steps else None}
        if full.dtype.kind == "f":
            keys[name]["stats"] = {"std": float(full.std())}
    arrays["final_masks_packed"] = np.packbits(np.stack(masks), axis=-1)
    keys["final_masks_packed"] = {"full_shape": [FRAMES, 64, 96], "strides": None}
    path = assets / "goldens" / "golden_nano.npz"
    path.parent.mkdir()
    np.savez(path, meta=json.dumps({"header": header, "keys": keys}), **arrays)
    return path


def altered(recording: Path, tmp_path: Path, **arrays: np.ndarray) -> Path:
    """The recording with some arrays or the `meta` replaced (`__` for `/` in names)."""
    with np.load(recording) as file:
        content = dict(file)
    content.update({name.replace("__", "/"): array for name, array in arrays.items()})
    np.savez(tmp_path / "altered.npz", **content)
    return tmp_path / "altered.npz"


def failed(report: ParityReport) -> set[str]:
    return {row.name for row in report.rows if not row.passed}


def test_a_recording_of_the_same_model_passes_on_every_rung(
        recording: Path, assets: Path) -> None:
    report = run_parity(recording, assets)
    assert report.passed, failed(report)
    names = {row.name for row in report.rows}
    assert {"text/input_ids", "clip0/input/pixels", "clip0/hiera/patch_embed", "clip1/text/state",
            "clip0/hiera/stage4_after_adapter", "clip0/cmt1/hsa_out", "clip0/fpn/level0",
            "frame005/nomem/sparse_prompt",
            "clip0/vision_feats/level2", "frame000/mem/low_res_mask", "frame005/nomem/obj_ptr",
            "frame008/memory/features", "memory/position", "cme/logits",
            "decisions/visible/nomem", "frame008/final_mask"} <= names
    assert max(row.error for row in report.rows) < 1e-4
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True


def test_the_window_of_one_frame_is_recorded_without_memory(recording: Path) -> None:
    arrays = read_golden(recording).arrays
    assert arrays["frame007/memory_index"].tolist() == [7, 7]
    assert arrays["frame008/memory_index"].tolist() == [0, 0]


def test_every_kind_of_difference_is_found(
        recording: Path, assets: Path, tmp_path: Path) -> None:
    golden = read_golden(recording)
    whole = golden.arrays
    changed = {
        "clip0/cmt0/text_delta": whole["clip0/cmt0/text_delta"] * 1.01,
        "frame003/mem/low_res_mask": np.full_like(whole["frame003/mem/low_res_mask"], np.nan),
        "frame004/mem/object_score": -whole["frame004/mem/object_score"],
        "cme/switched": 1 - whole["cme/switched"],
        "final_masks_packed": ~whole["final_masks_packed"],
    }
    path = altered(recording, tmp_path, **{k.replace("/", "__"): v for k, v in changed.items()})
    report = run_parity(path, assets)
    masks = {f"frame{index:03d}/final_mask" for index in range(FRAMES)}
    expected = (set(changed) - {"final_masks_packed"}) | masks | {"decisions/visible/mem"}
    assert failed(report) == expected


def test_unknown_tensors_and_other_shapes_fail_with_a_reason(
        recording: Path, assets: Path, tmp_path: Path) -> None:
    with np.load(recording) as file:
        meta = json.loads(str(file["meta"]))
    meta["keys"]["clip0/new/tensor"] = {"full_shape": [2], "strides": None}
    meta["keys"]["clip0/text/state"]["full_shape"] = [8, 7]
    path = altered(recording, tmp_path, meta=np.array(json.dumps(meta)),
                   clip0__new__tensor=np.zeros(2, np.float32))
    report = run_parity(path, assets)
    notes = {row.name: row.note for row in report.rows if not row.passed}
    assert notes == {"clip0/new/tensor": "ours has no such tensor",
                     "clip0/text/state": "our shape is [8, 128], recorded is [8, 7]"}
    assert json.dumps(report.to_dict())


def test_the_command_exits_with_0_1_or_2(recording: Path, assets: Path, tmp_path: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "200"})
    good = runner.invoke(app, ["parity", str(recording), "--assets", str(assets)])
    assert good.exit_code == 0 and "PASSED" in good.output, good.output
    assert "frame000/mem/object_score" in good.output and "crc32" in good.output
    bad = altered(recording, tmp_path, frame000__mem__object_score=np.array([99.0], np.float32))
    wrong = runner.invoke(app, ["parity", str(bad), "--assets", str(assets), "--json"])
    assert wrong.exit_code == 1
    rows = {row["name"]: row for row in json.loads(wrong.stdout)["rows"]}
    assert rows["frame000/mem/object_score"]["passed"] is False
    (tmp_path / "text.npz").write_text("no recording", encoding="utf-8")
    assert runner.invoke(app, ["parity", str(tmp_path / "text.npz"), "--assets", str(assets)]
                         ).exit_code == 2
    assert runner.invoke(app, ["parity", str(recording), "--assets", str(tmp_path)]
                         ).exit_code == 2


def test_another_decoder_is_named_as_the_cause(
        recording: Path, assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samwise_ros.evaluation.parity.SAMPLE_VIDEO", "discs.avi")
    whole = read_golden(recording).arrays["clip0/input/pixels"]
    path = altered(recording, tmp_path, clip0__input__pixels=whole + 0.02)
    report = run_parity(path, assets)
    assert failed(report) == {"clip0/input/pixels"}
    assert not any("crc32" in note for note in report.notes)  # frames 2..10 have no known crc
    assert any("decoder or resize" in note for note in report.notes)
    monkeypatch.setitem(golden_file.SAMPLE_CRC, 5, "00000000")
    assert any("another decoder" in note for note in run_parity(recording, assets).notes)


def test_videos_that_are_too_short_or_absent_are_refused(assets: Path) -> None:
    with pytest.raises(DataError, match="ends after 11 frames"):
        read_frames(assets / "samples" / "discs.avi", 5, 20)
    with pytest.raises(DataError, match="cannot open"):
        read_frames(assets / "samples" / "absent.avi", 0, 1)


def test_tolerances_follow_the_kind_of_tensor() -> None:
    assert tolerance_of("text/input_ids") == tolerance_of("cme/switched") == 0.0
    assert tolerance_of("frame003/mem/low_res_mask_f32") == 1e-2
    assert tolerance_of("frame003/memory/features") == tolerance_of("frame003/mem/pix_feat") == 2e-2
    assert tolerance_of("frame003/nomem/pix_feat") == tolerance_of("clip0/fpn/level3") == 5e-4
    assert tolerance_of("cme/logits") == tolerance_of("frame003/nomem/object_score") == 1e-3


# -- the recordings of the official code ----------------------------------------------------------


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "digest"), [
    ("tiny_dev_q1", "fdd69e00"), ("tiny_dev_q2", "fdd69e00"), ("base_plus_dev_q1", "d84552d4")])
def test_clip_mode_equals_the_official_model(shared_dir: Path, name: str, digest: str) -> None:
    path = shared_dir / "goldens" / f"golden_{name}.npz"
    report = run_parity(path, shared_dir)
    worst = [(row.name, row.error, row.note) for row in report.rows if not row.passed]
    assert report.passed, worst[:10]
    assert report.digest == digest
    assert read_golden(path).arrays["cme/switched"].sum() > 0  # switches happen, and match
