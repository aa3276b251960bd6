"""`samwise segment` of a recording: cameras chosen by topic, depth where there is any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from samwise_ros.cli.frame_progress import STOPPED, stop_after_frame, with_progress
from samwise_ros.cli.segment_prompt import Wanted
from samwise_ros.cli.terminal import say
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.recordings.camera import (
    AnsweredFrame,
    CameraSettings,
    CameraTopics,
    PlacedFrame,
)
from samwise_ros.recordings.files import Recording, Topic
from samwise_ros.recordings.message_types import MessageTypes
from samwise_ros.recordings.result_bag import ResultBag
from samwise_ros.recordings.run import RecordingRun
from samwise_ros.recordings.topics import choose_cameras, shown_topics
from samwise_ros.streaming.rerun_file import rerun_log
from samwise_ros.streaming.result_folder import ResultFolder, SentenceAnswer
from samwise_ros.streaming.target_tracker import TrackSettings
from samwise_ros.streaming.track_figures import TrackFigures
from samwise_ros.structures import TargetState

if TYPE_CHECKING:
    from samwise_ros.streaming.rerun_log import RerunLog

_DAMAGED = 3  # exit code when messages were left out
_NAMED = 5  # of them that are named one by one
_FASTEST, _SLOWEST = 120.0, 1.0  # frames per second of the overlay


@dataclass(frozen=True)
class RecordingChoice:
    """What of a recording is wanted: topics in one order, new files or None."""

    topics: Sequence[str]
    depth_topics: Sequence[str]
    info_topics: Sequence[str]
    out_bag: Path | None
    rerun: Path | None


@dataclass
class _Camera:
    """What `ResultFolder` asks of a source."""

    name: str
    path: Path
    rate: float


def segment_recording(path: Path, out: Path | None, choice: RecordingChoice,
                      targets: Wanted, load: Callable[[], SessionMaker],
                      max_frames: int | None) -> None:
    """Answer cameras of a recording; without topics list what there is."""
    types = MessageTypes()
    with closing(Recording(path)) as recording:
        if not choice.topics:
            _list_topics(recording, types)
            return
        if out is None or not targets:
            raise typer.BadParameter("say where results go and what to find",
                                     param_hint="--out, --expression")
        cameras = choose_cameras(recording.topics, choice.topics, choice.depth_topics,
                                 choice.info_topics)
        with ExitStack() as stack:
            folders = {camera.name: stack.enter_context(closing(ResultFolder(
                out / camera.name if len(cameras) > 1 else out, _Camera(
                    camera.name, path, _rate(recording, recording.topics[camera.image])))))
                for camera in cameras}
            bag = None if choice.out_bag is None else stack.enter_context(closing(ResultBag(
                choice.out_bag, types, cameras, TrackSettings.enter_score)))
            log = stack.enter_context(rerun_log(choice.rerun))
            run = RecordingRun(
                recording, types, partial(load(), targets=len(targets.commands)), cameras,
                targets.commands, CameraSettings(frames=max_frames, first=targets.first))
            stopped, figures = _write_all(run, _count(recording, cameras, max_frames), folders,
                                          bag, log)
        _report(run, figures, out, choice.out_bag)
    if stopped or run.faults:
        raise typer.Exit(STOPPED if stopped else _DAMAGED)


def _list_topics(recording: Recording, types: MessageTypes) -> None:
    table = Table("topic", "type", "messages", "content", box=SIMPLE_HEAD, pad_edge=False)
    for shown in shown_topics(recording, types):
        table.add_row(shown.topic.name, shown.topic.type, str(shown.topic.count), shown.content)
    Console().print(table)
    _name_faults(recording.faults)
    say("choose with --topic TOPIC, and --depth-topic and --info-topic for places in space")


def _rate(recording: Recording, topic: Topic) -> float:
    seconds = recording.seconds
    rate = topic.count / seconds if seconds else 25.0
    return min(max(rate, _SLOWEST), _FASTEST)


def _count(recording: Recording, cameras: Sequence[CameraTopics], most: int | None) -> int:
    counts = [recording.topics[camera.image].count for camera in cameras]
    return sum(count if most is None else min(count, most) for count in counts)


Figures = dict[str, dict[tuple[str, str], TrackFigures]]  # by camera, then id and sentence


def _write_all(run: RecordingRun, count: int, folders: dict[str, ResultFolder],
               bag: ResultBag | None, log: RerunLog | None) -> tuple[bool, Figures]:
    """Write all answers; whether Ctrl-C ended it, and how it went."""
    figures: Figures = {name: {} for name in folders}

    def counted() -> Iterator[tuple[int, AnsweredFrame | PlacedFrame]]:
        for event in run.events():
            yield sum(camera.answered for camera in run.cameras), event

    with stop_after_frame() as stop:
        for event in with_progress(counted(), next(iter(folders)), count):
            if bag is not None:
                bag.add(event)
            if log is not None:
                _show(log, event)
            if isinstance(event, AnsweredFrame):
                folders[event.camera].add(event.frame, [
                    SentenceAnswer(t.name, t.state, t.object_score, t.mask, t.switched)
                    for t in event.result.targets])
                _take_in(figures[event.camera], event)
            if stop:
                break
    return bool(stop), figures


def _show(log: RerunLog, event: AnsweredFrame | PlacedFrame) -> None:
    from samwise_ros.streaming.rerun_log import ShownPlace, ShownTarget

    if isinstance(event, AnsweredFrame):
        log.answer(event.camera, event.frame, [
            ShownTarget(t.target_id, t.name, t.state, t.score, t.mask, t.box)
            for t in event.result.targets], event.latency)
    else:
        log.places(event.answered.camera, event.answered.frame, [
            ShownPlace(target.target_id, place.centre, place.size)
            for target, place in event.placed.found], event.placed.depth,
            event.placed.camera.matrix)


def _take_in(figures: dict[tuple[str, str], TrackFigures], event: AnsweredFrame) -> None:
    for target in event.result.targets:
        found = figures.setdefault((target.target_id, target.name), TrackFigures())
        if event.reset:
            found.pause()
        found.add(event.frame.time, target.state, target.switched)


def _report(run: RecordingRun, figures: Figures, out: Path, bag: Path | None) -> None:
    Console().print(_table(figures))
    for camera in run.cameras:
        if camera.notices:
            say(f"{camera.topics.name}: no pose on {len(camera.notices)} frames "
                f"({next(iter(camera.notices.values()))})", error=True)
    frames = sum(camera.answered for camera in run.cameras)
    say(f"{frames} frames -> {out}" + (f", {bag}" if bag else ""))
    _name_faults(run.faults)


def _table(figures: Figures) -> Table:
    """Frames in each state, switches, losses and seconds there, per target."""
    several = len(figures) > 1
    table = Table(*["camera"] * several, "target", "frames in each state", "switches", "losses",
                  "seconds there", box=SIMPLE_HEAD, pad_edge=False)
    for name, targets in figures.items():
        for (_, sentence), found in targets.items():
            states = ", ".join(f"{state.value} {found.states[state]}" for state in TargetState
                               if found.states[state])
            table.add_row(*[name] * several, Text(sentence), states, str(found.switches),
                          str(found.losses), f"{found.seconds:.1f}")
    return table


def _name_faults(faults: dict[str, str]) -> None:
    if faults:
        shown = [f"{name}: {fault}" for name, fault in islice(faults.items(), _NAMED)]
        more = len(faults) - len(shown)
        say(f"damaged, left out: {'; '.join(shown)}" + f" and {more} more" * bool(more), error=True)
