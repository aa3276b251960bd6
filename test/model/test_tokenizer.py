"""Expressions become the ids that the published model was trained with, offline, for any text."""

import shutil
import socket
from pathlib import Path

import pytest
import torch
from transformers import RobertaTokenizerFast

from samwise_ros.model.checkpoint_files import tokenizer_digest
from samwise_ros.model.text_encoder import PAD_ID
from samwise_ros.model.tokenizer import (
    MASK_TOKEN,
    TOKENIZER_FILES,
    ExpressionTokenizer,
    spacy_verb_finder,
    train_tokenizer,
)
from samwise_ros.structures import CheckpointError, CommandError, MissingDependencyError

PHRASES = [f"the {size} {colour} {noun} {place}" for size in ("small", "big", "left")
           for colour in ("red", "blue", "green", "yellow")
           for noun in ("mug", "ball", "duck", "car") for place in ("on the table", "that moves")]


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(PHRASES, folder, 300)
    return folder


@pytest.fixture(scope="module")
def small(small_folder: Path) -> ExpressionTokenizer:
    return ExpressionTokenizer(small_folder, max_tokens=64)


def test_roberta_ids_are_the_published_ones(shared_dir: Path) -> None:
    tokenizer = ExpressionTokenizer(shared_dir / "tokenizer" / "roberta-base")
    assert tokenizer.vocab_size == 50265
    assert tokenizer(["the horse jumping"]).ids.tolist() == [[0, 627, 5253, 9755, 2]]


def test_case_and_spaces_are_kept_as_given(shared_dir: Path) -> None:
    tokenizer = ExpressionTokenizer(shared_dir / "tokenizer" / "roberta-base")
    rows = [tokenizer([text]).ids.tolist() for text in ("The horse", "the horse", " the horse")]
    assert rows[0] != rows[1] and rows[1] != rows[2]


def test_shorter_rows_are_padded_and_masked(small: ExpressionTokenizer) -> None:
    tokens = small(["the red mug", "the small blue duck next to the box"])
    alone = small(["the red mug"])
    length = alone.ids.shape[1]
    assert torch.equal(tokens.ids[0, :length], alone.ids[0])
    assert (tokens.ids[0, length:] == PAD_ID).all()
    assert tokens.mask.tolist() == (tokens.ids != PAD_ID).tolist()
    assert tokens.ids.dtype == torch.int64 and tokens.mask.dtype == torch.bool


@pytest.mark.parametrize("text", [
    "🐎 gallops 👩‍🚀", "two\nlines\r\n\ttab", "Straße 馬 حصان", "\x00\x07"])
def test_any_unicode_is_represented_without_unknown_tokens(
        small: ExpressionTokenizer, text: str) -> None:
    ids = small([text]).ids[0].tolist()
    assert 3 not in ids and ids[0] == 0 and ids[-1] == 2
    assert small._tokenizer.decode(ids[1:-1], clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("text", ["", "   ", "\n", "\ud800 broken", None])
def test_text_that_says_nothing_is_refused(small: ExpressionTokenizer, text: str) -> None:
    with pytest.raises(CommandError):
        small([text])


def test_no_expressions_are_refused(small: ExpressionTokenizer) -> None:
    with pytest.raises(CommandError, match="at least one"):
        small([])


def test_a_too_long_expression_is_refused_with_the_limit(small: ExpressionTokenizer) -> None:
    with pytest.raises(CommandError, match="at most 64"):
        small(["the red mug " * 200])


def test_verbs_are_marked_token_by_token(small_folder: Path) -> None:
    text = "a duck that quickly jumps"
    start = text.index("jumps")
    finder = ExpressionTokenizer(small_folder, find_verbs=lambda _: [(start, start + 5)])
    tokens = finder([text, "a duck that quickly jumps over"])
    chosen = tokens.ids[0][tokens.verbs[0]]
    assert finder._tokenizer.decode(chosen).strip() == "jumps"
    assert tokens.verbs.shape == tokens.ids.shape and not tokens.verbs[:, 0].any()


def test_verbs_are_none_unless_a_finder_is_given(small: ExpressionTokenizer) -> None:
    assert small(["the duck that moves"]).verbs is None


def test_a_missing_verb_pipeline_says_how_to_install_it() -> None:
    with pytest.raises(MissingDependencyError, match="spacy"):
        spacy_verb_finder("no_such_pipeline_here")


def test_trained_special_ids_follow_roberta(small: ExpressionTokenizer) -> None:
    inner = small._tokenizer
    assert inner.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert inner.convert_tokens_to_ids(MASK_TOKEN) == small.vocab_size - 1 == 299


def test_training_twice_gives_the_same_files(small_folder: Path, tmp_path: Path) -> None:
    train_tokenizer(reversed(PHRASES), tmp_path, 300)
    for name in TOKENIZER_FILES:
        assert (tmp_path / name).read_bytes() == (small_folder / name).read_bytes()


def test_training_needs_room_and_phrases(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="at least 261"):
        train_tokenizer(PHRASES, tmp_path, 260)
    with pytest.raises(CommandError, match="no phrases"):
        train_tokenizer([], tmp_path)


def test_loading_uses_no_network(
        small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the tokeniser opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert ExpressionTokenizer(small_folder)(["the red mug"]).ids.shape[0] == 1


def test_a_missing_or_broken_folder_names_the_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"vocab.json and merges.txt missing"):
        ExpressionTokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text("{", encoding="utf-8")
    (tmp_path / "merges.txt").write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="tokeniser"):
        ExpressionTokenizer(tmp_path)


def test_foreign_special_ids_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(
        '{"a": 0, "<s>": 1, "<pad>": 2, "</s>": 3, "<unk>": 4, "<mask>": 5}', encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="expected 0, 1, 2, 3"):
        ExpressionTokenizer(tmp_path)


def test_what_the_digest_does_not_cover_is_not_read(small_folder: Path, tmp_path: Path) -> None:
    """A `tokenizer.json` would be preferred to the two files, and could hold other ids."""
    folder, other = tmp_path / "t", tmp_path / "other"
    shutil.copytree(small_folder, folder)
    digest, ids = tokenizer_digest(folder), ExpressionTokenizer(folder)(["the red mug"]).ids
    train_tokenizer(["zzz zzz zzz"], other, 262)
    RobertaTokenizerFast.from_pretrained(str(other)).save_pretrained(str(tmp_path / "saved"))
    for path in (tmp_path / "saved").iterdir():
        if path.name not in TOKENIZER_FILES:
            shutil.copy(path, folder)
    assert (folder / "tokenizer.json").is_file() and tokenizer_digest(folder) == digest
    torch.testing.assert_close(ExpressionTokenizer(folder)(["the red mug"]).ids, ids)


def test_a_byte_order_mark_is_read_over(small_folder: Path, tmp_path: Path) -> None:
    for name in TOKENIZER_FILES:
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (small_folder / name).read_bytes())
    expected = ExpressionTokenizer(small_folder)(["the red mug"]).ids
    torch.testing.assert_close(ExpressionTokenizer(tmp_path)(["the red mug"]).ids, expected)
