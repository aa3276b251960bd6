"""Precision: what "auto" means where, what is refused, and that every GPU is called by its name."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_builders import make_frames
from torch.utils._python_dispatch import TorchDispatchMode

import samwise_ros
from samwise_ros.config import SessionConfig
from samwise_ros.model.matrices import Linear, Matrix
from samwise_ros.model.precision import arithmetic, resolve_precision
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import ConfigError

CPU, SECOND = torch.device("cpu"), torch.device("cuda:1")
ROOT = Path(samwise_ros.__file__).parent
# Without an argument they mean the current device, which need not be the model's.
OF_A_DEVICE = re.compile(
    r"torch\.cuda\.(synchronize|max_memory_\w+|memory_\w+|reset_\w+|get_device_\w+|mem_get_info|"
    r"current_stream|default_stream|Stream|graph_pool_handle)\(\)")


@pytest.mark.parametrize(("capability", "expected"), [
    ((7, 0), "fp32"), ((7, 5), "fp32"), ((8, 0), "bf16"), ((8, 7), "bf16"), ((12, 0), "bf16")])
def test_auto_is_bf16_on_gpus_with_units_for_it(
        monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "get_device_capability",
                        lambda device: asked.append(device) or capability)
    assert resolve_precision("auto", SECOND) == expected and asked == [SECOND]
    assert [resolve_precision(name, SECOND) for name in ("fp32", "bf16", "fp16")] == [
        "fp32", "bf16", "fp16"]


def test_on_a_cpu_auto_is_fp32_and_fp16_is_refused(micro_model: SamwiseModel) -> None:
    assert resolve_precision("auto", CPU) == "fp32" and resolve_precision("bf16", CPU) == "bf16"
    with pytest.raises(ConfigError, match=r"fp16 .* CPU .* auto, fp32 or bf16"):
        StreamingSession(micro_model, SessionConfig(precision="fp16"))


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_a_gpu_is_current_and_multiplies_as_asked_inside_the_block_only(
        monkeypatch: pytest.MonkeyPatch) -> None:
    current = []

    class Guard:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def __enter__(self) -> None:
            current.append(self.device)

        def __exit__(self, *_: object) -> None:
            current.pop()

    monkeypatch.setattr(torch.cuda, "device", Guard)
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for precision, tf32 in (("fp32", False), ("bf16", True), ("fp16", True)):
        with pytest.raises(ValueError, match="a frame"), arithmetic(SECOND, precision):
            assert current == [SECOND]
            assert [backend.allow_tf32 for backend in backends] == [tf32, tf32]
            raise ValueError("a frame that fails")
        assert not current and [backend.allow_tf32 for backend in backends] == before


def test_no_call_about_a_gpu_means_the_current_one() -> None:
    found = {str(path.relative_to(ROOT)): OF_A_DEVICE.findall(path.read_text(encoding="utf-8"))
             for path in ROOT.rglob("*.py")}
    assert not {path: calls for path, calls in found.items() if calls}


class Casts(TorchDispatchMode):
    """Notes what is cast, by address."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: set[int] = set()

    def __torch_dispatch__(self, func: Callable, types: tuple, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        """Note the call and pass it on."""
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.to):
            self.addresses.add(args[0].data_ptr())
        return func(*args, **(kwargs or {}))


def matrix_addresses(model: SamwiseModel) -> set[int]:
    """Of the weights of linear layers, and of the products that are folded from weights."""
    found = {part.weight.data_ptr() for part in model.modules() if isinstance(part, Linear)}
    for part in model.modules():
        for _, value in vars(part).get("_constants", {}).values():
            kept = value if isinstance(value, tuple) else (value, *vars_of(value))
            found |= {each.weight.data_ptr() for each in kept if isinstance(each, Matrix)}
    return found


def vars_of(record: object) -> tuple[object, ...]:
    return tuple(getattr(record, "__dict__", {}).values())


def test_matrices_are_cast_once_and_not_for_every_frame(micro_model: SamwiseModel) -> None:
    session = StreamingSession(micro_model, SessionConfig(precision="bf16"))
    session.submit("add:a: the red mug")
    frames = make_frames(3)
    with Casts() as first:
        for frame in frames[:2]:
            session.step(frame)
    with Casts() as later:
        session.step(frames[2])
    matrices = matrix_addresses(micro_model)
    assert len(first.addresses & matrices) > 50
    assert not later.addresses & matrices
