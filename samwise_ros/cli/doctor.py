"""`samwise doctor`: is this machine ready, and if not, what is to be done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from samwise_ros.cli.doctor_checks import (
    Check,
    Status,
    check_disk,
    check_inference,
    check_memory,
    check_packages,
    check_python,
    check_threads,
    check_torch,
    check_weights,
)
from samwise_ros.cli.doctor_ros import check_messages, check_ros, check_topics
from samwise_ros.cli.shared_options import DeviceOption, ModelOption
from samwise_ros.sizes import DEFAULT_MODEL

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


def doctor(
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    seeded: Annotated[bool, typer.Option(
        "--seeded", help="Do not ask for weights; time the model with random ones.")] = False,
    image_topic: Annotated[list[str] | None, typer.Option(
        help="Topic of a running camera to watch: colour, depth or camera_info. Repeatable.",
        show_default=False)] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="For how long topics are watched.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine: Python, torch, GPU, weights, ROS, topics, speed. Needs no network.

    Every line that is not ok says what to do. Exit code 1 when something that is needed is missing.

    Example: samwise doctor --image-topic /camera/color/image_raw
    """
    checks = []
    console = Console(soft_wrap=True, highlight=False)
    for check in run_checks(model, device, seeded, image_topic or [], seconds):
        checks.append(check)
        if not as_json:
            console.print(render(check))
    failed = sum(check.status is Status.FAIL for check in checks)
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]},
                              indent=1))
    else:
        warned = sum(check.status is Status.WARN for check in checks)
        console.print(f"{len(checks)} checks: {failed} failed, {warned} with a warning")
    if failed:
        raise typer.Exit(1)


def run_checks(model: str, device: str, seeded: bool, topics: list[str], seconds: float
               ) -> Iterator[Check]:
    """All lines, cheap ones first; what depends on a failed one is left out."""
    yield check_python()
    packages, torch = check_packages(), check_torch()
    yield from (packages, torch)
    yield check_memory()
    if Status.FAIL not in (packages.status, torch.status):
        yield from _model_checks(model, device, seeded)
    ros = check_ros(required=bool(topics))
    yield ros
    if ros.status is Status.OK:
        yield from check_messages()
        if topics:
            yield from check_topics(topics, seconds)


def _model_checks(model: str, device: str, seeded: bool) -> Iterator[Check]:
    """Threads, disk, weights and speed. Without weights the speed is taken with random ones."""
    from samwise_ros.model.download import cache_dir
    from samwise_ros.model.frozen_parts import frozen_files
    from samwise_ros.sizes import SIZES, model_config

    yield check_threads()
    yield check_disk(Path(cache_dir()))
    if not seeded:
        weights = check_weights(model)
        yield weights
        seeded = weights.status is Status.FAIL
        if seeded and model in SIZES and frozen_files(model_config(model)):
            return  # which are not random
    if not seeded or model in SIZES:
        yield from check_inference(model, device, seeded)


def render(check: Check) -> Text:
    """One check as coloured text, its remedy on a line of its own."""
    line = Text(f"{check.status.value:>4}", style=_STYLES[check.status])
    line.append(f"  {check.name}: ", style="bold")
    line.append(check.detail, style="default")
    if check.remedy:
        line.append(f"\n      -> {check.remedy}", style="default")
    return line
