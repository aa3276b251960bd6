"""Several processes: real ones, which talk to each other, on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_builders import recipe, write_packed, write_recipe

from samwise_ros.training.checkpointing import read_state
from samwise_ros.training.loop import BEST, LAST

TIMEOUT = 180  # seconds; a hang is found by it


@pytest.mark.parametrize("options", [(), ("--max-minutes", "0.001")])
def test_two_processes_train_score_save_and_end(tmp_path: Path, options: tuple[str, ...]) -> None:
    packed = write_packed(tmp_path / "packed")
    path = write_recipe(tmp_path / "recipe.yaml", recipe(
        packed, tmp_path / "out", steps=4, val_every=2, val_expressions=4, devices=2,
        accelerator="cpu"))
    command = [sys.executable, "-m", "samwise_ros.cli.main", "train", str(path), *options]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=TIMEOUT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = 1 if options else 4
    assert read_state(tmp_path / "out" / LAST)["progress"]["step"] == steps
    lines = (tmp_path / "out" / "history.csv").read_text().splitlines() if not options else []
    assert len(lines) == len(set(lines))  # one process writes it
    assert (tmp_path / "out" / BEST).exists() == (not options)
