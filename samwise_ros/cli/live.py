"""`samwise live`: a page that shows what a camera sees, and takes commands."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from typing import Annotated, Any

import typer

from samwise_ros.cli.live_sources import is_simulated, open_source, source_names
from samwise_ros.cli.segment_options import (
    ImageSizeOption,
    PrecisionOption,
    SeededOption,
    TokenizerOption,
)
from samwise_ros.cli.shared_options import DeviceOption, EngineOption, open_model
from samwise_ros.cli.terminal import say
from samwise_ros.live.board import Board
from samwise_ros.live.player import Player
from samwise_ros.live.server import PageServer, check_port
from samwise_ros.sizes import DEFAULT_MODEL

_MOST_CAMERAS = 16


def live(
    source: Annotated[list[str], typer.Argument(
        metavar="SOURCE...", show_default=False,
        help="Video file, folder of images or image (played in a loop), number of a camera, or sim "
        "(sim:3: another scene) for the simulated camera. Several: several cameras.")],
    expression: Annotated[str, typer.Option(
        "--expression", "-e", help="First command.", show_default=False)] = "",
    port: Annotated[int, typer.Option(
        min=0, max=65535, help="Of the page; 0: any that is free.")] = 8080,
    address: Annotated[str, typer.Option(
        help="To listen on. 0.0.0.0: other machines may look, too, with the token that is printed.",
    )] = "localhost",
    model: Annotated[str, typer.Option(
        help="Size (mini, nano, tiny), released name (mevis, ytvos), file or folder. [default: "
        "mini; of simulated cameras alone nano, which knows their toys]",
        show_default=False)] = "",
    seeded: SeededOption = False,
    image_size: ImageSizeOption = None,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    engine: EngineOption = "eager",
    tokenizer: TokenizerOption = None,
) -> None:
    """Show on a page what a camera sees and where the target is, and take commands there.

    Pictures are taken as they come; those for which the model has no time are left out. Ctrl-C ends
    it.

    \b
      samwise live sim                            (the simulated camera)
      samwise live clip.mp4 -e "the red cup"
      samwise live 0 2 --address 0.0.0.0          (two cameras, seen from other machines)
    """
    if len(source) > _MOST_CAMERAS:
        raise typer.BadParameter(f"at most {_MOST_CAMERAS} cameras", param_hint="SOURCE")
    check_port(port, address)
    sources = dict(zip(source_names(source), map(open_source, source), strict=True))

    changes: dict[str, Any] = {} if image_size is None else {"image_size": image_size}
    known = "nano" if all(map(is_simulated, source)) else DEFAULT_MODEL
    new_session = open_model(name=model or known, engine=engine, precision=precision,
                             device=device, seeded=seeded, tokenizer_dir=tokenizer, **changes)
    board = Board(tuple(sources))
    player = Player(sources, {name: new_session() for name in sources}, board)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with closing(player):
        if expression:
            player.command("", expression)
        with closing(PageServer(board, player.command, port, address)) as server:
            say(f"open {server.url}")
            player.start()
            try:
                player.wait()
            except KeyboardInterrupt:
                pass
