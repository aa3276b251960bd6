"""`samwise segment`: a video, folder or image in; overlay, masks and records out."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from samwise_ros.cli.shared_options import DeviceOption, ModelOption
from samwise_ros.cli.terminal import say
from samwise_ros.config import Fit, Mode, Precision
from samwise_ros.streaming.target_tracker import TargetTracker
from samwise_ros.structures import ConfigError, probability

if TYPE_CHECKING:  # torch takes seconds to import; `samwise segment --help` does not need it
    from samwise_ros.model.samwise import SamwiseModel
    from samwise_ros.streaming.clip_runner import ClipFrame
    from samwise_ros.streaming.result_folder import ResultFolder, SentenceAnswer
    from samwise_ros.streaming.video_io import Frame, FrameSource

_STOPPED = 130  # exit code after Ctrl-C, as shells expect
_DAMAGED = 3  # exit code when frames were left out
_NAMED = 5  # damaged frames that are named one by one


VideoArgument = Annotated[Path, typer.Argument(
    metavar="VIDEO|FOLDER|IMAGE",
    help="Video file, folder of images in name order, image, or a folder "
    "made by `samwise simulate` (its first video).", show_default=False)]
OutOption = Annotated[Path, typer.Option(
    help="Folder for the results; results that it holds are never replaced.", show_default=False)]
ExpressionOption = Annotated[list[str] | None, typer.Option(
    "--expression", "-e",
    help="What to find. Repeat it for several targets. A simulated video brings "
    "its own sentences.", show_default=False)]
ModeOption = Annotated[Mode, typer.Option(
    help="stream: frame by frame, no look-ahead. clip: the published protocol, windows of 8.")]
SeededOption = Annotated[bool, typer.Option(
    "--seeded", help="Random weights: tries the program, finds nothing.")]
ImageSizeOption = Annotated[int | None, typer.Option(
    help="Longest input side, a multiple of 64. Default: the model's own.")]
FitOption = Annotated[Fit | None, typer.Option(
    help="pad: square input. rectangle: no padding. Default: the model's own.")]
PrecisionOption = Annotated[Precision, typer.Option(
    help="Stream mode only. auto: bf16 on GPUs from Ampere on, else fp32.")]
TokenizerOption = Annotated[Path | None, typer.Option(
    help="Folder with vocab.json and merges.txt, if not beside the weights.")]
MaxFramesOption = Annotated[int | None, typer.Option(min=1, help="Stop after this many frames.")]


def segment(
    video: VideoArgument,
    out: OutOption,
    expression: ExpressionOption = None,
    mode: ModeOption = "stream",
    model: ModelOption = "nano",
    seeded: SeededOption = False,
    image_size: ImageSizeOption = None,
    fit: FitOption = None,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    tokenizer: TokenizerOption = None,
    max_frames: MaxFramesOption = None,
) -> None:
    """Find in a video what each sentence names.

    Writes to the folder given with --out:

    \b
      overlay.mp4        the video with the targets painted in
      Annotations/VIDEO/N/FRAME.png   masks of expression N, 0 or 255, at camera size
      results.jsonl      one line per frame and expression: time, state, score, box, area
      contact_sheet.png  some frames of the overlay

    Ctrl-C stops after the current frame and leaves all of these complete. Frames that cannot be
    decoded are left out and named, and the exit code is 3.

    \b
      samwise segment street.mp4 -e "the red car" -e "the dog" --out result
      samwise simulate --split test --seed 7 --clips 1 --frames 24 --out fresh
      samwise segment fresh --out result
    """
    from samwise_ros.cli.dataset_video import sentences_about, video_folder
    from samwise_ros.model.checkpoint import load_model
    from samwise_ros.streaming.result_folder import ResultFolder
    from samwise_ros.streaming.video_io import FrameSource

    _check_precision(mode, precision)
    video = video_folder(video)
    source = FrameSource(video, max_frames)
    expression = expression or sentences_about(video)
    if not expression:
        raise typer.BadParameter("say what to find", param_hint="--expression")
    changes: dict[str, Any] = {"image_size": image_size, "fit": fit}
    with closing(ResultFolder(out, source)) as results:
        loaded = load_model(model, device=device, seeded=seeded, tokenizer_dir=tokenizer,
                            **{name: value for name, value in changes.items() if value is not None})
        answers = (_stream_answers(loaded, source, expression, precision)
                   if mode == "stream" else _clip_answers(loaded, source, expression))
        stopped = _write_all(answers, source, results)
    _report(results, source)
    if stopped or source.damaged:
        raise typer.Exit(_STOPPED if stopped else _DAMAGED)


def _check_precision(mode: Mode, precision: Precision) -> None:
    if mode == "clip" and precision not in ("auto", "fp32"):
        raise ConfigError("clip mode is the published protocol and runs in fp32; use --mode stream "
                          f"for {precision}")


def _write_all(answers: Iterator[tuple[Frame, list[SentenceAnswer]]], source: FrameSource,
               results: ResultFolder) -> bool:
    """Write all answers; whether Ctrl-C ended it."""
    with _stop_after_frame() as stop:
        for frame, found in _with_progress(answers, source):
            results.add(frame, found)
            if stop:
                break
    return bool(stop)


def _report(results: ResultFolder, source: FrameSource) -> None:
    say(f"{results.frames} frames -> {results.folder}")
    if source.damaged:
        shown = [f"{name}: {fault}" for name, fault in islice(source.damaged.items(), _NAMED)]
        more = len(source.damaged) - len(shown)
        say(f"damaged frames, left out: {len(source.damaged)} ("
            + "; ".join(shown + [f"and {more} more"] * bool(more)) + ")", error=True)


def _stream_answers(model: SamwiseModel, source: FrameSource, expressions: list[str],
                    precision: Precision) -> Iterator[tuple[Frame, list[SentenceAnswer]]]:
    """Answers frame by frame, all expressions at once. Bad expressions raise before any frame."""
    from samwise_ros.config import SessionConfig
    from samwise_ros.streaming.result_folder import SentenceAnswer
    from samwise_ros.streaming.session import StreamingSession
    from samwise_ros.structures import Command, CommandKind

    session = StreamingSession(model, SessionConfig(precision=precision,
                                                    max_targets=max(16, len(expressions))))
    for index, text in enumerate(expressions):
        session.submit(Command(CommandKind.ADD, str(index), text))

    def run() -> Iterator[tuple[Frame, list[SentenceAnswer]]]:
        for frame in source:
            result = session.step(frame.rgb)
            yield frame, [SentenceAnswer(t.expression, t.state, t.object_score, t.mask, t.switched)
                          for t in result.targets]

    return run()


def _clip_answers(model: SamwiseModel, source: FrameSource,
                  expressions: list[str]) -> Iterator[tuple[Frame, list[SentenceAnswer]]]:
    """Answers of one run per expression, in step; each run reads the video for itself."""
    from samwise_ros.streaming.clip_runner import ClipRunner

    model.tokenizer(expressions)  # raises for a bad one before any frame
    runs = [ClipRunner(model).run((frame.rgb for frame in source), text) for text in expressions]
    trackers = [TargetTracker() for _ in expressions]
    for frame, *found in zip(source, *runs, strict=True):
        yield frame, [_clip_answer(*each) for each in zip(expressions, found, trackers,
                                                          strict=True)]


def _clip_answer(text: str, frame: ClipFrame, tracker: TargetTracker) -> SentenceAnswer:
    """The answer with the state that follows from what was seen so far, as in stream mode."""
    from samwise_ros.streaming.result_folder import SentenceAnswer

    state = tracker.update(probability(frame.object_score), bool(frame.mask.any()))
    return SentenceAnswer(text, state, frame.object_score, frame.mask, frame.switched)


def _with_progress(answers: Iterator[tuple[Frame, list[SentenceAnswer]]],
                   source: FrameSource) -> Iterator[tuple[Frame, list[SentenceAnswer]]]:
    """Show a progress bar with frames per second on the terminal while iterating."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[fps]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(source.name, total=source.count, fps="")
        for answer in answers:
            yield answer
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            progress.update(task, completed=answer[0].index + 1,
                            fps=f"{speed:.1f} frames/s" if speed else "")


@contextmanager
def _stop_after_frame() -> Iterator[list[int]]:
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
