"""Draws values of a run's history over minutes of training.

    .venv/bin/python docs/log/curves.py docs/log/nano/history_3_clips.csv curve.png total bce dice
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, MARGIN = 760, 420, 54
COLOURS = ((200, 80, 30), (40, 140, 40), (40, 40, 210), (160, 60, 160), (30, 150, 200),
           (90, 90, 90))
BLACK, GREY = (40, 40, 40), (225, 225, 225)


def read_history(path: Path) -> dict[str, np.ndarray]:
    """Values by name, float [N, 2]: minutes of training, value."""
    series = defaultdict(list)
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            series[line["name"]].append((float(line["seconds"]) / 60, float(line["value"])))
    return {name: np.array(values) for name, values in series.items()}


def draw(series: dict[str, np.ndarray], title: str) -> np.ndarray:
    """uint8 [H, W, 3] BGR: a line per series."""
    right, top = np.concatenate(list(series.values())).max(axis=0) * (1, 1.05)
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    write(canvas, title, (MARGIN, 24), BLACK)
    write(canvas, "minutes of training", (WIDTH // 2 - 60, HEIGHT - 8), BLACK)
    for part in np.linspace(0, 1, 5):
        y = HEIGHT - MARGIN - round(part * (HEIGHT - 2 * MARGIN))
        x = MARGIN + round(part * (WIDTH - 2 * MARGIN))
        cv2.line(canvas, (MARGIN, y), (WIDTH - MARGIN, y), GREY, 1)
        write(canvas, f"{top * part:.2f}", (8, y + 4), BLACK)
        write(canvas, f"{right * part:.1f}", (x - 10, HEIGHT - MARGIN + 18), BLACK)
    for index, (name, values) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        x = MARGIN + values[:, 0] / right * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - values[:, 1] / top * (HEIGHT - 2 * MARGIN)
        line = np.stack((x, y), 1).round().astype(np.int32)
        cv2.polylines(canvas, [line], False, colour, 2, cv2.LINE_AA)
        write(canvas, name, (WIDTH - MARGIN - 150, MARGIN + 16 + 18 * index), colour)
    return canvas


def write(canvas: np.ndarray, text: str, place: tuple[int, int],
          colour: tuple[int, int, int]) -> None:
    """One line of text."""
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("history", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+")
    given = parser.parse_args()
    known = read_history(given.history)
    if not known.keys() & set(given.names):
        parser.error(f"{given.history} has only {', '.join(sorted(known))}")
    chosen = {name: known[name] for name in given.names if name in known}
    cv2.imwrite(str(given.out), draw(chosen, given.history.stem))
