"""`samwise parity`: is clip mode numerically the official model?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from samwise_ros.cli.shared_options import DeviceOption, ThreadsOption

if TYPE_CHECKING:  # torch takes seconds to import; `samwise parity --help` does not need it
    from samwise_ros.evaluation.parity import ParityReport


def parity(
    golden: Annotated[Path, typer.Argument(
        metavar="GOLDEN.npz", help="Recording of the official code.", show_default=False)],
    assets: Annotated[Path | None, typer.Option(
        help="Folder with goldens/, samples/ and tokenizer/. Default: ../shared.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Compare clip mode with a recording of the official code, tensor by tensor.

    The recording names its weights by a rule (salt, name, shape); they are rebuilt, loaded through
    the same key map as released files, and run on the recorded frames. Prints the error of every
    tensor of the ladder. Exit code 0 when all are within the tolerances, 1 otherwise, 2 when the
    comparison could not be made.

    Example: samwise parity ../shared/goldens/golden_tiny_dev_q1.npz
    """
    import torch

    from samwise_ros.evaluation.parity import run_parity
    from samwise_ros.model.checkpoint import resolve_device

    if threads:
        torch.set_num_threads(threads)
    with Console(stderr=True).status("starting") as status:
        report = run_parity(golden, assets, device=resolve_device(device), progress=status.update)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=1))
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _print(report: ParityReport) -> None:
    console = Console(soft_wrap=True, highlight=False)
    first, count = report.frames
    console.print(f"{report.golden}: {report.size}, frames {first}..{first + count - 1}, "
                  f"{report.text!r}")
    table = Table("tensor", "error", "tolerance", "in", "")
    for row in report.rows:
        style = None if row.passed else "bold red"
        table.add_row(row.name, f"{row.error:.1e}", f"{row.tolerance:.0e}", row.unit,
                      "" if row.passed else f"FAILED {row.note}", style=style)
    console.print(table)
    ends = (first, first + count - 1)
    console.print("frames decode to crc32 " + ", ".join(
        f"{report.frame_crc[index]} (frame {index})" for index in ends))
    if report.digest:
        console.print(f"weights have crc32 {report.digest}")
    for note in report.notes:
        console.print(f"note: {note}", style="yellow")
    failed = [row.name for row in report.rows if not row.passed]
    worst = max(report.rows, key=lambda row: row.error / row.tolerance if row.tolerance else 0.0)
    console.print(f"closest to its tolerance: {worst.name}, {worst.error:.1e} of "
                  f"{worst.tolerance:.0e}")
    console.print(f"{'FAILED' if failed else 'PASSED'}: {len(report.rows) - len(failed)} of "
                  f"{len(report.rows)} within tolerance, {report.seconds:.0f} s",
                  style="bold red" if failed else "bold green")
