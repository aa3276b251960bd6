"""Sentences to token ids: RoBERTa's byte-level BPE from local files, and how to train a small one.

Ids and rules follow SAMWISE's inference: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, no lower-casing,
no truncation, rows padded to the longest of the call. Nothing here touches the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import RobertaTokenizerFast

from samwise_ros.model.text_encoder import Tokens
from samwise_ros.structures import CheckpointError, CommandError, MissingDependencyError
from samwise_ros.user_files import decode_text

TOKENIZER_FILES = ("vocab.json", "merges.txt")
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0..3, as in RoBERTa
MASK_TOKEN = "<mask>"  # last id
PACKAGED_TOKENIZER = Path(__file__).resolve().parents[1] / "assets" / "tokenizer"

VerbFinder = Callable[[str], Sequence[tuple[int, int]]]  # expression -> [start, end) of its verbs


class ExpressionTokenizer:
    """Byte-level BPE tokeniser read from a folder with `vocab.json` and `merges.txt`.

    Args:
        folder: The folder with both files.
        max_tokens: Longest row in tokens, `<s>` and `</s>` included (`TextConfig.max_tokens`).
        find_verbs: Gives the character ranges of an expression's verbs; only for the motion
            prompt (`spacy_verb_finder` is the published one).

    Raises CheckpointError when the folder is not a RoBERTa-style tokeniser.
    """

    def __init__(self, folder: Path | str, max_tokens: int = 512,
                 find_verbs: VerbFinder | None = None) -> None:
        self.folder = Path(folder)
        self.max_tokens = max_tokens
        self.find_verbs = find_verbs
        self._tokenizer = _load(self.folder)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return len(self._tokenizer)

    def __call__(self, expressions: Sequence[str]) -> Tokens:
        """Tokenise N expressions, padded to the longest of them.

        Raises CommandError for an empty call, a blank expression, text that is not valid Unicode,
        and an expression longer than `max_tokens`.
        """
        check_texts(expressions)
        batch = self._tokenizer(
            list(expressions), add_special_tokens=True, padding=True, truncation=False,
            return_tensors="pt", return_offsets_mapping=self.find_verbs is not None)
        tokens = Tokens(batch["input_ids"], batch["attention_mask"].bool())
        refuse_long(expressions, tokens, self.max_tokens)
        if self.find_verbs is None:
            return tokens
        verbs = [_inside(spans, self.find_verbs(expression)) for spans, expression
                 in zip(batch["offset_mapping"], expressions, strict=True)]
        return Tokens(tokens.ids, tokens.mask, torch.stack(verbs))


def spacy_verb_finder(pipeline: str = "en_core_web_sm") -> VerbFinder:
    """The published verb finder: words that spaCy tags VERB (motion prompt, docs/model.md, 2.3).

    Raises MissingDependencyError when spaCy or the pipeline is not installed.
    """
    try:
        import spacy

        language = spacy.load(pipeline)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            "the motion prompt finds verbs with spaCy: `pip install spacy` and "
            f"`python -m spacy download {pipeline}`, or switch motion_prompt off") from error

    def find(expression: str) -> list[tuple[int, int]]:
        return [(word.idx, word.idx + len(word)) for word in language(expression)
                if word.pos_ == "VERB"]

    return find


def _inside(spans: torch.Tensor, ranges: Sequence[tuple[int, int]]) -> torch.Tensor:
    """bool [L]: which token spans [L, 2] are not empty and lie inside one of the ranges."""
    start, end = spans.unbind(1)
    found = torch.zeros_like(start, dtype=torch.bool)
    for first, last in ranges:
        found |= (start >= first) & (end <= last) & (end > start)
    return found


def check_texts(expressions: Sequence[str]) -> None:
    """Raise CommandError for an empty call, a blank expression and text that is not Unicode."""
    if not expressions:
        raise CommandError("expected at least one expression, got none")
    for expression in expressions:
        if not isinstance(expression, str):
            raise CommandError(f"an expression is text, got {type(expression).__name__}")
        if not expression.strip():
            raise CommandError("the expression is empty: say what to look for")
        try:
            expression.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CommandError(f"the expression is not valid Unicode text: {error}") from error


def refuse_long(expressions: Sequence[str], tokens: Tokens, limit: int) -> None:
    """Raise CommandError for the first expression of more than `limit` tokens."""
    for expression, count in zip(expressions, tokens.mask.sum(1).tolist(), strict=True):
        if count > limit:
            raise CommandError(
                f"the expression {expression[:40]!r}... has {count} tokens; this model takes "
                f"at most {limit} (start and end marks included): shorten it")


def _load(folder: Path) -> RobertaTokenizerFast:
    """The HF tokeniser of `folder`, checked to have RoBERTa's special ids."""
    missing = [name for name in TOKENIZER_FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"no tokeniser in {folder}: {' and '.join(missing)} missing; give a folder with "
            "RoBERTa's vocab.json and merges.txt (`samwise checkpoint download roberta`)")
    try:
        tokenizer = _read_only(folder, TOKENIZER_FILES)
    except Exception as error:  # the library raises bare Exception for broken files
        raise CheckpointError(f"cannot read the tokeniser in {folder}: {error}") from error
    ids = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    if ids != list(range(len(SPECIAL_TOKENS))):
        raise CheckpointError(
            f"the tokeniser in {folder} has ids {ids} for {', '.join(SPECIAL_TOKENS)}; "
            "expected 0, 1, 2, 3 as in RoBERTa")
    return tokenizer


def _read_only(folder: Path, names: Sequence[str]) -> RobertaTokenizerFast:
    """Read these files and no other: `tokenizer.json` beside them would come first, undigested.

    From a folder of copies, for transformers 5 silently ignores vocab_file= and merges_file=.
    """
    with TemporaryDirectory() as copies:
        for name in names:
            text = decode_text((folder / name).read_bytes())
            Path(copies, name).write_text(text, encoding="utf-8")
        return RobertaTokenizerFast.from_pretrained(copies, local_files_only=True)


def train_tokenizer(phrases: Iterable[str], folder: Path | str, vocab_size: int = 1024) -> int:
    """Train a byte-level BPE on `phrases` and write `vocab.json` and `merges.txt` to `folder`.

    Any Unicode text stays representable: all 256 bytes are in the vocabulary. The special tokens
    have RoBERTa's ids 0..3, `<mask>` has the last. The same phrases give the same files.

    Args:
        phrases: Training text; none of it is stored apart from the merges learnt.
        folder: Made if absent; the two files in it are replaced.
        vocab_size: Number of ids, at most; few phrases may give fewer.

    Returns the number of ids. Raises CommandError for a vocabulary that cannot hold the bytes or
    for no phrases at all.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    smallest = 256 + len(SPECIAL_TOKENS) + 1
    if vocab_size < smallest:
        raise CommandError(f"vocab_size: expected at least {smallest} (256 bytes and the special "
                           f"tokens), got {vocab_size}")
    phrases = sorted(set(phrases))
    if not phrases:
        raise CommandError("no phrases to train a tokeniser on")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(phrases, trainers.BpeTrainer(
        vocab_size=vocab_size - 1, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.model.save(str(folder))
    return _append_mask(folder / "vocab.json")


def _append_mask(path: Path) -> int:
    vocab = json.loads(path.read_text(encoding="utf-8"))
    vocab[MASK_TOKEN] = len(vocab)
    ordered = dict(sorted(vocab.items(), key=lambda item: item[1]))
    path.write_text(json.dumps(ordered, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    return len(ordered)
