"""`samwise train`: one stage of training from a recipe."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from samwise_ros.model.checkpoint_files import CONFIG_FILE, WEIGHTS_FILE
from samwise_ros.model.tokenizer import TOKENIZER_FILES
from samwise_ros.training.export import export_checkpoint
from samwise_ros.training.loop import BEST, LAST, Trainer
from samwise_ros.training.recipe import load_config
from samwise_ros.user_files import claim_outputs

SHOWN = ("total", "dice", "score")


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file, such as config/train/mevis.yaml.")],
    resume: Annotated[bool, typer.Option(help="Go on from the output folder.")] = False,
    changes: Annotated[list[str] | None, typer.Option(
        "--set", metavar="KEY=VALUE",
        help="Change a setting of the recipe: optim.lr=1e-4.")] = None,
    max_minutes: Annotated[float | None, typer.Option(
        min=0.0, help="Save and stop after this long; go on with --resume.")] = None,
    export: Annotated[Path | None, typer.Option(
        help="At the end, write the weights as a model folder for --model.")] = None,
) -> None:
    """Train or fine-tune a model as a recipe says.

    Writes last.safetensors, best.safetensors, history.csv, pictures and TensorBoard logs to the
    recipe's folder, which must not hold another training.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = load_config(recipe, changes or ())
    _claim(Path(config.out), resume, export)
    trainer = Trainer(config, resume)
    console = Console(stderr=True)
    console.print(f"{trainer.config.name}: {trainer.trained:,} trained numbers, "
                  f"{trainer.steps} steps, output in {trainer.out}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=trainer.steps, completed=trainer.progress.step)

        def show(step: int, steps: int, losses: dict[str, float]) -> None:
            text = " ".join(f"{name} {losses[name]:.3f}" for name in SHOWN if name in losses)
            bar.update(task, completed=step, description=text)

        progress = trainer.run(max_minutes, show)
    if export is not None:
        export_checkpoint(trainer.out / LAST, export)
        console.print(f"model folder: {export}")
    done = "finished" if progress.step >= trainer.steps else "stopped, go on with --resume"
    console.print(f"{done}: step {progress.step} of {trainer.steps}, "
                  f"{progress.seconds / 60:.1f} minutes in all, {trainer.out / LAST}")


def _claim(out: Path, resume: bool, export: Path | None) -> None:
    """Refuse to write over another training or model, before hours are spent."""
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:  # the first process may have begun to write
        return
    if not resume:
        claim_outputs(out, (LAST, BEST, "history.csv"))
    if export is not None:
        claim_outputs(export, (WEIGHTS_FILE, CONFIG_FILE, *TOKENIZER_FILES))
