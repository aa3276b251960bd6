"""`samwise train-tokenizer`: a small byte-level BPE tokeniser for a small text encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from samwise_ros.cli.terminal import say
from samwise_ros.structures import DataError
from samwise_ros.user_files import claim_outputs, decode_text


def train_tokenizer(
    sources: Annotated[list[Path], typer.Argument(
        metavar="SOURCE...", show_default=False,
        help="Folders in the MeViS layout (`samwise simulate`), or text files with one sentence a "
             "line.")],
    out: Annotated[Path, typer.Option(help="Folder for vocab.json and merges.txt.",
                                      show_default=False)],
    vocab_size: Annotated[int, typer.Option(
        min=261, help="Number of ids at most; few sentences give fewer.")] = 1024,
) -> None:
    """Train a tokeniser on sentences; any other text stays representable, byte by byte.

    The special tokens have RoBERTa's ids. The same sentences give the same files, in any order.
    The simulator's motion wordings are added to those of data-set folders.

    Example: samwise train-tokenizer data/train --out tokenizer
    """
    from samwise_ros.model import tokenizer

    claim_outputs(out, tokenizer.TOKENIZER_FILES, sources)
    count = tokenizer.train_tokenizer(_sentences(sources), out, vocab_size)
    say(f"{count} ids -> {out}")


def _sentences(sources: list[Path]) -> Iterator[str]:
    folders = [source for source in sources if source.is_dir()]
    for path in sources:
        if not path.is_dir():
            yield from _lines(path)
    if folders:
        from samwise_ros.training.tokenizer_phrases import training_phrases

        yield from training_phrases(folders)


def _lines(path: Path) -> Iterator[str]:
    try:
        text = decode_text(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read sentences from {path}: {error}") from error
    yield from (line for line in text.splitlines() if line.strip())
