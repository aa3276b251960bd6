"""A progress bar over frames, and Ctrl-C between two of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

STOPPED = 130  # exit code after Ctrl-C, as shells expect
Answer = TypeVar("Answer")


def with_progress(answers: Iterable[tuple[int, Answer]], name: str,
                  count: int | None) -> Iterator[Answer]:
    """Show a progress bar with frames per second on the terminal while iterating.

    Args:
        answers: Each with the number of frames that are done with it.
        name: Of the video.
        count: Of its frames, None where nothing says.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[fps]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=count, fps="")
        for done, answer in answers:
            yield answer
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            progress.update(task, completed=done, fps=f"{speed:.1f} frames/s" if speed else "")


@contextmanager
def stop_after_frame() -> Iterator[list[int]]:
    """Turn the first Ctrl-C into an entry of the list; a second one interrupts at once."""
    stop: list[int] = []
    previous = signal.getsignal(signal.SIGINT)

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        stop.append(number)
        signal.signal(signal.SIGINT, previous)
        # Not through Python's buffers: they may be in use where the signal arrives.
        os.write(2, b"\nstopping after this frame; Ctrl-C again stops at once\n")

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
