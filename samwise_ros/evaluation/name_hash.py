"""Weights that anyone can rebuild from (salt, official name, shape), to compare implementations.

The rule belongs to the recordings of the official code: a value is `offset + scale * z`, z uniform
with zero mean and unit variance, drawn from PCG64 seeded by crc32("salt:name"). Offset and scale
follow from the name and the number of dimensions.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Calibration = Mapping[str, float | Sequence[float]]


@dataclass(frozen=True)
class Entry:
    """Shape and NumPy dtype name of one entry of the official state dict."""

    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class _Rule:
    """`scale` is divided by the square root of the fan-in when `per_fan_in` is set."""

    pattern: str
    offset: float
    scale: float
    per_fan_in: bool = False
    only_1d: bool = False


# The first rule whose pattern is found in the name applies.
_RULES = (
    _Rule(r"\.running_var$", 1.0, 0.1),
    _Rule(r"\.running_mean$", 0.0, 0.1),
    _Rule(r"\.gamma$", 0.3, 0.1),
    _Rule(r"\.weight$", 1.0, 0.1, only_1d=True),  # norms
    _Rule(r"", 0.0, 0.05, only_1d=True),  # biases
    _Rule(r"positional_encoding_gaussian_matrix$", 0.0, 1.0),
    _Rule(r"(maskmem_tpos_enc|no_mem_pos_enc|no_mem_embed|spatial_pos_embed|pos_embed"
          r"|pos_embed_window)$", 0.0, 0.3),
    _Rule(r"(no_obj_ptr|_tokens?\.weight|point_embeddings\.\d+\.weight|not_a_point_embed\.weight"
          r"|no_mask_embed\.weight|embed_positions\.weight)$", 0.0, 0.7),
    _Rule(r"(pred_obj_score_head\.layers\.2|decision_class_head)\.weight$", 0.0, 4.0, True),
    _Rule(r"\.[qk]_proj\.weight$", 0.0, 1.5, True),
    _Rule(r"\.(qkv|in_proj)[._]weight$", 0.0, 1.3, True),
    _Rule(r"", 0.0, 1.0, True),  # every other matrix or kernel
)

_CONSTANTS = {"sentence_encoder.version": 3.0, "_float_tensor": 0.0}


def unit_noise(name: str, count: int, salt: str) -> np.ndarray:
    """float64 [count], uniform in (-sqrt 3, sqrt 3), from the salted name alone."""
    generator = np.random.PCG64(zlib.crc32(f"{salt}:{name}".encode()))
    # Every 64-bit word gives two integers, low half first: the little-endian view, on any machine.
    words = generator.random_raw((count + 1) // 2).astype("<u8")
    uniform = (words.view("<u4")[:count] + 0.5) * (1 / 4294967296.0)
    return (uniform * 2.0 - 1.0) * math.sqrt(3.0)


def make_tensor(name: str, entry: Entry, salt: str, calibration: Calibration) -> np.ndarray:
    """The array of one official name: float32, or int64 zeros for counters.

    Args:
        name: Official name. The head tied to the word embedding has the embedding's values.
        entry: Its shape and dtype.
        salt: Of the recording.
        calibration: Official name -> constant to add (scalar or one value per element).
    """
    if "int" in entry.dtype:
        return np.zeros(entry.shape, dtype=np.int64)
    for ending, constant in _CONSTANTS.items():
        if name.endswith(ending):
            return np.full(entry.shape, constant, dtype=np.float32)
    name = re.sub(r"\.lm_head\.weight$", ".sentence_encoder.embed_tokens.weight", name)
    dimensions = len(entry.shape)
    rule = next(r for r in _RULES
                if (not r.only_1d or dimensions == 1) and re.search(r.pattern, name))
    scale = rule.scale
    if rule.per_fan_in:
        scale = scale / math.sqrt(max(1, math.prod(entry.shape[1:])))
    noise = unit_noise(name, math.prod(entry.shape), salt).reshape(entry.shape)
    values = rule.offset + scale * noise
    if name in calibration:
        values = values + np.asarray(calibration[name], dtype=np.float64)
    return values.astype(np.float32)


def make_state(entries: Mapping[str, Entry], salt: str, calibration: Calibration,
               keep: Callable[[str], bool] = lambda _: True) -> tuple[dict[str, np.ndarray], str]:
    """All arrays, and their digest: crc32 (8 hex digits) over them in the order of sorted names.

    Args:
        entries: Official names.
        salt, calibration: See `make_tensor`.
        keep: Which names to return; the digest is over all of them.
    """
    crc, state = 0, {}
    for name in sorted(entries):
        array = make_tensor(name, entries[name], salt, calibration)
        crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
        if keep(name):
            state[name] = array
    return state, f"{crc:08x}"
