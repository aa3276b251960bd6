"""Results on disk: what is finished (so that a run can be resumed), masks, and the submission zip.

An evaluation folder holds `run.json` (what was asked for), `results.jsonl` (one line per finished
expression, written after its masks) and, where wanted, mask pictures.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from samwise_ros.evaluation.expression_scores import ExpressionResult
from samwise_ros.streaming.pictures import write_png
from samwise_ros.structures import DataError
from samwise_ros.user_files import claim_outputs, load_json, whole_file

# What `samwise evaluate` writes into its folder, at the top.
_OUTPUTS = ("run.json", "results.jsonl", "summary.json", "per_expression.csv", "per_video.csv",
            "Annotations", "submission.zip", "eval_davis")


class Record(Protocol):
    """What a store keeps: it has a unique key and survives JSON."""

    @property
    def key(self) -> tuple[str, str]:
        """Unique in one evaluation."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        ...

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Any:
        """Inverse of `to_dict`."""
        ...


R = TypeVar("R", bound=Record)
_RESULTS = "results.jsonl"


class ResultStore(Generic[R]):
    """Finished expressions of one evaluation.

    Args:
        folder: Where results are kept; None keeps them in memory only.
        run: What determines the results (model, data, mode...). A folder that holds results of
            another run is refused.
        record_type: Class of the records.
        inputs: Files and folders that are read; results are never written among them.

    Raises DataError for a folder of another run or a damaged one, ConfigError for one that holds
    files of the same names that no evaluation wrote.
    """

    def __init__(self, folder: Path | str | None, run: Mapping[str, Any],
                 record_type: type[R] = ExpressionResult,  # type: ignore[assignment]
                 inputs: Iterable[Path] = ()) -> None:
        self.folder = None if folder is None else Path(folder)
        self._record_type = record_type
        self._results: dict[tuple[str, str], R] = {}
        if self.folder is not None:
            _check_run(self.folder, {**run}, tuple(inputs))
            self._read(self.folder / _RESULTS)

    @property
    def results(self) -> tuple[R, ...]:
        """All finished expressions, in the order in which they were finished."""
        return tuple(self._results.values())

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._results

    def add(self, results: Iterable[R]) -> None:
        """Record finished expressions; their masks must have been written before."""
        results = list(results)
        if self.folder is not None:
            with (self.folder / _RESULTS).open("a", encoding="utf-8") as file:
                for result in results:
                    file.write(json.dumps(result.to_dict()) + "\n")
        self._results.update({result.key: result for result in results})

    def _read(self, path: Path) -> None:
        if not path.is_file():
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        for number, line in enumerate(lines, start=1):
            try:
                result = self._record_type.from_dict(json.loads(line))
                if not line.endswith("\n"):
                    raise TypeError("it has no end")
            except (json.JSONDecodeError, TypeError, KeyError) as error:
                if number == len(lines):  # cut off while it was written: run that one again
                    path.write_text("".join(lines[:-1]), encoding="utf-8")
                    return
                raise DataError(f"{path}, line {number}: damaged ({error}). Delete the "
                                "folder and evaluate again.") from error
            self._results[result.key] = result


def _check_run(folder: Path, run: dict[str, Any], inputs: Sequence[Path]) -> None:
    path = folder / "run.json"
    run = json.loads(json.dumps(run))
    if not path.is_file():
        claim_outputs(folder, _OUTPUTS, inputs)
        with whole_file(path) as part:
            part.write_text(json.dumps(run, indent=1))
        return
    try:
        earlier = dict(load_json(path))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: damaged, or no record of an evaluation ({error}). Give another "
                        "output folder, or delete this one.") from error
    changed = sorted(key for key in earlier.keys() | run.keys()
                     if earlier.get(key) != run.get(key))
    if changed:
        parts = ", ".join(f"{key}: {earlier.get(key)!r} then, {run.get(key)!r} now"
                          for key in changed)
        raise DataError(f"{folder}: holds results of another run ({parts}). "
                        "Give another output folder, or delete this one.")


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a bool [H, W] mask as the 8-bit picture of 0 and 255 that submissions hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_png(path, mask.astype(np.uint8) * 255)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}). Is the disk full?") from error


def mask_path(folder: Path, video: str, expression_id: str, frame: str) -> Path:
    """Where the submission layout of MeViS and Ref-YouTube-VOS has one frame's mask."""
    return folder / "Annotations" / video / expression_id / f"{frame}.png"


def write_zip(folder: Path, target: Path, *, keep_top: bool) -> Path:
    """Zip the pictures below `folder/Annotations`.

    Args:
        folder: The evaluation folder.
        target: The zip to write.
        keep_top: Names begin with `Annotations/` (Ref-YouTube-VOS) or with the video (MeViS).
    """
    top = folder / "Annotations"
    with (whole_file(target) as part,
          zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive):  # PNG is compressed already
        for path in sorted(top.rglob("*.png")):
            archive.write(path, path.relative_to(folder if keep_top else top))
    return target


def weights_digest(model: nn.Module) -> str:
    """Short digest of all weights: results of other weights must not be mixed in."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
