"""The `samwise` program: sub-commands are imported when they are called, not before.

`samwise --help` must answer at once, so this file imports neither torch nor the library.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import samwise_ros
from samwise_ros.allocator import keep_freed_memory
from samwise_ros.cli.terminal import say
from samwise_ros.structures import MissingDependencyError, SamwiseError


@dataclass(frozen=True)
class LazyCommand:
    """A sub-command that is imported on use.

    Attributes:
        help: One line for `samwise --help`.
        panel: Heading under which it is listed.
        extra: pip extra with the optional packages that it needs, None when it needs none.
        module: In `samwise_ros.cli`; it has `app` (a Typer with sub-commands) or a function with
            the command's name (`-` written as `_`).
    """

    help: str
    panel: str
    extra: str | None
    module: str


_USE, _WEIGHTS, _LEARN = "Use", "Weights", "Train and measure"
COMMANDS = {
    "segment": LazyCommand("Find what a sentence names in a video, folder or image.",
                           _USE, None, "segment"),
    "live": LazyCommand("Watch a camera or video on a page, and command from there.",
                        _USE, "live", "live"),
    "demo": LazyCommand("Watch the node at work on a simulated robot camera.",
                        _USE, "sim", "demo"),
    "benchmark": LazyCommand("Time stream mode against clip mode, part by part.",
                             _USE, None, "benchmark"),
    "bench": LazyCommand("Measure the ROS node: its own cost, the transport's, endurance.",
                         _USE, "ros", "bench"),
    "bench gpu": LazyCommand("Check a model on a GPU and time it there, in eight minutes.",
                             _USE, None, "bench_gpu"),
    "bench orin": LazyCommand("Project the time of a frame on Jetson Orin; nothing is measured.",
                              _USE, None, "bench_orin"),
    "doctor": LazyCommand("Check this machine's set-up.", _USE, None, "doctor"),
    "checkpoint": LazyCommand("Download, inspect and convert weights.",
                              _WEIGHTS, None, "checkpoint"),
    "export": LazyCommand("Write a model's step as ONNX, for other runtimes.",
                          _WEIGHTS, "onnx", "export"),
    "parity": LazyCommand("Compare with a recording of the official code.",
                          _WEIGHTS, None, "parity"),
    "train-tokenizer": LazyCommand("Train a small tokeniser on your sentences.",
                                   _WEIGHTS, None, "train_tokenizer"),
    "simulate": LazyCommand("Make training videos with sentences and masks.",
                            _LEARN, "sim", "simulate"),
    "compose": LazyCommand("Make training videos of photographic cut-outs over photographs.",
                           _LEARN, "compose", "compose"),
    "convert-data": LazyCommand("Bring data sets into the layouts that are read here.",
                                _LEARN, "train", "convert_data"),
    "train": LazyCommand("Train or fine-tune a model.", _LEARN, "train", "train"),
    "evaluate": LazyCommand("Score a model on a benchmark.", _LEARN, "train", "evaluate"),
    "evaluate photos": LazyCommand("Score a model on annotated real photos.", _LEARN, None,
                                   "evaluate_photos"),
}


def load_command(name: str) -> Any:
    """Import a sub-command and return its click command.

    Raises MissingDependencyError, naming the pip extra, when an optional package is absent.
    """
    entry = COMMANDS[name]
    try:
        module = import_module(f"samwise_ros.cli.{entry.module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "samwise_ros":
            raise
        remedy = f"'samwise_ros[{entry.extra}]'" if entry.extra else "samwise_ros --force-reinstall"
        raise MissingDependencyError(f"`samwise {name}` needs the Python package {error.name}, "
                                     f"which is not installed: pip install {remedy}") from error
    program = getattr(module, "app", None)
    if program is None:
        program = typer.Typer(add_completion=False, rich_markup_mode="rich")
        program.command(name)(getattr(module, name.translate(str.maketrans("- ", "__"))))
    return typer.main.get_command(program)


class _LazyGroup(TyperGroup):
    """Lists sub-commands from the table; imports one when it is to run.

    `ctx` is click's, or that of the click that newer versions of typer bring with them.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the table."""
        return [name for name, entry in COMMANDS.items()
                if find_spec(f"samwise_ros.cli.{entry.module}") is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """A stand-in that knows its name and help only."""
        if cmd_name not in self.list_commands(ctx):
            return None
        entry = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=entry.help, short_help=entry.help,
                            rich_help_panel=entry.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the stand-in of the command that is called by the command."""
        name, command, rest = super().resolve_command(ctx, args)
        two_words = f"{name} {rest[0]}" if rest else ""
        if two_words in COMMANDS:
            name, rest = two_words, rest[1:]
        return name, load_command(name) if name and command else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Run; an error that the package raises on purpose becomes one red line and exit code 2."""
        try:
            return super().invoke(ctx)
        except SamwiseError as error:
            if ctx.params.get("debug"):
                raise
            say(f"error: {error}", error=True)
            raise typer.Exit(2) from error


app = typer.Typer(cls=_LazyGroup, no_args_is_help=True, rich_markup_mode="rich",
                  pretty_exceptions_show_locals=False,
                  context_settings={"help_option_names": ["-h", "--help"]})


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"samwise_ros {samwise_ros.__version__}")
        raise typer.Exit()


@app.callback()
def samwise(
    version: Annotated[bool | None, typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version.")] = None,
    debug: Annotated[bool, typer.Option(
        "--debug", help="Show the whole traceback of an error.")] = False,
) -> None:
    """Find in a video what a sentence names: SAMWISE, frame by frame.

    A first try, with random weights, to see that everything runs:

    \b
      samwise segment video.mp4 --expression "the dog" \\
          --model tiny --image-size 256 --seeded --out result

    Released weights, two targets at once, half the published resolution:

    \b
      samwise checkpoint download mevis
      samwise segment video.mp4 --model mevis --image-size 512 --out result \\
          --expression "the dog that jumps" --expression "the person on the left"

    `samwise COMMAND --help` explains a command. Exit codes: 0 done, 2 wrong use or input, 3 done
    except for damaged frames, 130 stopped with Ctrl-C.
    """


def main() -> None:
    """Entry point of the `samwise` program."""
    keep_freed_memory()
    try:
        app(prog_name="samwise")
    finally:
        gc.freeze()  # torch leaves millions of objects, whose last collection may take minutes


if __name__ == "__main__":
    main()
