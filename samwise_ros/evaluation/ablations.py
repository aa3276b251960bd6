"""Which part of the model earns what: variants of one model on the same simulated videos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from samwise_ros.config import Mode, ModelConfig
from samwise_ros.data.reader import VideoRecord, VideoSource
from samwise_ros.evaluation.late_target_scores import LateTargetStatistics
from samwise_ros.evaluation.predictors import Predictor
from samwise_ros.evaluation.sim_scenes import PRESENT_KINDS, SimReport
from samwise_ros.evaluation.store import ResultStore
from samwise_ros.evaluation.videos import evaluate_videos

# What `samwise evaluate --without PART` changes in the model's configuration.
SWITCHED_OFF: dict[str, dict[str, Any]] = {
    "cmt": {"cmt": {"enabled": False}},
    "hsa": {"cmt": {"hsa": False}},
    "cme": {"cme": {"enabled": False}},
    "memory": {"memory": {"num_spatial": 0, "num_pointers": 0}},
    "motion": {"motion_lag": 0},
    "map": {"grounding": {"closed_form": False}},
    "coarse": {"grounding": {"coarse": False}},
    "colour": {"decoder": {"colour": 0.0}},
}
CME_ON: dict[str, Any] = {"cme": {"enabled": True}}
CONTEXT_FRAMES = (0, 1, 3)  # beside the usual seven


@dataclass(frozen=True)
class Variant:
    """A model with one thing changed.

    Attributes:
        title: Its row in the table.
        options: Options of `samwise evaluate sim` that run it alone.
        mode: "stream" or "clip".
        changes: What differs in the model's configuration.
        session: What differs in the session's configuration.
    """

    title: str
    options: str = ""
    mode: Mode = "stream"
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    session: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def folder(self) -> str:
        """Name of the folder of its results."""
        return re.sub(r"[^a-z0-9]+", "_", self.options).strip("_") or "unchanged"


def variants(config: ModelConfig) -> list[Variant]:
    """The model as it is, without each part that it has, and with shorter pasts."""
    titles = {"cmt": "without CMT text fusion", "hsa": "without HSA", "memory": "without memory"}
    if config.motion_lag > 0:
        titles["motion"] = "without the motion branch"
    if config.grounding.enabled:
        titles["map"] = "without the similarity map"
    if config.grounding.coarse:
        titles["coarse"] = "without the map at half size"
    if config.decoder.colour > 0:
        titles["colour"] = "without the colour model"
    if config.cme.enabled:
        titles["cme"] = "without CME"
    found = [Variant("unchanged")]
    found += [Variant(title, f"--without {part}", changes=SWITCHED_OFF[part])
              for part, title in titles.items()]
    if not config.cme.enabled:
        found.append(Variant("with CME", "--with-cme", changes=CME_ON))
    found.append(Variant("clip mode", "--mode clip", mode="clip"))
    found += [Variant(f"{count} earlier frame{'s' * (count != 1)} in HSA instead of 7",
                      f"--context-frames {count}", session={"context_frames": count})
              for count in CONTEXT_FRAMES]
    return found


def evaluate_in_turns(runs: Sequence[tuple[Predictor, ResultStore]], source: VideoSource,
                      videos: Sequence[VideoRecord], *, chunk: int = 8,
                      progress: bool = True) -> None:
    """Run all variants on the first video, then on the next: stopped early, they stay comparable.

    Args:
        runs: Per variant the model in its mode, and where its results go.
        source, videos, chunk, progress: As for `evaluate_videos`.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    total = len(runs) * sum(len(video.expressions) for video in videos)
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("ablations", total=total)
        for video in videos:
            for predictor, store in runs:
                evaluate_videos(source, [video], predictor, store, chunk=chunk, progress=False)
                bar.advance(task, len(video.expressions))


def markdown(command: str, reports: Mapping[Variant, SimReport]) -> str:
    """Tables for the documentation, with the command that made them."""
    first = next(iter(reports.values()))
    parts = [f"    {command}",
             (f"J&F ({len({result.video for result in first.results})} videos, "
             f"{len(first.results)} sentences); absent: share of frames with an empty mask."),
             "\n".join(_score_rows(reports))]
    if first.late_target is not None:
        parts += [("Late targets, over all sentences and over those that were on the look-alike "
                  "before (locked). Frames count from the target's first visible one; a target "
                  "never found counts all that remained."),
                  "\n".join(_late_rows(reports))]
    return "\n\n".join(parts) + "\n"


def _score_rows(reports: Mapping[Variant, SimReport]) -> Iterator[str]:
    first = next(iter(reports.values()))
    kinds = [kind for kind in PRESENT_KINDS if kind in first.by_kind]
    heads = [f"{kind.replace('_', ' + ')} ({first.by_kind[kind].count})" for kind in kinds]
    yield _row(["", *heads, "all", "absent", "options"])
    yield _row(["---"] * (len(kinds) + 4))
    for variant, report in reports.items():
        cells = [_number(report.by_kind[kind].scores.jf) for kind in kinds]
        options = f"`{variant.options}`" if variant.options else ""
        yield _row([variant.title, *cells, _number(report.jf if kinds else None),
                    _number(report.absent_accuracy), options])
    for title, name in (("random visible object", "random_object"),
                        ("best colour-only guess", "colour_guess")):
        guesses = [getattr(first.by_kind[kind], name) for kind in kinds]
        overall = getattr(first.overall, name) if first.overall else None
        yield _row([title, *(_number(guess and guess.jf) for guess in (*guesses, overall)), "", ""])


def _late_rows(reports: Mapping[Variant, SimReport]) -> Iterator[str]:
    columns = ("frames until found", "found", "frames on the look-alike", "CME switches")
    yield _row(["", "locked", *columns, *(f"{column}, locked" for column in columns)])
    yield _row(["---"] * (2 + 2 * len(columns)))
    for variant, report in reports.items():
        late = report.late_target
        if late is None:
            continue
        locked = late.locked.count if late.locked else 0
        yield _row([variant.title, f"{locked} of {late.all.count}", *_late_cells(late.all),
                    *_late_cells(late.locked)])


def _late_cells(part: LateTargetStatistics | None) -> list[str]:
    if part is None:
        return ["-"] * 4
    return [f"{part.wait_mean:.1f}", f"{part.found_share:.0%}", f"{part.distracted_share:.0%}",
            str(part.switches)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
