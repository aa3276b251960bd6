"""Tables and files of an evaluation: CSV per expression and per video, JSON, a printed table."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from samwise_ros.evaluation.expression_scores import ExpressionResult, absent_accuracy, mean_scores
from samwise_ros.evaluation.late_target_scores import LateTargetReport
from samwise_ros.evaluation.sim_scenes import KindScores, SimReport

EXPRESSION_COLUMNS = ("video", "expression_id", "kind", "text", "frames", "j", "f", "jf",
                      "random_object_jf", "colour_guess_jf", "empty_frames", "switches",
                      "first_correct", "reacquired")
VIDEO_COLUMNS = ("video", "expressions", "frames", "j", "f", "jf", "absent_accuracy")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report as JSON, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_expression_csv(path: Path, results: Iterable[ExpressionResult]) -> None:
    """One line per expression; empty cells where there are no answers."""
    rows = []
    for result in results:
        row = {name: getattr(result, name) for name in
               ("video", "expression_id", "kind", "text", "frames", "empty_frames", "switches",
                "first_correct")}
        row["reacquired"] = " ".join("never" if wait is None else str(wait)
                                     for wait in result.reacquired)
        if result.scores is not None:
            row |= {"j": result.scores.j, "f": result.scores.f, "jf": result.scores.jf}
        if result.random_object is not None and result.colour_guess is not None:
            row |= {"random_object_jf": result.random_object.jf,
                    "colour_guess_jf": result.colour_guess.jf}
        rows.append(row)
    write_csv(path, EXPRESSION_COLUMNS, rows)


def write_video_csv(path: Path, results: Iterable[ExpressionResult]) -> None:
    """One line per video: means over its expressions."""
    videos: dict[str, list[ExpressionResult]] = defaultdict(list)
    for result in results:
        videos[result.video].append(result)
    rows = []
    for name, group in videos.items():
        row: dict[str, Any] = {"video": name, "expressions": len(group),
                               "frames": group[0].frames,
                               "absent_accuracy": absent_accuracy(group)}
        scores = mean_scores(result.scores for result in group)
        if scores is not None:
            row |= {"j": scores.j, "f": scores.f, "jf": scores.jf}
        rows.append(row)
    write_csv(path, VIDEO_COLUMNS, rows)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows with four decimals per number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _cell(value) for key, value in row.items()})


def sim_table(report: SimReport) -> Table:
    """J&F by kind beside its baselines, for the terminal."""
    table = Table(title=f"Simulated scenes, {report.mode} mode")
    for column in ("kind", "expressions", "J", "F", "J&F", "random object", "colour guess"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, scores in report.by_kind.items():
        table.add_row(kind, *_kind_cells(scores))
    if report.overall is not None:
        table.add_section()
        table.add_row("all", *_kind_cells(report.overall))
    if report.absent_accuracy is not None:
        absent = sum(result.kind == "absent" for result in report.results)
        table.add_row("absent", str(absent), "", "", f"{report.absent_accuracy:.3f}", "", "")
        table.caption = "absent: share of frames answered with an empty mask"
    return table


def stream_table(report: SimReport) -> Table:
    """How quickly targets are found, for the terminal."""
    table = Table(title="Finding and losing")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in vars(report.streaming).items():
        table.add_row(name.replace("_", " "), _shown(value))
    return table


def late_target_table(report: LateTargetReport) -> Table:
    """How soon a look-alike is left for the target, for the terminal."""
    table = Table(title="Late targets, a look-alike in view before")
    table.add_column("measure")
    groups = {"all": report.all, "locked on the look-alike": report.locked}
    shown = {name: dataclasses.asdict(part) for name, part in groups.items() if part is not None}
    for name in shown:
        table.add_column(name, justify="right")
    for name in dataclasses.asdict(report.all):
        table.add_row(name.replace("_", " "), *(_shown(part[name]) for part in shown.values()))
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _kind_cells(scores: KindScores) -> tuple[str, ...]:
    baselines = (entry.jf if entry else None for entry in (scores.random_object,
                                                           scores.colour_guess))
    return (str(scores.count), f"{scores.scores.j:.3f}", f"{scores.scores.f:.3f}",
            f"{scores.scores.jf:.3f}",
            *("-" if value is None else f"{value:.3f}" for value in baselines))


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else value
