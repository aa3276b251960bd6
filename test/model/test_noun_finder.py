"""Nouns leave the sentence and come back as queries."""

import pytest
import torch
from mini_builders import MICRO_MINI, make_mini

from samwise_ros.model.frozen_parts import MINILM_TOKENIZER, locate
from samwise_ros.model.noun_finder import (
    A_PHOTO_OF_A,
    END,
    OBJECT,
    START,
    NounFinder,
    embed_sentences,
    neutral,
    padded,
    read_sentences,
)
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.model.wordpiece import WordPieceTokenizer
from samwise_ros.structures import CheckpointError, CommandError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def tokenizer() -> WordPieceTokenizer:
    try:
        return WordPieceTokenizer(locate(MINILM_TOKENIZER), 64)
    except CheckpointError as error:
        pytest.skip(f"needs MiniLM's tokeniser: {error}")


def test_each_noun_becomes_one_word_object() -> None:
    ids, kinds = [START, 7, 8, 40, 41, 9, 50, END], [0, 0, 0, 1, 1, 0, 2, 0]
    assert neutral(ids, kinds) == [START, 7, 8, OBJECT, 9, OBJECT, END]
    assert neutral([5, 6], [1, 2]) == [OBJECT, OBJECT], "two nouns side by side stay two"


def test_given_nouns_are_used_and_embedded_as_a_photo() -> None:
    model = make_mini()
    tokens = padded([[START, 300, 301, 302, END], [START, 300, 303, END]])
    nouns = torch.tensor([[0, 0, 1, 2, 0], [0, 0, 1, 0, 0]])
    text = read_sentences(model.text_encoder, model.noun_finder,
                          Tokens(tokens.ids, tokens.mask, nouns=nouns))
    expected = embed_sentences(model.text_encoder, padded(
        [[START, *A_PHOTO_OF_A, noun, END] for noun in (301, 302, 303)]))
    torch.testing.assert_close(text.names[0], expected[:2], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(text.names[1, 0], expected[2], atol=1e-5, rtol=1e-4)
    assert (text.names[1, 1] == 0).all()


def test_the_text_layers_never_see_a_name() -> None:
    model = make_mini()
    texts = []
    for noun in (301, 555):
        tokens = padded([[START, 300, noun, END]])
        nouns = torch.tensor([[0, 0, 1, 0]])
        texts.append(model.encode_text(Tokens(tokens.ids, tokens.mask, nouns=nouns)))
    assert torch.equal(texts[0].hidden, texts[1].hidden)
    assert not torch.allclose(texts[0].names, texts[1].names, atol=1e-3)


def test_every_sentence_gets_a_target_noun_and_marks_are_none() -> None:
    model = make_mini()
    with torch.no_grad():
        model.noun_finder.head[-1].bias.copy_(torch.tensor([50.0, 0.0, 0.0]))
    tokens = padded([[START, 300, 301, 302, END], [START, 303, END]])
    kinds = model.noun_finder.find(model.text_encoder, tokens)
    assert ((kinds == 1).sum(dim=1) == 1).all()
    assert not kinds[~tokens.mask].any() and not kinds[:, 0].any() and kinds[1, 1] == 1


def test_a_few_sentences_teach_it() -> None:
    """A noun is what stands before 400 ("is"): the head reads it off the frozen states."""
    torch.manual_seed(0)
    encoder, finder = make_mini().text_encoder, NounFinder(MICRO_MINI.text.hidden_size)
    rows = [[START, *torch.randint(500, 900, (3,)).tolist(), 400, 410, END] for _ in range(64)]
    tokens, kinds = padded(rows), torch.tensor([[0, 0, 0, 1, 0, 0, 0]]).expand(64, -1)
    optimizer = torch.optim.Adam(finder.parameters(), 1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(finder(encoder, tokens).transpose(1, 2), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (finder.find(encoder, tokens) == kinds).float().mean() > 0.95


def test_constants_are_the_ids_of_the_published_vocabulary(tokenizer: WordPieceTokenizer) -> None:
    ids = tokenizer(["a photo of a object"]).ids[0].tolist()
    assert ids == [START, *A_PHOTO_OF_A, OBJECT, END]


def test_spans_of_characters_mark_their_tokens(tokenizer: WordPieceTokenizer) -> None:
    sentence = "The red cheeseburger left of the cup"
    tokens = tokenizer([sentence], [((8, 20), (33, 36))])
    named = [tokenizer._tokenizer.decode([i]) for i, kind in
             zip(tokens.ids[0].tolist(), tokens.nouns[0].tolist(), strict=True) if kind == 1]
    assert "".join(named).replace("##", "") == "cheeseburger"
    assert (tokens.nouns == 2).sum() == 1


def test_what_is_no_sentence_is_refused(tokenizer: WordPieceTokenizer) -> None:
    for bad, why in (([], "at least one"), (["  "], "empty"), (["cup " * 80], "at most 64")):
        with pytest.raises(CommandError, match=why):
            tokenizer(bad)
