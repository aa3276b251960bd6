"""`samwise convert-data`: bring published archives into the layouts that training reads."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from samwise_ros.cli.terminal import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich",
                  help="Bring data sets into the layouts that are read here.")


class Placement(str, Enum):
    """How the user's pictures come into the new folder."""

    copy = "copy"
    symlink = "symlink"


class RefCocoSet(str, Enum):
    """The three sets of expressions on COCO images."""

    refcoco = "refcoco"
    refcoco_plus = "refcoco+"
    refcocog = "refcocog"


@app.command()
def davis(
    archive: Annotated[Path, typer.Option(
        help="Folder DAVIS of DAVIS-2017-Unsupervised-trainval-480p.", show_default=False)],
    texts: Annotated[Path, typer.Option(
        help="Folder with the four Davis17_annot*.txt files.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    semantics: Annotated[Path | None, typer.Option(
        help="davis_semantics.json, for the objects' categories.")] = None,
    placement: Annotated[Placement, typer.Option(
        help="Copy pictures, or link to them.")] = Placement.copy,
) -> None:
    """Ref-DAVIS17 in the layout of Ref-YouTube-VOS. The archive is left as it is.

    Example: samwise convert-data davis --archive DAVIS --texts TEXTS --out ref-davis
    """
    from samwise_ros.data.davis_converter import convert_davis

    convert_davis(archive, texts, out, semantics=semantics, placement=placement.value)
    say(f"Ref-DAVIS17 -> {out}")


@app.command()
def refcoco(
    archive: Annotated[Path, typer.Option(
        help="Unpacked folder of the set, with refs(unc|umd).p and instances.json.",
        show_default=False)],
    out: Annotated[Path, typer.Option(
        help="Folder that receives one folder per set.", show_default=False)],
    name: Annotated[RefCocoSet, typer.Option("--set", help="Which set it is.")],
) -> None:
    """RefCOCO, RefCOCO+ or RefCOCOg: every sentence with its image and object.

    Example: samwise convert-data refcoco --archive refcocog --set refcocog --out data/coco
    """
    from samwise_ros.data.refcoco_converter import convert_refcoco

    counts = convert_refcoco(archive, out, name.value)
    shown = ", ".join(f"{split} {count}" for split, count in counts.items())
    say(f"{name.value}: {shown} sentences -> {out}")


@app.command()
def pack(
    sources: Annotated[list[Path], typer.Argument(
        metavar="FOLDER...", help="MeViS splits with masks, or folders of `samwise simulate`.",
        show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    height: Annotated[int, typer.Option(min=8, help="Height of the packed frames.")],
    width: Annotated[int, typer.Option(min=8, help="Width of the packed frames.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Clips at the model's input size in memory-mapped files, for quick training.

    Example: samwise convert-data pack data/train --out packed/train --height 128 --width 192
    """
    from samwise_ros.data.packed import pack_mevis

    packed = pack_mevis(sources, out, (height, width), workers)
    say(f"{packed.num_clips} clips -> {out}")
