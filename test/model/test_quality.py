"""Presets: what each changes, and that the memory tokens of "fast" are the ones it names."""

import pytest
import torch
import torch.nn.functional as F
from model_builders import MICRO, make_frames, make_model

from samwise_ros.model.memory_attention import attend_memory
from samwise_ros.model.memory_bank import MemoryBank, salient
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.quality import PRESETS, with_quality
from samwise_ros.sizes import SIZES, model_config
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
QUARTER = MICRO.replace(memory={"kept": 0.25})


@pytest.mark.parametrize("name", SIZES)
def test_exact_is_the_model_as_it_is_and_each_further_preset_is_cheaper(name: str) -> None:
    config = model_config(name)
    assert with_quality(config, "exact") == config
    found = [with_quality(config, preset) for preset in PRESETS]
    own = config.image_size
    sides = {1024: [1024, 768, 512], 448: [448, 320, 256], 192: [192, 128, 128]}[own]
    assert [each.image_size for each in found] == sides
    assert [each.memory.kept for each in found] == [1.0, 1.0, 0.25]
    assert {each.fit for each in found[1:]} == {"rectangle"}


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="exact, balanced, fast.*'best'"):
        with_quality(MICRO, "best")


def test_a_quarter_of_memory_is_what_a_mask_over_the_whole_of_it_gives() -> None:
    model, (rows, grid) = make_model(QUARTER), (2, 4)
    generator = torch.Generator().manual_seed(1)
    spatial = torch.randn(rows, 3, grid * grid, MICRO.memory.dim, generator=generator)
    pointers = torch.randn(rows, 5, MICRO.hidden_dim, generator=generator)
    vision = torch.randn(rows, MICRO.hidden_dim, grid, grid, generator=generator)
    found = model._read_memory(vision, MemoryBank(spatial, pointers))

    tokens = pointers.reshape(rows, -1, MICRO.memory.dim)
    position = F.pad(model._memory_position(3, grid, grid, keeps_first=False),
                     (0, 0, 0, tokens.shape[1]))
    seen = torch.zeros(rows, 3, grid * grid, dtype=torch.bool)
    seen.scatter_(2, salient(spatial, 4), value=True)
    assert (seen.sum(dim=2) == 4).all()
    code = model.sam.image_encoder.neck.position_encoding(vision[:1])
    expected = attend_memory(
        model.sam.memory_attention, vision, code,
        torch.cat((spatial.flatten(1, 2), tokens), dim=1), position, tokens.shape[1],
        F.pad(seen.flatten(1), (0, tokens.shape[1]), value=True))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_salient_tokens_are_those_unlike_the_rest_of_their_frame() -> None:
    spatial = torch.randn(1, 2, 16, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    spatial[0, 0, [3, 9]] += 5.0
    spatial[0, 1, [0, 15]] -= 5.0
    assert salient(spatial, 2).sort(dim=2).values.tolist() == [[[3, 9], [0, 15]]]


def test_a_stream_with_a_quarter_of_its_memory_answers_and_differs(
        tiny_tokenizer: ExpressionTokenizer) -> None:
    whole, quarter = (StreamingSession(make_model(config, tiny_tokenizer))
                      for config in (MICRO, QUARTER))
    frames = make_frames(4)
    for session in (whole, quarter):
        session.submit("add:a: the red mug")
    logits = [[session.step(frame).targets[0].mask_logits for frame in frames]
              for session in (whole, quarter)]
    assert (logits[0][0] == logits[1][0]).all(), "the first frame reads no memory"
    assert (logits[0][3] != logits[1][3]).any()
