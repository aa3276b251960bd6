"""`samwise bench`: what node and transport cost beside the model, and whether it stays so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samwise_ros.cli.demo import MODEL, report_run, require_ros
from samwise_ros.demos.options import (
    BYTES_PER_PIXEL,
    EnduranceOptions,
    OverheadOptions,
    TransportOptions,
)

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="rich",
                  help="Measure the ROS node over DDS. `samwise benchmark` times the model alone.")


@app.command()
def node(
    frames: Annotated[int, typer.Option(min=1, help="Measured frames per encoding.")] = 60,
    model_ms: Annotated[float,
                        typer.Option(min=0, help="Time that the model takes, in ms.")] = 50.0,
    encoding: Annotated[list[str] | None, typer.Option(
        help="Of the images; may be repeated. Default: all of "
        f"{', '.join(BYTES_PER_PIXEL)}.", show_default=False)] = None,
) -> None:
    """Print the node overhead: hand-over, decoding and publishing per 1280x720 image.

    The real node with a model that only waits; camera and listener are another process.
    """
    require_ros()
    from samwise_ros.demos.bench.node_overhead import measure, table

    options = OverheadOptions(tuple(encoding or BYTES_PER_PIXEL), frames, model_ms)
    typer.echo(table(measure(options)))


@app.command()
def transport(
    size: Annotated[list[str] | None, typer.Option(
        help="Of the images, WIDTHxHEIGHT; may be repeated. Default: "
        f"{', '.join(TransportOptions.sizes)}.", show_default=False)] = None,
    frames: Annotated[int, typer.Option(min=1, help="Of each kind in each round.")] = 20,
    rate: Annotated[float, typer.Option(min=1, max=100, help="Frames/s.")] = 15.0,
    rounds: Annotated[int, typer.Option(min=1, help="Through all transports in turn.")] = 3,
) -> None:
    """Print what an image costs between two processes: rgb8 and JPEG, by transport of Fast DDS.

    A Python camera and a Python subscriber, no model; takes five minutes.
    """
    require_ros()
    from samwise_ros.demos.bench.transport import measure, table

    options = TransportOptions(tuple(size or TransportOptions.sizes), frames, rate, rounds)
    typer.echo(table(measure(options)))


@app.command()
def endurance(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("endurance_out"),
    minutes: Annotated[float, typer.Option(min=0, help="Length of the run.")] = 60.0,
    rate: Annotated[float, typer.Option(min=1, max=60, help="Of the camera, frames/s.")] = 10.0,
    model: Annotated[str, MODEL] = "nano",
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated scene.")] = 0,
    video: Annotated[Path | None, typer.Option(
        help="Video or folder of images to play instead.")] = None,
    expression: Annotated[list[str] | None, typer.Option(
        "--expression", "-e", help="What to find in that video; may be repeated.")] = None,
    period: Annotated[float, typer.Option(min=1, help="Seconds per sample.")] = 60.0,
    command_every: Annotated[float, typer.Option(min=0, help="Minutes.")] = 5.0,
    toggle_every: Annotated[float, typer.Option(min=0, help="Minutes.")] = 10.0,
    trouble: Annotated[bool, typer.Option(
        "--trouble", help="With a target frame, listeners that stall, a camera that is lost and "
        "storms of commands in every period.")] = False,
) -> None:
    """Find out whether the node stays as quick and as small as it was in the first minutes.

    Plays a simulated scene as a camera, changes the command, takes the node down and up again, and
    writes endurance.csv as it goes, then report.json with a verdict, and endurance.png. Exit code 0
    also for a run that does not pass.
    """
    require_ros()
    from samwise_ros.demos.bench.endurance import explain, run_endurance

    report_run(run_endurance, explain, EnduranceOptions(
        out, minutes, rate, model, seed, video, tuple(expression or ()), period, command_every,
        toggle_every, trouble))
