"""No file that training reads can run code."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training_builders import recipe, write_packed

from samwise_ros.config import build_config
from samwise_ros.structures import CheckpointError
from samwise_ros.training.blend import blend_checkpoints
from samwise_ros.training.build import make_model
from samwise_ros.training.calibration import score_by_shift
from samwise_ros.training.export import export_checkpoint, slim_checkpoint
from samwise_ros.training.loop import LAST, Trainer
from samwise_ros.training.recipe import TrainConfig


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.witness), "w")


@pytest.fixture(params=["torch", "pickle"])
def trap(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run's folder whose last checkpoint is a pickle with code in it."""
    content = {"format": 1, "model": Trap(tmp_path / "witness")}
    path = tmp_path / "out" / LAST
    path.parent.mkdir()
    if request.param == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


def config(trap: Path, **model: object) -> TrainConfig:
    packed = write_packed(trap.parents[1] / "packed", clips=1)
    values = recipe(packed, trap.parent)
    return build_config(TrainConfig, {**values, "model": {**values["model"], **model}}, "test")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("read", [
    lambda path: Trainer(config(path), resume=True),
    lambda path: make_model(config(path, init=str(path))),
    lambda path: blend_checkpoints(path, path, 0.5, path.parent / "out.safetensors"),
    lambda path: export_checkpoint(path, path.parent / "folder"),
    lambda path: slim_checkpoint(path, path.parent / "slim.safetensors"),
    lambda path: list(score_by_shift(path, [], 2, 8)),
], ids=["resume", "init", "blend", "export", "slim", "calibration"])
def test_a_pickle_is_refused_and_not_run(trap: Path, read: Callable[[Path], object],
                                         suffix: str) -> None:
    path = trap.with_suffix(suffix)
    if path != trap:
        path.write_bytes(trap.read_bytes())
    with pytest.raises(CheckpointError):
        read(path)
    assert not (trap.parents[1] / "witness").exists()


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "witness")))
    assert (tmp_path / "witness").exists()
