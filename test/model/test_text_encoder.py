"""Text encoders: one contract for RoBERTa and BERT."""

import pytest
import torch
from mini_builders import MICRO_MINI
from model_builders import TINY

from samwise_ros.config import TextConfig
from samwise_ros.model.text_encoder import Tokens, build_text_encoder, stack_text
from samwise_ros.structures import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIGS = {"roberta": TINY.text, "bert": MICRO_MINI.text}


def tokens_of(lengths: list[int], pad: int) -> Tokens:
    ids = torch.randint(5, 300, (len(lengths), max(lengths)))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Tokens(ids.masked_fill(~mask, pad), mask)


@pytest.mark.parametrize("kind", CONFIGS)
def test_layers_in_ranges_are_the_whole_network(kind: str) -> None:
    config: TextConfig = CONFIGS[kind]
    encoder = build_text_encoder(config).eval()
    tokens = tokens_of([6], 0)
    state = encoder.embed(tokens)
    for first in range(config.num_layers):
        state = encoder.run_layers(state, first, first + 1)
    whole = encoder.network(tokens.ids, tokens.mask.long()).last_hidden_state
    torch.testing.assert_close(state.hidden, whole, atol=1e-5, rtol=1e-4)
    assert encoder.run_layers(state, 2, 2) is state


@pytest.mark.parametrize("kind", CONFIGS)
def test_rows_do_not_see_their_neighbours_length(kind: str) -> None:
    encoder = build_text_encoder(CONFIGS[kind]).eval()
    tokens = tokens_of([3, 7], 1 if kind == "roberta" else 0)
    both = encoder.encode_prefix(tokens)
    alone = encoder.encode_prefix(Tokens(tokens.ids[:1, :3], tokens.mask[:1, :3]))
    torch.testing.assert_close(both.hidden[:1, :3], alone.hidden, atol=1e-5, rtol=1e-4)
    stacked = stack_text([alone, encoder.encode_prefix(Tokens(tokens.ids[1:], tokens.mask[1:]))])
    torch.testing.assert_close(stacked.hidden[:1, :3], alone.hidden)
    assert torch.equal(stacked.mask, tokens.mask)


def test_bert_is_frozen_and_roberta_is_not() -> None:
    bert, roberta = (build_text_encoder(CONFIGS[kind]).train() for kind in ("bert", "roberta"))
    assert not any(module.training for module in bert.modules()) and roberta.network.training
    assert not any(parameter.requires_grad for parameter in bert.parameters())


def test_fusion_after_equal_layers_is_allowed_and_falling_is_not() -> None:
    assert TINY.text.fusion_layers == (1, 2, 4)
    assert TINY.replace(text={"fusion_layers": (4, 4, 4)}).text.fusion_layers == (4, 4, 4)
    with pytest.raises(ConfigError, match="rising or equal"):
        TINY.replace(text={"fusion_layers": (4, 2, 4)})
