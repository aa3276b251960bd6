"""Is our clip mode numerically the official model? Compares it with a recording, tensor by tensor.

Errors are the largest absolute difference over the recorded positions, in units of the standard
deviation of the whole official tensor (absolute where that is zero, as for scalars). Tolerances are
those of an acceptance in fp32: noise of 1e-6 in every weight already moves the ladder by 1.2e-4.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samwise_ros.config import ModelConfig
from samwise_ros.evaluation.golden import (
    SAMPLE_CRC,
    SAMPLE_VIDEO,
    Golden,
    KeyInfo,
    find_assets,
    read_frames,
    read_golden,
    read_official_entries,
)
from samwise_ros.evaluation.metrics import region_similarity
from samwise_ros.evaluation.name_hash import Entry, make_state
from samwise_ros.evaluation.parity_probes import LadderRecorder
from samwise_ros.model.checkpoint import empty_model, load_strict
from samwise_ros.model.checkpoint_parts import with_token_types
from samwise_ros.model.key_map import from_official, map_official, to_official
from samwise_ros.model.precision import arithmetic
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.sizes import SIZES, model_config
from samwise_ros.streaming.clip_runner import ClipRunner
from samwise_ros.structures import DataError

MIN_MASK_IOU = 0.999

# The first pattern that is found in a name gives its tolerance; 0 means equal.
_TOLERANCES = (
    (r"^text/input_ids$|/memory_index$|^cme/(frames|switched)$", 0.0),
    (r"/(low_res_mask(_f32)?|pred_mask|mask_input)$", 1e-2),
    (r"/mem/pix_feat$|/memory/features$", 2e-2),
    (r"/(object_score|iou)$|^cme/logits$", 1e-3),
    (r"", 5e-4),
)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: Name in the recording, or of a decision.
        error: Largest difference, see the module; for masks 1 - IoU; infinite when not comparable.
        tolerance: Largest error accepted.
        unit: "std", "absolute", "differences" or "1 - IoU".
        note: Why it could not be compared, or which entries differ.
    """

    name: str
    error: float
    tolerance: float
    unit: str
    note: str = ""

    @property
    def passed(self) -> bool:
        """Within the tolerance; NaN never is."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class ParityReport:
    """Result of one recording.

    Attributes:
        golden: File name. size, text: What was run. frames: First frame and count.
        rows: All comparisons in the order of the recording.
        digest: crc32 of the rebuilt weights.
        frame_crc: Frame number -> crc32 of the decoded bytes.
        notes: Remarks that explain differences.
        seconds: Time of the model run.
    """

    golden: str
    size: str
    text: str
    frames: tuple[int, int]
    rows: tuple[Row, ...]
    digest: str
    frame_crc: dict[int, str]
    notes: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Every row is within its tolerance."""
        return all(row.passed for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; errors that are not numbers become null."""
        data = asdict(self)
        data["passed"] = self.passed
        for row, plain in zip(self.rows, data["rows"], strict=True):
            plain["passed"] = row.passed
            if not np.isfinite(row.error):
                plain["error"] = None
        return data


def run_parity(path: Path | str, assets: Path | None = None, *,
               device: torch.device | str = "cpu",
               progress: Callable[[str], None] | None = None) -> ParityReport:
    """Rebuild the official weights, run clip mode on the recorded frames, compare everything.

    Args:
        path: The recording (`.npz`).
        assets: Folder with `goldens/`, `samples/` and `tokenizer/`; `../shared` by default.
        device: Where the model runs, in fp32 without TF32.
        progress: Told what is being done.

    Raises DataError for unusable recordings or assets, CheckpointError when the official names do
    not map to ours.
    """
    say = progress or (lambda _: None)
    golden, assets = read_golden(path), find_assets(assets)
    header = golden.header
    video = assets / "samples" / header.video
    frames, crc = read_frames(video, header.first_frame, header.frames)
    if frames[0].shape[:2] != header.original_hw:
        raise DataError(f"{video} has frames of (H, W) {frames[0].shape[:2]}; the recording was "
                        f"made with {header.original_hw}")
    say(f"weights of {header.size}, salt {header.salt!r}")
    model, weights_digest = official_model(golden, assets)
    model.to(device)
    recorder, masks = LadderRecorder(golden, model), []
    start = time.perf_counter()
    with recorder.attached(), arithmetic(model.device, "fp32"):
        for result in ClipRunner(model).run(frames, header.text):
            masks.append(result.mask)
            say(f"frame {result.index + 1} of {header.frames}")
    seconds = time.perf_counter() - start
    recorder.finish()
    rows = (*compare_ladder(golden, recorder), *compare_decisions(golden, recorder),
            *compare_masks(golden, masks))
    return ParityReport(
        Path(path).name, header.size, header.text, (header.first_frame, header.frames), rows,
        weights_digest, crc, tuple(_notes(golden, rows, crc)), seconds)


def _config(golden: Golden) -> ModelConfig:
    header = golden.header
    if header.size not in SIZES:
        raise DataError(f"{golden.path}: unknown size {header.size!r}; known are "
                        f"{', '.join(SIZES)}")
    config = model_config(header.size, cmt={"clip_window": header.clip_window})
    pixels = golden.keys.get("clip0/input/pixels")
    return config if pixels is None else config.replace(image_size=max(pixels.full_shape[-2:]))


def official_model(golden: Golden, assets: Path) -> tuple[SamwiseModel, str]:
    """The model of a recording with its rebuilt weights, and their digest.

    The weights go through the same key map and the same strict loading as a released file.
    """
    config, header = _config(golden), golden.header
    model = empty_model(config)
    keys = assets / "goldens" / f"official_keys_{header.size}.json"
    entries = read_official_entries(keys) if keys.is_file() else _entries_of(model)
    unknown = sorted(set(header.calibration) - set(entries))
    if unknown:
        raise DataError(f"{golden.path}: calibrates unknown names: {', '.join(unknown)}")
    arrays, weights_digest = make_state(entries, header.salt, header.calibration,
                                        keep=lambda name: from_official(name) is not None)
    state = {name: torch.as_tensor(array) for name, array in arrays.items()}
    load_strict(model, with_token_types(map_official(state)), f"weights of {golden.path.name}")
    model.tokenizer = ExpressionTokenizer(assets / "tokenizer" / "roberta-base",
                                          config.text.max_tokens)
    return model.requires_grad_(False), weights_digest


def _entries_of(model: SamwiseModel) -> dict[str, Entry]:
    """Official names and shapes from our own model, for sizes without a list of names."""
    return {official: Entry(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in model.state_dict().items()
            if (official := to_official(name)) is not None}


def tolerance_of(name: str) -> float:
    """Largest accepted error of a recorded name."""
    return next(value for pattern, value in _TOLERANCES if re.search(pattern, name))


def compare_ladder(golden: Golden, recorder: LadderRecorder) -> list[Row]:
    """One row per recorded name, except for the final masks."""
    return [_compare_one(name, info, golden.arrays[name], recorder)
            for name, info in golden.keys.items() if name != "final_masks_packed"]


def _compare_one(name: str, info: KeyInfo, theirs: np.ndarray, recorder: LadderRecorder) -> Row:
    tolerance = tolerance_of(name)
    ours, shape = recorder.samples.get(name), recorder.shapes.get(name)
    if ours is None or ours.shape != theirs.shape:
        reason = "ours has no such tensor" if shape is None else (
            f"our shape is {list(shape)}, recorded is {list(info.full_shape)}")
        return Row(name, float("inf"), tolerance, "std", reason)
    if tolerance == 0.0:
        different = int((ours != theirs).sum())
        note = f"ours {ours.ravel()[:12]}, theirs {theirs.ravel()[:12]}" if different else ""
        return Row(name, float(different), tolerance, "differences", note)
    if ours.size == 0:
        return Row(name, float("inf"), tolerance, "std", "nothing recorded")
    gap = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    if theirs.dtype == np.float16:  # half a step is the rounding of the recording itself
        gap = np.maximum(gap - np.abs(np.spacing(theirs)).astype(np.float64) / 2, 0.0)
    unit = info.std if info.std > 0 else 1.0
    return Row(name, float(gap.max() / unit), tolerance, "std" if info.std > 0 else "absolute")


def compare_decisions(golden: Golden, recorder: LadderRecorder) -> list[Row]:
    """Are the same frames judged visible, with and without memory?"""
    rows = []
    for kind in ("mem", "nomem"):
        names = [name for name in golden.keys if name.endswith(f"/{kind}/object_score")]
        differing = [name for name in names if name not in recorder.samples
                     or ((recorder.samples[name] > 0) != (golden.arrays[name] > 0)).any()]
        if names:
            rows.append(Row(f"decisions/visible/{kind}", float(len(differing)), 0.0, "differences",
                            ", ".join(differing)))
    return rows


def compare_masks(golden: Golden, masks: list[np.ndarray]) -> list[Row]:
    """IoU of every final mask at the original size; two empty masks agree."""
    packed = golden.arrays.get("final_masks_packed")
    if packed is None:
        return []
    width = golden.header.original_hw[1]
    theirs = np.unpackbits(packed, axis=-1)[..., :width].astype(bool)
    rows = []
    for index, expected in enumerate(theirs):
        name, tolerance = f"frame{golden.frame_offset + index:03d}/final_mask", 1 - MIN_MASK_IOU
        if index >= len(masks) or masks[index].shape != expected.shape:
            rows.append(Row(name, float("inf"), tolerance, "1 - IoU", "no mask of that size"))
            continue
        error = 1 - region_similarity(masks[index], expected)
        rows.append(Row(name, error, tolerance, "1 - IoU"))
    return rows


def _notes(golden: Golden, rows: tuple[Row, ...], crc: dict[int, str]) -> list[str]:
    notes = []
    if golden.header.video == SAMPLE_VIDEO:
        notes += [f"frame {index} decodes to crc32 {crc[index]}, the recorder saw {known}: another "
                  "decoder; expect differences of a grey level everywhere"
                  for index, known in SAMPLE_CRC.items() if crc.get(index, known) != known]
    failed = {row.name for row in rows if not row.passed}
    if "text/input_ids" in failed:
        notes.append("the token ids differ: look at the tokeniser files first")
    if "clip0/input/pixels" in failed:
        notes.append("the input pixels differ: decoder or resize, not the model")
    return notes
