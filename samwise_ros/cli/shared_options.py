"""Options that several commands share, and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samwise_ros.quality import Quality

ModelOption = Annotated[str, typer.Option(
    help="Size (nano, tiny), released name (mevis, ytvos), file or folder.")]
QualityOption = Annotated[Quality, typer.Option(
    help="exact: as trained. balanced, fast: 3/4, 1/2 of the input's side; fast reads a quarter of "
    "the memory. Their price: docs/performance.md.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]

# A set of clips, simulated or composed.
ClipsOutOption = Annotated[Path, typer.Option(help="Output folder, in the MeViS layout.")]
ClipsSeedOption = Annotated[int, typer.Option(min=0, help="Seed; equal seeds give equal files.")]
ClipsOption = Annotated[int, typer.Option(min=1, help="Number of videos.")]
FramesOption = Annotated[int, typer.Option(min=1, help="Frames per video; 1 makes stills.")]
SizeOption = Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes.")]


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Width and height [px] from "WIDTHxHEIGHT".

    Raises:
        typer.BadParameter: the text is not of that form.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise typer.BadParameter(f"expected WIDTHxHEIGHT, got {text!r}", param_hint=option)
    return int(width), int(height)
