"""The log of a run as one CSV: a line per mean of some steps, and a line per validation."""

from __future__ import annotations

import csv
from pathlib import Path


class History:
    """Appends `step, seconds, name, value` lines.

    Args:
        path: CSV file; made with its folder when absent.
    """

    COLUMNS = ("step", "seconds", "name", "value")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sums: dict[str, tuple[float, int]] = {}
        self._place = (0, 0.0)

    def add(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """Take one step's values into the running means."""
        self._place = (step, seconds)
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)

    def flush(self) -> dict[str, float]:
        """Write the means since the last flush, and return them."""
        means = {name: total / count for name, (total, count) in self._sums.items()}
        self._sums = {}
        self.note(*self._place, means)
        return means

    def note(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """Write values as they are."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(self.COLUMNS)
            writer.writerows([step, f"{seconds:.1f}", name, f"{value:.6g}"]
                             for name, value in values.items())

    def cut(self, step: int) -> None:
        """Drop lines after `step`: they belong to a part of a run that is done again."""
        if not self.path.exists():
            return
        lines = self.path.read_text().splitlines()
        kept = [line for line in lines[1:] if int(line.split(",")[0]) <= step]
        self.path.write_text("\n".join([lines[0], *kept]) + "\n")
