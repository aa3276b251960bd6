"""Options that several commands share, and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samwise_ros.cli.terminal import say
from samwise_ros.config import EngineName, Mode, Precision
from samwise_ros.quality import Quality
from samwise_ros.structures import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import; `samwise segment --help` does not need it
    from samwise_ros.engines.sessions import SessionMaker

ModelOption = Annotated[str, typer.Option(
    help="Size (mini, nano, tiny), released name (mevis, ytvos), file or folder.")]
QualityOption = Annotated[Quality, typer.Option(
    help="exact: as trained. balanced, fast: 3/4, 1/2 of the input's side; fast reads a quarter of "
    "the memory. Their price: docs/performance.md.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
EngineOption = Annotated[EngineName, typer.Option(
    help="Stream mode only: what runs the frames. All but eager are prepared for some minutes the "
    "first time; docs/performance.md has figures.")]

# A set of clips, simulated or composed.
ClipsOutOption = Annotated[Path, typer.Option(help="Output folder, in the MeViS layout.")]
ClipsSeedOption = Annotated[int, typer.Option(min=0, help="Seed; equal seeds give equal files.")]
ClipsOption = Annotated[int, typer.Option(min=1, help="Number of videos.")]
FramesOption = Annotated[int, typer.Option(min=1, help="Frames per video; 1 makes stills.")]
SizeOption = Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes.")]


def open_model(*, name: str, engine: EngineName, precision: Precision, device: str,
               **settings: Any) -> SessionMaker:
    """A model for sessions with an engine, which is refused before weights are read.

    Args:
        name, settings: As `load_model` takes them. engine, precision: Of the sessions.
        device: As asked for.
    """
    from samwise_ros.config import SessionConfig
    from samwise_ros.engines.choice import engine_device
    from samwise_ros.engines.sessions import SessionMaker
    from samwise_ros.model.checkpoint import load_model

    model = load_model(name, device=engine_device(engine, device), **settings)
    return SessionMaker(model, engine, SessionConfig(precision=precision), tell=say)


def check_engine(mode: Mode, engine: EngineName) -> None:
    """Raise ConfigError for an engine in clip mode, which is the published protocol."""
    if mode == "clip" and engine != "eager":
        raise ConfigError(f"clip mode runs as it is, by torch; use --mode stream for {engine}")


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Width and height [px] from "WIDTHxHEIGHT".

    Raises:
        typer.BadParameter: the text is not of that form.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise typer.BadParameter(f"expected WIDTHxHEIGHT, got {text!r}", param_hint=option)
    return int(width), int(height)
