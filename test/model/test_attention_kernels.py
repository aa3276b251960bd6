"""Every attention has a form that fused kernels take: no score matrix is ever held."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from model_builders import make_frames
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from samwise_ros.model.attention import attend
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, Tokens
from samwise_ros.sizes import model_config
from samwise_ros.streaming.session import StreamingSession

_ALIGNMENT = 8  # bf16 values in 16 bytes


class AttentionCalls(TorchFunctionMode):
    """Notes why torch's memory-efficient CUDA kernel, the least picky one, would refuse a call.

    The rules are those of torch's sdp_utils.cpp; `torch.backends.cuda.can_use_efficient_attention`
    says False for everything where there is no GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.refused: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        """Judge calls of `scaled_dot_product_attention`, pass all calls on."""
        if func is F.scaled_dot_product_attention:
            self.count += 1
            reason = self._reason(*args[:3], (kwargs or {}).get("attn_mask"))
            if reason:
                self.refused.append(f"{reason}: {[tuple(part.shape) for part in args[:3]]}")
        return func(*args, **(kwargs or {}))

    @staticmethod
    def _reason(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> str:
        tensors = (query, key, value)
        if any(part.dim() != 4 for part in tensors):
            return "no head axis"
        if len({part.shape[:2] for part in tensors}) > 1:
            return "batch or heads differ"
        if any(part.stride(-1) != 1 for part in tensors):
            return "strided channels"
        if query.shape[-1] != key.shape[-1] or any(part.shape[-1] % _ALIGNMENT or
                                                   part.storage_offset() % _ALIGNMENT
                                                   for part in tensors):
            return "width or offset"
        full = (query.shape[0], query.shape[1], query.shape[2], key.shape[2])
        if mask is not None and (mask.dim() != 4 or any(
                size not in (1, whole) for size, whole in zip(mask.shape, full, strict=True))):
            return "shape of mask"
        return ""


@pytest.mark.parametrize("size", ["nano", "mini", "tiny", "base_plus"])
def test_cuda_has_a_fused_kernel_for_every_attention(size: str) -> None:
    """A frame with a full memory on the meta device, which takes the code path of a GPU."""
    config = model_config(size)
    model = SamwiseModel(config).eval().requires_grad_(False)
    calls = AttentionCalls()
    with calls:
        ids = torch.zeros(2, 6, dtype=torch.int64)
        text = model.encode_text(Tokens(ids, torch.ones_like(ids, dtype=torch.bool)))
    model.to("meta")
    text = TextState(*(None if part is None else part.to("meta")
                       for part in (text.hidden, text.mask, text.verbs, text.names)))
    with calls, torch.device("meta"):
        pixels, _ = model.pair_frames(torch.zeros(1, 1, 3, config.image_size, config.image_size))
        features = model.encode(pixels, text)[0].frame(0)
        first = model.segment_frame(features, MemoryBank())
        memory = model.encode_memory(features.vision, first.memorised)
        bank = MemoryBank(memory[:, None].repeat(1, 6, 1, 1),
                          first.prediction.pointer[:, None].repeat(1, 15, 1), 15,
                          first.prediction.peak)
        model.segment_frame(features, bank, torch.ones(2, dtype=torch.bool))
    assert calls.count > 2 * config.memory.attention_layers and not calls.refused


@pytest.mark.parametrize("widths", [(16, 16), (64, 16)])
def test_training_takes_a_fused_kernel_where_there_is_one(widths: tuple[int, int]) -> None:
    """The CPU's flash kernel takes equal widths; a GPU's memory-efficient one all of them."""
    query, key = (torch.randn(2, n, widths[0], requires_grad=True) for n in (300, 50))
    value = torch.randn(2, 50, widths[1])
    with AttentionCalls() as calls:
        expected = attend(query, key, value)
    assert calls.count == 1 and not calls.refused
    if widths[0] == widths[1]:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            torch.testing.assert_close(attend(query, key, value), expected)


@pytest.mark.usefixtures("one_thread")
def test_a_stream_on_the_cpu_never_takes_the_unfused_kernel(tiny_model: SamwiseModel) -> None:
    session = StreamingSession(tiny_model)
    session.submit("add:a: the red mug")
    session.submit("add:b: the green ball on the left")
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        for frame in make_frames(3):
            session.step(frame)
