"""`samwise checkpoint`: fetch, look at and convert weights."""

from __future__ import annotations

import json
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from samwise_ros.cli.terminal import say
from samwise_ros.structures import CheckpointError
from samwise_ros.user_files import claim_outputs

if TYPE_CHECKING:  # torch takes seconds to import; `--help` does not need it
    from samwise_ros.model.samwise import SamwiseModel

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich",
                  help="Download, inspect and convert weights. Needs the network for download "
                       "only.")


class Dtype(str, Enum):
    """Number format of stored weights."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


@app.command()
def convert(
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    source: Annotated[Path | None, typer.Argument(
        metavar="[FILE|FOLDER]", show_default=False,
        help="Released SAMWISE file, or a folder in our format. Leave it out to put a model "
             "together from --sam2 and --roberta.")] = None,
    dtype: Annotated[Dtype, typer.Option(
        help="Stored number format; models run in fp32 unless told otherwise.")] = Dtype.fp32,
    tokenizer: Annotated[Path | None, typer.Option(
        help="Folder with vocab.json and merges.txt; default: beside the weights or in the cache.",
    )] = None,
    sam2: Annotated[Path | None, typer.Option(help="SAM 2.0 file (072824).")] = None,
    roberta: Annotated[Path | None, typer.Option(
        help="RoBERTa-base: fairseq model.pt, or a Hugging Face file or folder.")] = None,
    allow_ris: Annotated[bool, typer.Option(
        "--allow-ris", help="Accept the RIS pre-training checkpoint and fill what it lacks: the "
        "object score from --sam2 (seeded without it), HSA seeded.")] = False,
    seed: Annotated[int, typer.Option(help="For everything that is not in the files.")] = 0,
) -> None:
    """Turn published weights into a folder that loads fast and offline.

    The folder holds model.safetensors, config.json and the tokeniser. Loading is strict: a missing,
    unexpected or wrongly shaped entry stops with the names and the likely cause.

    \b
    Examples:
      samwise checkpoint convert final_model_mevis.pth --out mevis --dtype fp16
      samwise checkpoint convert --sam2 sam2_hiera_tiny.pt --roberta roberta-base --out start
    """
    from samwise_ros.model.checkpoint import save_model
    from samwise_ros.model.checkpoint_files import CONFIG_FILE, WEIGHTS_FILE
    from samwise_ros.model.tokenizer import TOKENIZER_FILES

    claim_outputs(out, (WEIGHTS_FILE, CONFIG_FILE, *TOKENIZER_FILES))
    if source is None:
        if sam2 is None or roberta is None:
            raise CheckpointError("nothing to convert: give a file, or both --sam2 and --roberta")
        model, origin = _from_parts(sam2, roberta, seed), f"{sam2.name} and {roberta.name}"
    else:
        model, origin = _from_source(source, sam2, allow_ris, seed), source.name
    found = _set_tokenizer(model, tokenizer, source)
    save_model(model, out, dtype=dtype.value, source=origin)
    size = (out / "model.safetensors").stat().st_size / 1e6
    say(f"{model.config.name}, {dtype.value}: {size:.0f} MB -> {out}")
    if not found:
        say("no tokeniser found, none copied: `samwise checkpoint download roberta`, or give its "
            "folder with --tokenizer")


def _from_parts(sam2: Path, roberta: Path, seed: int) -> SamwiseModel:
    from samwise_ros.model.checkpoint import load_parts
    from samwise_ros.model.checkpoint_parts import sam2_part, size_of_sam2
    from samwise_ros.sizes import model_config

    size = size_of_sam2(sam2_part(sam2), str(sam2))
    return load_parts(model_config(size), sam2, roberta, seed)


def _from_source(source: Path, sam2: Path | None, allow_ris: bool, seed: int) -> SamwiseModel:
    from samwise_ros.model.checkpoint import find_weights, model_from_weights

    if not source.exists():
        raise CheckpointError(f"no such file or folder: {source}")
    return model_from_weights(find_weights(source.resolve()), seed=seed, allow_ris=allow_ris,
                              sam2=sam2)


def _set_tokenizer(model: SamwiseModel, given: Path | None, source: Path | None) -> bool:
    """Give the model its tokeniser if there is one; a named folder must have it."""
    from samwise_ros.model.checkpoint_parts import tokenizer_for

    beside = None if source is None else source if source.is_dir() else source.parent
    try:
        model.tokenizer = tokenizer_for(model.config, given, beside)
    except CheckpointError:
        if given is not None:
            raise
        return False
    return True


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(
        metavar="FILE|FOLDER|SIZE", show_default=False,
        help="Any weight file, a folder in our format, or a size that is at hand (mini, nano).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a weight file is: kind, size, parts, numbers, and whether it fits the model.

    Of a model with frozen parts it says where each comes from, by which digest and licence.

    Nothing in the file is executed: pickles are read as plain tensors, or refused.
    """
    from samwise_ros.model.checkpoint import folder_of_size

    facts = _facts(path if path.exists() else folder_of_size(str(path)) or path)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number:,}" for key, number in value.items())
        joint = "\n" if name == "frozen" else ", "
        table.add_row(name, joint.join(map(str, value)) if isinstance(value, list) else str(value))
    Console(soft_wrap=True, highlight=False).print(table)


def _facts(path: Path) -> dict[str, Any]:
    from samwise_ros.model.checkpoint_check import recognise_size, shapes_of
    from samwise_ros.model.checkpoint_files import Kind, read_folder, read_weights
    from samwise_ros.model.key_map import map_official, map_sam2

    if path.is_dir():
        folder = read_folder(path)
        state, kind, extras = folder.read_state(), Kind.OWN, folder.about
        size = folder.config.name
        facts: dict[str, Any] = {"path": str(path), "kind": "samwise_ros folder", "size": size}
    else:
        file = read_weights(path)
        state, kind, extras = file.state, file.kind, {"other entries": list(file.extras)}
        named = map_sam2(state) if kind in (Kind.SAM2, Kind.SAM21) else state
        named = map_official(state) if kind is Kind.SAMWISE else named
        facts = {"path": str(path), "kind": kind.value,
                 "size": recognise_size(shapes_of(named)) or "not recognised"}
    parts: dict[str, int] = {}
    for name, tensor in state.items():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0) + tensor.numel()
    facts |= {"entries": len(state), "numbers": sum(parts.values()), "numbers per part": parts,
              "dtypes": sorted({str(t.dtype).removeprefix("torch.") for t in state.values()})}
    facts |= extras
    if "frozen" in facts:
        facts["frozen"] = _frozen_lines(facts["frozen"])
    if kind in (Kind.SAMWISE, Kind.OWN):
        facts["fits"] = _fits(path)
    return facts


def _frozen_lines(frozen: dict[str, dict[str, str]]) -> list[str]:
    """One line per part that is joined on loading: file, licence, and where it lies here."""
    from samwise_ros.model.frozen_parts import FROZEN_FILES, locate

    known = {file.sha256: file for file in FROZEN_FILES}
    lines = []
    for what, noted in frozen.items():
        try:
            place = str(locate(known[noted["sha256"]]))
        except (CheckpointError, KeyError):
            place = f"not here: package {noted['package']}"
        lines.append(f"{what}, {noted['licence']}, sha256 {noted['sha256']}, {place}")
    return lines


def _fits(path: Path) -> str:
    """"yes", or the message of strict loading."""
    from samwise_ros.model.checkpoint import find_weights, model_from_weights

    try:
        model_from_weights(find_weights(path.resolve()))
    except CheckpointError as error:
        return f"no: {error}"
    return "yes, every name and shape"


@app.command()
def download(
    names: Annotated[list[str] | None, typer.Argument(
        metavar="[NAME]...", show_default=False,
        help="What to fetch; without a name: list.")] = None,
) -> None:
    """Fetch published weights into the cache; an interrupted download goes on where it stopped.

    The cache is $XDG_CACHE_HOME/samwise_ros (by default ~/.cache/samwise_ros). The sha256 of each
    file is recorded when it is first used and verified every time after. Without network the error
    says which file to bring where by hand.

    \b
    Examples:
      samwise checkpoint download                   (what there is)
      samwise checkpoint download mevis roberta     (all that is needed to run the MeViS model)
    """
    from samwise_ros.model.download import DOWNLOADS, cache_dir

    if not names:
        Console(soft_wrap=True, highlight=False).print(_catalogue())
        say(f"cache: {cache_dir()}")
        return
    unknown = [name for name in names if name not in DOWNLOADS]
    if unknown:
        raise CheckpointError(
            f"nothing named {', '.join(unknown)}; there is {', '.join(DOWNLOADS)}")
    for name in names:
        _download_one(name)


def _catalogue() -> Table:
    from samwise_ros.model.download import DOWNLOADS, cache_dir

    table = Table("name", "file", "here", "from")
    for name, files in DOWNLOADS.items():
        for file in files:
            here = (cache_dir() / file.path).is_file()
            table.add_row(name, file.path, "yes" if here else "no", file.page)
    return table


def _show(progress: Progress, task: TaskID, done: int, total: int | None) -> None:
    progress.update(task, completed=done, total=total)


def _download_one(name: str) -> None:
    from samwise_ros.model.download import DOWNLOADS, fetch

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
               TransferSpeedColumn(), TimeRemainingColumn())
    for file in DOWNLOADS[name]:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(file.path, total=None)
            path, digest = fetch(file, progress=partial(_show, progress, task))
        say(f"{path}  sha256 {digest}")
