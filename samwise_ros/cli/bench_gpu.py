"""`samwise bench gpu`: is the model right on this GPU, and how quick is it there?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samwise_ros.cli.shared_options import DeviceOption
from samwise_ros.cli.terminal import say
from samwise_ros.structures import ConfigError, DataError
from samwise_ros.user_files import keep_foreign

if TYPE_CHECKING:
    from samwise_ros.evaluation.gpu_check import GpuReport

_PLACE = re.compile(r"(<!-- bench gpu -->\n).*?(<!-- end -->)", re.DOTALL)


def bench_gpu(
    out: Annotated[Path, typer.Option(help="Folder for gpu.json and gpu.md.")] = Path("gpu_check"),
    document: Annotated[Path | None, typer.Option(
        help="Markdown file that shows the tables, between `<!-- bench gpu -->` and "
        "`<!-- end -->`.")] = None,
    assets: Annotated[Path | None, typer.Option(
        help="Folder with goldens/, samples/ and tokenizer/. Default: ../shared.")] = None,
    budget: Annotated[float, typer.Option(min=1, help="Seconds; what comes later is left out.",
                                          )] = 480.0,
    device: DeviceOption = "cuda",
) -> None:
    """Check fp32 parity, attention kernels, bf16, engines and memory on a GPU, then time it.

    Frames/s, p50, p95 and peak memory of tiny and base_plus at 512, 768 and 1024 with 1, 4 and 8
    targets, eager first. Weights are seeded: they do not change the cost. Exit code 1 when a check
    fails. Needs neither network nor ROS.
    """
    from samwise_ros.evaluation.gpu_check import CheckSetup, check_device, markdown
    from samwise_ros.model.checkpoint import resolve_device

    where = resolve_device(device)
    if where.type != "cuda":
        raise ConfigError("bench gpu: this machine has no GPU that torch can use")
    keep_foreign(out / "gpu.json", '"torch_version":')
    out.mkdir(parents=True, exist_ok=True)

    def save(report: GpuReport) -> None:
        text = json.dumps(report.to_dict(), indent=1)
        (out / "gpu.json").write_text(text + "\n", encoding="utf-8")
        (out / "gpu.md").write_text(markdown(report), encoding="utf-8")

    report = check_device(CheckSetup(where, assets=assets, budget=budget), save)
    if document is not None:
        put_into(document, markdown(report))
    say(markdown(report))
    if not report.passed:
        raise typer.Exit(1)


def put_into(document: Path, tables: str) -> None:
    """Replace what stands between the marks of a Markdown file.

    Raises:
        DataError: The marks are not there.
    """
    text = document.read_text(encoding="utf-8")
    if not _PLACE.search(text):
        raise DataError(f"{document}: expected the lines `<!-- bench gpu -->` and `<!-- end -->`")
    document.write_text(_PLACE.sub(lambda found: found[1] + tables + found[2], text),
                        encoding="utf-8")
