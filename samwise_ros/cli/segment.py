"""`samwise segment`: a video, folder, image or recording in; overlay, masks and records out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import typer

from samwise_ros.cli.frame_progress import STOPPED, stop_after_frame, with_progress
from samwise_ros.cli.segment_options import (
    DepthTopicOption,
    ExpressionOption,
    FitOption,
    ImageSizeOption,
    InfoTopicOption,
    MaxFramesOption,
    ModeOption,
    OutBagOption,
    OutOption,
    PrecisionOption,
    RerunOption,
    SeededOption,
    TokenizerOption,
    TopicOption,
    VideoArgument,
)
from samwise_ros.cli.segment_prompt import (
    BoxOption,
    FrameOption,
    MaskOption,
    PointOption,
    Wanted,
    prompt_of,
    wanted,
)
from samwise_ros.cli.shared_options import (
    DeviceOption,
    EngineOption,
    ModelOption,
    QualityOption,
    check_engine,
    open_model,
)
from samwise_ros.cli.terminal import say
from samwise_ros.config import EngineName, Mode, Precision
from samwise_ros.recordings.storage import is_recording
from samwise_ros.sizes import DEFAULT_MODEL
from samwise_ros.streaming.rerun_file import rerun_log
from samwise_ros.streaming.target_tracker import TargetTracker
from samwise_ros.structures import (
    CommandError,
    ConfigError,
    MissingDependencyError,
    Prompt,
    probability,
)

if TYPE_CHECKING:  # torch takes seconds to import; `samwise segment --help` does not need it
    from samwise_ros.engines.sessions import SessionMaker
    from samwise_ros.model.samwise import SamwiseModel
    from samwise_ros.streaming.clip_runner import ClipFrame
    from samwise_ros.streaming.rerun_log import RerunLog
    from samwise_ros.streaming.result_folder import ResultFolder, SentenceAnswer
    from samwise_ros.streaming.video_io import Frame, FrameSource

_DAMAGED = 3  # exit code when frames were left out
_NAMED = 5  # damaged frames that are named one by one


def segment(
    video: VideoArgument,
    out: OutOption = None,
    expression: ExpressionOption = None,
    point: PointOption = None,
    box: BoxOption = None,
    mask: MaskOption = None,
    frame: FrameOption = 0,
    topic: TopicOption = None,
    depth_topic: DepthTopicOption = None,
    info_topic: InfoTopicOption = None,
    out_bag: OutBagOption = None,
    rerun: RerunOption = None,
    mode: ModeOption = "stream",
    model: ModelOption = DEFAULT_MODEL,
    seeded: SeededOption = False,
    image_size: ImageSizeOption = None,
    fit: FitOption = None,
    quality: QualityOption = "exact",
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    engine: EngineOption = "eager",
    tokenizer: TokenizerOption = None,
    max_frames: MaxFramesOption = None,
) -> None:
    """Find in a video or recording what each sentence names, or a point, box or mask shows.

    Writes to the folder given with --out:

    \b
      overlay.mp4        the video with the targets painted in
      Annotations/VIDEO/N/FRAME.png   masks of expression N, 0 or 255, at camera size
      results.jsonl      one line per frame and expression: time, state, score, box, area
      contact_sheet.png  some frames of the overlay

    Ctrl-C stops after the current frame and leaves all of these complete. What cannot be decoded is
    left out and named, and the exit code is 3.
    \b
      samwise segment street.mp4 -e "the red car" -e "the dog" --out result
      samwise segment street.mp4 --box 10,20,60,90 --frame 5 -e "the dog" --out result
      samwise segment recording                      (lists the image topics)
      samwise segment recording --topic /camera/image_raw -e "the red car" --out result
    """
    _check_mode(mode, precision, engine)
    changes: dict[str, Any] = {name: value for name, value in (
        ("image_size", image_size), ("fit", fit)) if value is not None}
    load = partial(open_model, engine=engine, precision=precision, name=model, device=device,
                   seeded=seeded, tokenizer_dir=tokenizer, quality=quality, **changes)
    if is_recording(video):
        _require_recordings(mode)
        from samwise_ros.cli.segment_recording import RecordingChoice, segment_recording

        choice = RecordingChoice(topic or (), depth_topic or (), info_topic or (), out_bag, rerun)
        segment_recording(video, out, choice, wanted(
            expression or (), prompt_of(point, box, mask), frame), load, max_frames)
    elif topic or depth_topic or info_topic or out_bag:
        raise typer.BadParameter(f"{video} is no recording", param_hint="--topic")
    else:
        _segment_video(video, out, expression, prompt_of(point, box, mask), frame, load, mode,
                       max_frames, rerun)


def _require_recordings(mode: Mode) -> None:
    if mode == "clip":
        raise ConfigError("a recording is answered frame by frame; use --mode stream")
    if missing := [name for name in ("rosbags", "mcap") if find_spec(name) is None]:
        raise MissingDependencyError(f"reading a recording needs {' and '.join(missing)}: "
                                     "pip install 'samwise_ros[recordings]'")


def _segment_video(video: Path, out: Path | None, expression: list[str] | None,
                   prompt: Prompt | None, first: int, load: Callable[[], SessionMaker],
                   mode: Mode, max_frames: int | None, rerun: Path | None) -> None:
    from samwise_ros.cli.dataset_video import sentences_about, video_folder
    from samwise_ros.streaming.result_folder import ResultFolder
    from samwise_ros.streaming.video_io import FrameSource

    if out is None:
        raise typer.BadParameter("say where results go", param_hint="--out")
    if prompt is not None and mode == "clip":
        raise ConfigError("what is shown is followed frame by frame; use --mode stream")
    video = video_folder(video)
    source = FrameSource(video, max_frames)
    targets = wanted(expression or ([] if prompt else sentences_about(video)), prompt, first)
    if not targets:
        raise typer.BadParameter("say what to find", param_hint="--expression")
    with closing(ResultFolder(out, source)) as results, rerun_log(rerun) as log:
        sessions = load()
        answers = (_stream_answers(sessions, source, targets)
                   if mode == "stream" else _clip_answers(sessions.model, source, [
                       str(command.expression) for command in targets.commands]))
        stopped = _write_all(answers, source, results, log)
    _report(results, source)
    if stopped or source.damaged:
        raise typer.Exit(STOPPED if stopped else _DAMAGED)


def _check_mode(mode: Mode, precision: Precision, engine: EngineName) -> None:
    check_engine(mode, engine)
    if mode == "clip" and precision not in ("auto", "fp32"):
        raise ConfigError("clip mode is the published protocol and runs in fp32; use --mode stream "
                          f"for {precision}")


def _write_all(answers: Iterator[tuple[Frame, list[SentenceAnswer]]], source: FrameSource,
               results: ResultFolder, log: RerunLog | None) -> bool:
    """Write all answers; whether Ctrl-C ended it."""
    with stop_after_frame() as stop:
        for frame, found, seconds in with_progress(_timed(answers), source.name, source.count):
            results.add(frame, found)
            if log is not None:
                _show(log, source.name, frame, found, seconds)
            if stop:
                break
    return bool(stop)


def _timed(answers: Iterator[tuple[Frame, list[SentenceAnswer]]]
           ) -> Iterator[tuple[int, tuple[Frame, list[SentenceAnswer], float]]]:
    """Frames done, and each answer with the seconds that reading and answering took."""
    begun = perf_counter()
    for frame, found in answers:
        yield frame.index + 1, (frame, found, perf_counter() - begun)
        begun = perf_counter()


def _show(log: RerunLog, name: str, frame: Frame, found: list[SentenceAnswer],
          seconds: float) -> None:
    from samwise_ros.streaming.image_ops import tight_box
    from samwise_ros.streaming.rerun_log import ShownTarget

    log.answer(name, frame, [
        ShownTarget(str(number), answer.expression, answer.state, probability(answer.object_score),
                    answer.mask, tight_box(answer.mask))
        for number, answer in enumerate(found)], seconds)


def _report(results: ResultFolder, source: FrameSource) -> None:
    say(f"{results.frames} frames -> {results.folder}")
    if source.damaged:
        shown = [f"{name}: {fault}" for name, fault in islice(source.damaged.items(), _NAMED)]
        more = len(source.damaged) - len(shown)
        say(f"damaged frames, left out: {len(source.damaged)} ("
            + "; ".join(shown + [f"and {more} more"] * bool(more)) + ")", error=True)


def _stream_answers(sessions: SessionMaker, source: FrameSource, targets: Wanted,
                    ) -> Iterator[tuple[Frame, list[SentenceAnswer]]]:
    """Answers frame by frame, all targets at once. Bad commands raise before any frame."""
    from samwise_ros.streaming.result_folder import SentenceAnswer

    session, rehearsal = (sessions(targets=len(targets.commands)) for _ in range(2))
    for command in targets.commands:
        rehearsal.submit(command)

    def run() -> Iterator[tuple[Frame, list[SentenceAnswer]]]:
        for frame in source:
            if not session.command and frame.index >= targets.first:
                for command in targets.commands:
                    session.submit(command)
            result = session.step(frame.rgb)
            if result.refused:
                raise CommandError(f"frame {frame.name}: {'; '.join(result.refused)}")
            yield frame, [SentenceAnswer(t.name, t.state, t.object_score, t.mask, t.switched)
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
