"""The step and the text prefix as ONNX graphs of fixed shape, and what describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from samwise_ros.engines.flat_step import (
    FlatStep,
    StepInputs,
    named_inputs,
    named_tensors,
)
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, Tokens
from samwise_ros.streaming.frame_step import FrameStep
from samwise_ros.structures import MissingDependencyError, SamwiseError

OPSET = 18
FORBIDDEN = frozenset({"NonZero", "If", "Loop", "Scan"})
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
_ONE_FILE = 1_800_000_000  # bytes of weights; protobuf ends at 2 GiB


def export_step(step: FrameStep, inputs: StepInputs, path: Path) -> dict[str, Any]:
    """Write the step as ONNX. Weights of more than 1.8 GB go to a file beside it.

    Args:
        step: In eval mode, fp32, on the CPU.
        inputs: An example, whose shapes become those of the graph.
        path: The `.onnx` file.

    Returns:
        What a JSON beside it should say: opset, inputs, outputs, digest of the weights.

    Raises:
        MissingDependencyError: onnx or onnxscript is not installed.
        SamwiseError: The graph has an operator that engines of fixed shape refuse.
    """
    flat = FlatStep(step, inputs).eval()
    tensors = [tensor for _, tensor in named_inputs(inputs)]
    with torch.no_grad():
        # Tables become constants of the graph when they exist before it.
        step(*inputs._replace(state=inputs.state.copied()))
        outputs = flat(*(tensor.clone() for tensor in tensors))
    _write(flat, tensors, flat.input_names, flat.output_names, path)
    return _described(path, flat.input_names, tensors, flat.output_names, outputs, step.model)


class TextPrefix(nn.Module):
    """What of the text needs no picture: tokens -> the tensors of a `TextState`."""

    def __init__(self, model: SamwiseModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """int64 [N, L], bool [N, L] -> hidden [N, L, D], mask, and names where there are any."""
        state = self.model.encode_text(Tokens(ids, mask))
        return tuple(tensor for _, tensor in named_tensors(state, ""))


def export_text(model: SamwiseModel, length: int, path: Path) -> dict[str, Any]:
    """Write the text prefix for one sentence of `length` tokens, padded; see `export_step`."""
    ids = torch.ones(1, length, dtype=torch.int64)
    mask = torch.arange(length)[None] < 3
    prefix = TextPrefix(model).eval()
    with torch.no_grad():
        state = model.encode_text(Tokens(ids, mask))
        outputs = prefix(ids, mask)
    names = [name for name, _ in named_tensors(state, "text")]
    _write(prefix, [ids, mask], ["ids", "mask"], names, path)
    return _described(path, ["ids", "mask"], [ids, mask], names, outputs, model)


def padded_text(text: TextState, length: int) -> TextState:
    """The same sentences with blank tokens up to `length`, which no attention reads.

    Raises SamwiseError when they are longer.
    """
    missing = length - text.mask.shape[1]
    if missing < 0:
        raise SamwiseError(f"a sentence has {text.mask.shape[1]} tokens and the graph takes "
                           f"{length}: export it for more")

    def pad(part: Tensor | None) -> Tensor | None:
        if part is None or missing == 0:
            return part
        return torch.cat((part, part.new_zeros(part.shape[0], missing, *part.shape[2:])), dim=1)

    hidden, mask = pad(text.hidden), pad(text.mask)
    assert hidden is not None and mask is not None
    return TextState(hidden, mask, pad(text.verbs), text.names)


def halve_products(path: Path) -> None:
    """Rewrite a graph with its products in fp16: matrices, convolutions and their weights.

    Everything else, inputs and outputs stay fp32, so that memory, norms, softmax and what is
    compared with a threshold keep their range and bits; casts stand between.

    Raises MissingDependencyError when onnxruntime, whose converter this is, is not installed.
    """
    import onnx

    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingDependencyError("fp16 needs the Python package onnxruntime: "
                                     "pip install 'samwise_ros[onnx]'") from error
    model = onnx.load(path)
    others = {node.op_type for node in model.graph.node} - _PRODUCTS
    halved = convert_float_to_float16(model, keep_io_types=True, op_block_list=sorted(others))
    weights = path.with_name(path.name + ".data")
    external = weights.exists()
    weights.unlink(missing_ok=True)  # else onnx appends
    onnx.save_model(halved, path, save_as_external_data=external, location=weights.name)


def forbidden_operators(path: Path) -> list[str]:
    """What of an ONNX file has shapes that depend on data, steers, or carries complex numbers."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph, functions = model.graph, model.functions
    found = {node.op_type for part in (graph, *functions) for node in part.node}
    types = {value.type.tensor_type.elem_type
             for value in (*graph.value_info, *graph.input, *graph.output)}
    complex_types = types & {onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128}
    return sorted(found & FORBIDDEN) + (["complex numbers"] if complex_types else [])


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all weights and buffers, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write(module: nn.Module, tensors: Sequence[Tensor], input_names: list[str],
           output_names: list[str], path: Path) -> None:
    try:
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise MissingDependencyError("an ONNX graph needs the Python packages onnx and onnxscript: "
                                     "pip install 'samwise_ros[onnx]'") from error
    with torch.no_grad():
        program = torch.onnx.export(module, tuple(tensors), dynamo=True, opset_version=OPSET,
                                    input_names=input_names, output_names=output_names,
                                    verbose=False)
    weights = sum(value.nbytes for value in module.state_dict().values())
    if program is None:
        raise SamwiseError("torch.onnx.export returned nothing: torch is older than 2.6")
    program.save(str(path), external_data=weights > _ONE_FILE)
    if bad := forbidden_operators(path):
        raise SamwiseError(f"{path}: the graph has {', '.join(bad)}, which engines of fixed shape "
                           "refuse; this is a fault of samwise_ros")


def _described(path: Path, input_names: list[str], tensors: Sequence[Tensor],
               output_names: list[str], outputs: Sequence[Tensor],
               model: SamwiseModel) -> dict[str, Any]:
    return {
        "file": path.name, "opset": OPSET, "model": model.config.name,
        "weights_sha256": weights_digest(model), "torch": torch.__version__,
        "inputs": _shapes(input_names, tensors), "outputs": _shapes(output_names, outputs)}


def _shapes(names: Sequence[str], tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(tensor.shape),
             "dtype": str(tensor.dtype).removeprefix("torch.")}
            for name, tensor in zip(names, tensors, strict=True)]


def write_description(path: Path, description: dict[str, Any]) -> None:
    """Write the JSON beside a graph."""
    path.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
