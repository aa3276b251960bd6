"""Curves of a run's history as a PNG, drawn with OpenCV (no plotting library needed)."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.streaming.pictures import write_encoded
from samwise_ros.structures import DataError

WIDTH, HEIGHT, MARGIN = 760, 420, 54
COLOURS = ((200, 80, 30), (40, 140, 40), (40, 40, 210), (160, 60, 160), (30, 150, 200),
           (90, 90, 90))


def read_history(path: Path | str) -> dict[str, list[tuple[float, float]]]:
    """Values by name, as (minutes of training, value). Raises DataError for a missing file."""
    try:
        with Path(path).open(newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"history {path}: {error}") from error
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        series[line["name"]].append((float(line["seconds"]) / 60, float(line["value"])))
    return dict(series)


def draw_curves(series: dict[str, list[tuple[float, float]]], names: Sequence[str], title: str,
                out: Path | str) -> None:
    """Draw the named series over minutes; names that the history lacks are left out.

    Raises DataError when none of them is there.
    """
    chosen = {name: np.array(series[name]) for name in names if series.get(name)}
    if not chosen:
        raise DataError(f"nothing to draw: the history has none of {', '.join(names)}")
    points = np.concatenate(list(chosen.values()))
    right = max(points[:, 0].max(), 1e-6)
    top = max(points[:, 1].max() * 1.05, 1e-6)
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    _axes(canvas, right, top, title)
    for index, (name, values) in enumerate(chosen.items()):
        colour = COLOURS[index % len(COLOURS)]
        x = MARGIN + values[:, 0] / right * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - values[:, 1] / top * (HEIGHT - 2 * MARGIN)
        line = np.stack((x, y), 1).round().astype(np.int32)
        cv2.polylines(canvas, [line], False, colour, 2, cv2.LINE_AA)
        _text(canvas, name, (WIDTH - MARGIN - 150, MARGIN + 16 + 18 * index), colour)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_encoded(Path(out), canvas)


def _axes(canvas: np.ndarray, right: float, top: float, title: str) -> None:
    black = (40, 40, 40)
    _text(canvas, title, (MARGIN, 24), black)
    _text(canvas, "minutes of training", (WIDTH // 2 - 60, HEIGHT - 8), black)
    for part in range(5):
        y = HEIGHT - MARGIN - round(part / 4 * (HEIGHT - 2 * MARGIN))
        x = MARGIN + round(part / 4 * (WIDTH - 2 * MARGIN))
        cv2.line(canvas, (MARGIN, y), (WIDTH - MARGIN, y), (225, 225, 225), 1)
        _text(canvas, f"{top * part / 4:.2f}", (8, y + 4), black)
        _text(canvas, f"{right * part / 4:.1f}", (x - 10, HEIGHT - MARGIN + 18), black)


def _text(canvas: np.ndarray, text: str, place: tuple[int, int],
          colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
