"""`samwise simulate`: videos of a simulated robot camera with sentences and masks."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from samwise_ros.cli.shared_options import (
    ClipsOption,
    ClipsOutOption,
    ClipsSeedOption,
    FramesOption,
    SizeOption,
    WorkersOption,
    parse_size,
)
from samwise_ros.cli.terminal import say


class Split(str, Enum):
    """The splits; only test has the held-out colour and class pairs and wordings."""

    train = "train"
    val = "val"
    test = "test"


class Probe(str, Enum):
    """Scenes made to test something."""

    late_target = "late_target"


def simulate(
    out: ClipsOutOption,
    split: Annotated[Split, typer.Option(help="Which split.")] = Split.train,
    seed: ClipsSeedOption = 0,
    clips: ClipsOption = 100,
    frames: FramesOption = 16,
    size: SizeOption = "320x240",
    fps: Annotated[float, typer.Option(help="Frames per second of simulated time.")] = 8.0,
    workers: WorkersOption = 2,
    depth: Annotated[bool, typer.Option(help="Also depth (16-bit PNG, mm) and poses.")] = False,
    probe: Annotated[Probe | None, typer.Option(
        help="late_target: a look-alike is in view, what is named enters later.")] = None,
) -> None:
    """Make videos of simulated scenes with sentences and masks, in the MeViS layout.

    Run it again with the same arguments to go on after an interruption.

    \b
      samwise simulate --split train --seed 1 --clips 200 --out data/sim_train
      samwise simulate --probe late_target --split test --frames 24 --clips 20 --out data/late
    """
    from samwise_ros.sim.generate import DatasetRequest, generate
    from samwise_ros.sim.plan import SceneSettings

    width, height = parse_size(size)
    try:
        settings = SceneSettings(width=width, height=height, fps=fps, frames=frames)
        request = DatasetRequest(split.value, seed, clips, out, settings, depth,
                                 probe.value if probe else None)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    made = generate(request, workers)
    say(f"{made} clips rendered, {clips - made} were there already: {out}")
