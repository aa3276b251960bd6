"""Trees of tensors and plain values in one file that runs no code when it is read.

A safetensors file holds the tensors; its header holds the rest as JSON, with the name of a tensor
where the tensor belongs. One file, so that renaming it replaces the old state as a whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from samwise_ros.structures import CheckpointError

_HEADER = "samwise_training"  # of our JSON among a safetensors file's metadata
_TENSOR = "tensor"  # {"tensor": name} stands for a tensor


def write_tree(path: Path, tree: Mapping[str, Any]) -> None:
    """Write by renaming, so that an interrupted write leaves the old file.

    Args:
        path: Its folder is made if absent.
        tree: Nested dictionaries (text or whole numbers as keys) and lists of tensors, texts,
            numbers and None.
    """
    tensors: dict[str, Tensor] = {}
    header = json.dumps(_take_tensors(tree, "", tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={_HEADER: header})
    if path.exists():
        shutil.copymode(path, part)
    else:  # safetensors makes files that only the owner can read
        part.chmod(0o666 & ~_umask())
    os.replace(part, path)


def read_tree(path: Path) -> dict[str, Any]:
    """What `write_tree` wrote; lists in place of tuples, keys that are whole numbers as such.

    Raises CheckpointError for a file that is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            return _put_tensors(header, file)
    except KeyError as error:
        raise CheckpointError(f"{path} is not a training checkpoint: no {error} in it") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"training checkpoint {path}: missing, damaged, or a pickle of an earlier version, "
            f"which is not read any more because reading it could run code ({error})") from error


def has_tree(path: Path) -> bool:
    """Whether `write_tree` wrote the file."""
    try:
        with safe_open(path, framework="pt") as file:
            return _HEADER in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _take_tensors(node: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        tensors[name] = node.detach().cpu().contiguous().clone()  # no two may share memory
        return {_TENSOR: name}
    if isinstance(node, Mapping):
        return {str(key): _take_tensors(value, f"{name}.{key}" if name else str(key), tensors)
                for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_take_tensors(value, f"{name}.{index}", tensors)
                for index, value in enumerate(node)]
    return node


def _put_tensors(node: Any, file: Any) -> Any:
    if isinstance(node, list):
        return [_put_tensors(value, file) for value in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {_TENSOR} and isinstance(node[_TENSOR], str):
        return file.get_tensor(node[_TENSOR])
    return {int(key) if key.isdecimal() else key: _put_tensors(value, file)
            for key, value in node.items()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
