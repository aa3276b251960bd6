"""Lines for the terminal that carry what people named: paths and sentences."""

from __future__ import annotations

import sys

import typer


def say(text: str, *, error: bool = False) -> None:
    """Print one line as it is: no markup, no wrapping, and every byte of a file's name.

    `error`: to stderr, red where that is a terminal.
    """
    if error and sys.stderr.isatty():
        text = typer.style(text, fg="red", bold=True)
    try:
        line = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character out of a JSON file
        line = text.encode("utf-8", "backslashreplace")
    typer.echo(line, err=error)
