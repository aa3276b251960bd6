"""Products by oneDNN: the same as torch's, taken where they pay, and never stale."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from model_builders import MICRO, make_frames, make_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from samwise_ros.model import attention, cmt, convolutions, matrices
from samwise_ros.model.attention import attend
from samwise_ros.model.constants import constant
from samwise_ros.model.convolutions import PaddedConv
from samwise_ros.model.efficientnet import Lite0Trunk
from samwise_ros.model.matrices import ONEDNN, Linear, Matrix, use_matrices
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.model.trunk import GlobalAttention, HieraTrunk
from samwise_ros.sizes import model_config
from samwise_ros.streaming.session import StreamingSession

pytestmark = [pytest.mark.usefixtures("one_thread"),
              pytest.mark.skipif(ONEDNN is None, reason="this torch is built without oneDNN")]


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Callable, types: tuple, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        """Note the call and pass it on."""
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))

    @property
    def by_onednn(self) -> int:
        """Products."""
        return sum("_linear_pointwise" in name for name in self.names)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is to multiply."""
    for module in (matrices, attention, cmt, convolutions):
        monkeypatch.setattr(module, "pays", lambda *_: not torch.is_grad_enabled())


def test_a_large_product_is_onednns_and_the_same() -> None:
    x, weight, bias = numbers(2, 300, 96), numbers(64, 96), numbers(64)
    matrix = Matrix(weight, bias)
    with torch.no_grad(), Operations() as counted:
        torch.testing.assert_close(matrix(x), F.linear(x, weight, bias), atol=1e-4, rtol=1e-5)
        matrix(x)
        assert counted.by_onednn == 2
        assert sum("reorder" in name for name in counted.names) == 1, "arranged once"
        matrix(x[:, :5])
        with torch.autocast("cpu", torch.bfloat16):
            assert matrix(x).dtype == torch.bfloat16
        assert counted.by_onednn == 2
    weight.requires_grad_(True)
    matrix(x).sum().backward()
    assert weight.grad is not None


def test_a_linear_layer_follows_its_weights_and_can_be_copied() -> None:
    layer = nn.Sequential(nn.Linear(96, 64))
    names = list(layer.state_dict())
    use_matrices(layer)
    assert isinstance(layer[0], Linear) and list(layer.state_dict()) == names
    x = numbers(300, 96)
    with torch.no_grad():
        before = layer(x)
        other = copy.deepcopy(layer)
        layer[0].weight.mul_(2)
        torch.testing.assert_close(layer(x), F.linear(x, layer[0].weight, layer[0].bias),
                                   atol=1e-5, rtol=1e-5)
        assert torch.equal(other(x), before)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("width", [16, 40])
def test_long_attention_is_attention(width: int) -> None:
    query, key, value = numbers(2, 300, 16), numbers(2, 50, 16), numbers(2, 50, width)
    seen = torch.arange(50)[None] < torch.tensor([[50], [20]])
    scores = (query @ key.transpose(1, 2) / 4).masked_fill(~seen[:, None], -torch.inf)
    with torch.no_grad(), Operations() as counted:
        found = attend(query, key, value, seen=seen)
    assert counted.by_onednn == 2 * 2 * 2  # rows, blocks of queries, products
    torch.testing.assert_close(found, scores.softmax(dim=-1) @ value, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("always")
def test_attention_to_few_words_is_attention() -> None:
    layer = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    nn.init.normal_(layer.in_proj_bias)
    nn.init.normal_(layer.out_proj.bias)
    pixels, words = numbers(2, 50, 32), numbers(2, 7, 32)
    mask = torch.arange(7)[None] < torch.tensor([[7], [3]])
    expected, _ = layer(pixels, words, words, key_padding_mask=~mask)
    with torch.no_grad(), Operations() as counted:
        found = cmt.fused_attention(layer, pixels, words, words, mask)
    assert not any("attention" in name for name in counted.names)
    torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("always")
def test_attention_of_few_words_is_attention() -> None:
    layer = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    nn.init.normal_(layer.in_proj_bias)
    nn.init.normal_(layer.out_proj.bias)
    pixels, words = numbers(2, 50, 32), numbers(2, 7, 32)
    expected, _ = layer(words, pixels, pixels)
    with torch.no_grad(), Operations() as counted:
        found = cmt.fused_attention(layer, words, pixels, pixels)
    assert not any("attention" in name for name in counted.names)
    torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("always")
def test_few_vectors_are_multiplied_without_a_second_copy_of_the_matrix() -> None:
    layer = nn.Sequential(nn.Linear(96, 64))
    use_matrices(layer)
    x = numbers(9, 96)
    with torch.no_grad(), Operations() as counted:
        found = layer(x)
    assert counted.by_onednn == 1 and not any("reorder" in name for name in counted.names)
    torch.testing.assert_close(found, F.linear(x, layer[0].weight, layer[0].bias).detach(),
                               atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("always")
def test_global_attention_of_the_trunk_is_sam2s() -> None:
    trunk = HieraTrunk(model_config("nano").hiera)
    layer = next(part for part in trunk.modules() if isinstance(part, GlobalAttention))
    x = numbers(2, 5, 6, layer.dim)
    expected = super(GlobalAttention, layer).forward(x)  # with gradients: torch's own
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_a_stream_is_the_same_by_onednn(monkeypatch: pytest.MonkeyPatch,
                                        tiny_tokenizer: ExpressionTokenizer) -> None:
    def answers() -> list[Tensor]:
        session = StreamingSession(make_model(MICRO, tiny_tokenizer, seed=1))
        session.submit("add:a: the red mug")
        session.submit("add:b: the green ball on the left")
        return [torch.from_numpy(target.mask_logits) for frame in make_frames(3)
                for target in session.step(frame).targets]

    with monkeypatch.context() as patched:
        for module in (matrices, attention, cmt, convolutions):
            patched.setattr(module, "pays", lambda *_: not torch.is_grad_enabled())
        by_onednn = answers()
    monkeypatch.setattr(matrices, "ONEDNN", None)
    for one, other in zip(by_onednn, answers(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


def test_lite0s_convolutions_are_onednns_and_the_same(always: None) -> None:
    trunk = Lite0Trunk()
    pixels = numbers(1, 3, 64, 96)

    def run(of: Lite0Trunk) -> Tensor:
        v = of.embed(pixels, (64, 96))
        for stage in range(4):
            v = of.run_stage(v, stage)
        return of.semantic(v)

    for factor in (1, 2):  # the second time with other weights
        with torch.no_grad():
            trunk.stem.weight.mul_(factor)
            found = run(trunk)
            copied = run(copy.deepcopy(trunk))
        with torch.enable_grad():
            plain = run(trunk)
        torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(copied, plain, atol=1e-5, rtol=1e-5)
    with torch.no_grad(), Operations() as counted:
        run(trunk)
    assert sum("_convolution_pointwise" in name for name in counted.names) == 49
    other = ("aten.convolution", "pad", "reorder", "clamp", "hardtanh", "relu")
    assert not [name for name in counted.names if any(word in name for word in other)]


def test_weights_are_arranged_for_each_shape_and_few_are_kept(always: None) -> None:
    """oneDNN would arrange weights that wait for another shape anew in every call."""
    conv = PaddedConv(8, 16, 3, 2)
    inputs = [numbers(1, 8, side, side) for side in (8, 16, 24, 32, 40, 8)]
    with torch.no_grad():
        found = [conv(x) for x in inputs]
        kernel = constant(conv, "kernel", (conv.weight,), lambda: pytest.fail("made anew"))
    shapes = [x.shape for x in inputs]
    assert list(kernel._arranged) == [*shapes[2:5], shapes[0]]
    with torch.enable_grad():
        for x, each in zip(inputs, found, strict=True):
            torch.testing.assert_close(each, conv(x), atol=1e-5, rtol=1e-5)
