"""`samwise benchmark`: frames per second, shares of each part, FLOPs, memory."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from samwise_ros.cli.shared_options import (
    DeviceOption,
    ModelOption,
    QualityOption,
    ThreadsOption,
    parse_size,
)
from samwise_ros.cli.terminal import say
from samwise_ros.config import EngineName, Precision
from samwise_ros.sizes import DEFAULT_MODEL
from samwise_ros.user_files import keep_foreign

if TYPE_CHECKING:
    from samwise_ros.evaluation.speed import BenchmarkReport
    from samwise_ros.model.samwise import SamwiseModel


def benchmark(
    model: ModelOption = DEFAULT_MODEL,
    image_size: Annotated[int | None, typer.Option(help="Input side, a multiple of 64.")] = None,
    fit: Annotated[str | None, typer.Option(help="pad or rectangle.")] = None,
    quality: QualityOption = "exact",
    precision: Annotated[Precision, typer.Option(help=(
        "Of stream mode. auto: bf16 on GPUs from Ampere on, else fp32."))] = "auto",
    targets: Annotated[str, typer.Option(
        help="Targets followed at once; with --engines a list: 1,2,4,8,16.")] = "1",
    frames: Annotated[int, typer.Option(min=1, help="Measured frames per mode.")] = 16,
    threads: ThreadsOption = None,
    camera: Annotated[str, typer.Option(help="Camera size, WIDTHxHEIGHT.")] = "854x480",
    engines: Annotated[str, typer.Option(help=(
        "Compare engines instead, the first one being the reference: eager,compile,onnx,openvino."
        ), show_default=False)] = "",
    device: DeviceOption = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Time stream mode against clip mode fp32, or engines against each other, in one run.

    Medians, ratios, parts, FLOPs, memory; of engines a Markdown table. Weights are seeded where
    none are at hand: they do not change the cost.

    \b
      samwise benchmark --model tiny --image-size 512 --frames 8 --threads 2
      samwise benchmark --engines eager,openvino --targets 1,4 --camera 320x240 --threads 2
    """
    import torch

    from samwise_ros.config import SessionConfig
    from samwise_ros.evaluation.speed import BenchmarkReport, run_benchmark
    from samwise_ros.evaluation.speed_engines import compare_engines

    counts = _counts(targets, several=bool(engines))
    if threads:
        torch.set_num_threads(threads)
    changes: dict[str, Any] = {"quality": quality, **{
        key: value for key, value in (("image_size", image_size), ("fit", fit)) if value}}
    keep_foreign(json_file, '"engine":' if engines else '"stream_fps":')
    loaded, weights = _load(model, device, changes)
    width, height = parse_size(camera, "--camera")
    config = SessionConfig(precision=precision, max_targets=max(16, *counts))
    with Console(stderr=True).status("starting") as status:
        run = partial(compare_engines, engines=_engine_names(engines), targets=counts) \
            if engines else partial(run_benchmark, targets=counts[0])
        report = run(loaded, config, camera=(height, width), frames=frames, weights=weights,
                     progress=status.update)
    if isinstance(report, BenchmarkReport):
        _print(report)
    else:
        say(report.markdown())
    if json_file:
        json_file.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")


def _counts(text: str, several: bool) -> tuple[int, ...]:
    """Numbers of targets. Raises BadParameter."""
    parts = text.split(",")
    if not all(part.isdigit() and int(part) for part in parts) or (len(parts) > 1 and not several):
        raise typer.BadParameter(
            f"expected a number, with --engines numbers separated by commas, got {text!r}",
            param_hint="--targets")
    return tuple(map(int, parts))


def _engine_names(text: str) -> tuple[EngineName, ...]:
    """Names of engines. Raises BadParameter."""
    known: tuple[EngineName, ...] = get_args(EngineName)
    if unknown := set(text.split(",")) - set(known):
        raise typer.BadParameter(f"expected some of {', '.join(known)}, got "
                                 + ", ".join(sorted(unknown)), param_hint="--engines")
    return tuple(cast(EngineName, name) for name in text.split(","))


def _load(name: str, device: str, changes: dict[str, Any]) -> tuple[SamwiseModel, str]:
    """The model, and what to say about its weights."""
    from samwise_ros.model.checkpoint import load_model
    from samwise_ros.sizes import SIZES
    from samwise_ros.structures import CheckpointError

    try:
        return load_model(name, device=device, **changes), "given"
    except CheckpointError:
        if name not in SIZES:
            raise
        return load_model(name, device=device, seeded=True, **changes), "seeded"


def _print(report: BenchmarkReport) -> None:
    console = Console()
    model, machine = report.model, report.machine
    console.print(f"{model['name']} {model['input'][1]}x{model['input'][0]} ({model['fit']}), "
                  f"{model['precision']}, {model['weights']} weights, {report.targets} target(s), "
                  f"{machine['device']}, {machine['processor']}, {machine['threads']} thread(s)")
    console.print(f"stream     {report.stream_fps:8.2f} frames/s  ({report.stream_ms:.1f} ms)")
    console.print(f"reference  {report.reference_fps:8.2f} frames/s  "
                  f"({report.reference_ms:.1f} ms), clip mode fp32")
    console.print(f"ratio      {report.ratio:8.2f}   look-ahead {report.lookahead_frames} frames")
    table = Table("part", "ms", "share", "GFLOP")
    for part, value in sorted(report.parts_ms.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{value:.1f}", f"{100 * report.parts_share[part]:.1f} %",
                      f"{report.gflops.get(part, 0.0):.2f}")
    console.print(table)
    console.print(f"{report.gflops['total']:.1f} GFLOP per frame; CMT and CME add "
                  f"{100 * report.added_flops_share:.1f} % to SAM 2; peak memory "
                  f"{report.peak_memory_bytes / 2**20:.0f} MiB in stream mode; session "
                  f"{report.session_bytes_end / 2**20:.2f} MiB")
