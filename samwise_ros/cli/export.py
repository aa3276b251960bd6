"""`samwise export`: the step of a model as ONNX graphs for other runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samwise_ros.cli.shared_options import ModelOption, ThreadsOption, parse_size
from samwise_ros.cli.terminal import say
from samwise_ros.config import GraphPrecision
from samwise_ros.sizes import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np

_EXPECTED = {"fp32": (0.01, 0.999), "fp16": (0.1, 0.99)}  # tolerance, smallest IoU of masks
_SENTENCE = "the object that moves to the left"


def export(
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    model: ModelOption = DEFAULT_MODEL,
    image_size: Annotated[int | None, typer.Option(help="Input side, a multiple of 64.")] = None,
    fit: Annotated[str | None, typer.Option(help="pad or rectangle.")] = None,
    camera: Annotated[str, typer.Option(help="Camera size, WIDTHxHEIGHT.")] = "640x480",
    targets: Annotated[int, typer.Option(min=1, max=16, help="Targets of the graph.")] = 1,
    tokens: Annotated[int, typer.Option(min=4, help="Longest sentence, in tokens.")] = 32,
    precision: Annotated[GraphPrecision, typer.Option(
        help="fp16: of matrices and convolutions; the rest stays fp32.")] = "fp32",
    check: Annotated[Path | None, typer.Option(
        help="Video or folder of frames of the camera's size to compare on; default: a moving "
             "texture.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames to compare.")] = 20,
    tolerance: Annotated[float | None, typer.Option(
        help="Of scores, mask logits and memory; default: 0.01, for fp16 0.1.")] = None,
    seeded: Annotated[bool, typer.Option("--seeded", help="Random weights.")] = False,
    threads: ThreadsOption = None,
) -> None:
    """Write step.onnx and text.onnx with a JSON beside each, and compare the step with the model.

    Shapes are fixed: one graph serves one camera size and number of targets. Exit code 1 when the
    graph differs from the model by more than the tolerance.

    Example: samwise export --model nano --camera 320x240 --targets 2 --out exported
    """
    import torch

    from samwise_ros.engines.export import compare, export_model
    from samwise_ros.model.checkpoint import load_model

    if threads:
        torch.set_num_threads(threads)
    changes: dict[str, Any] = {
        key: value for key, value in (("image_size", image_size), ("fit", fit)) if value}
    loaded = load_model(model, device="cpu", seeded=seeded, **changes)
    width, height = parse_size(camera, "--camera")
    given = compared_frames(check, (height, width), frames)
    first = next(given)  # what does not fit is said before an export takes its minute
    say(f"exporting {loaded.config.name} for {targets} target(s) at {camera}: takes a minute or "
        "more")
    graph = export_model(loaded, out, camera=(height, width), targets=targets, tokens=tokens,
                         precision=precision)
    errors = compare(loaded, graph, chain([first], given), [_SENTENCE] * targets, tokens)
    say(f"{out}: largest errors over {errors.frames} frames: object score {errors.score:.2e}, "
        f"mask logits {errors.mask_logits:.2e}, memory {errors.memory:.2e}, "
        + (f"smallest mask IoU {errors.mask_iou:.5f}" if errors.masks else
           "no mask in either: compare on a video (--check) in which something is found"))
    expected, mask_iou = _EXPECTED[precision]
    limit = expected if tolerance is None else tolerance
    if not errors.within(limit, mask_iou):
        say(f"error: more than {limit}, or masks below an IoU of {mask_iou}", error=True)
        raise typer.Exit(1)


def compared_frames(video: Path | None, camera: tuple[int, int],
                    count: int) -> Iterator[np.ndarray]:
    """Frames of a video; without one, a texture that moves by three pixels a frame.

    Raises FrameError for frames of another size than `camera`, (H, W).
    """
    from samwise_ros.evaluation.speed import moving_noise
    from samwise_ros.streaming.video_io import FrameSource
    from samwise_ros.structures import FrameError

    if video is None:
        yield from moving_noise(camera, count)
        return
    for frame in FrameSource(video, limit=count):
        if frame.rgb.shape[:2] != camera:
            raise FrameError(f"{video}: frames of {frame.rgb.shape[1]}x{frame.rgb.shape[0]} "
                             "pixels: give that as --camera")
        yield frame.rgb
