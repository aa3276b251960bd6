"""Settings as people write them -> typed configurations: values are made to fit their fields.

By hand: OmegaConf, which sam2 brings, refuses `Literal` and does not check the length of a tuple;
pydantic would be one more dependency of every robot for these hundred lines.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from samwise_ros.structures import ConfigError


def build_config(cls: type, values: Mapping[str, Any], path: str) -> Any:
    """Dataclass `cls` from nested mappings, whose dataclass fields are built in the same way.

    Args:
        path: Names the whole in messages: a file, or "model".

    Raises ConfigError that says where for unknown fields and bad values.
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(map(str, set(values) - set(hints)))
    if unknown:
        raise ConfigError(f"{path}: unknown setting(s) {', '.join(unknown)}; "
                          f"known are {', '.join(sorted(hints))}")
    built = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]) and not isinstance(value, hints[name]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{path}: {name}: expected a group of settings")
            value = build_config(hints[name], value, f"{path}: {name}")
        else:
            value = fit_value(value, hints[name], f"{path}: {name}")
        built[name] = value
    try:
        return cls(**built)
    except (TypeError, IndexError) as error:
        raise ConfigError(f"{path}: {error}") from error


def fit_value(value: Any, hint: Any, path: str) -> Any:
    """The value in the type of its field.

    "1e-4" (a text to YAML) is a number, 1e3 a whole one, and a single value where a list is meant a
    list of one.

    Args:
        value: From YAML, JSON or code.
        hint: `bool`, `int`, `float`, `str`, `Literal`, `X | None`, `tuple[X, ...]`,
            `Mapping[str, X]`; anything else is left alone.
        path: Names the setting in messages.

    Raises ConfigError for what does not fit.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in parts:
            return None
        return fit_value(value, next(part for part in parts if part is not type(None)), path)
    if origin is Literal:
        wanted = ", ".join(map(str, parts))
        return _checked(value, value in parts, f"one of {wanted}", path)
    if origin is tuple:
        return _fit_list(value, parts, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _checked(value, isinstance(value, Mapping), "a group of settings", path)
        return {str(key): fit_value(entry, parts[1], f"{path}.{key}")
                for key, entry in value.items()}
    if hint in (int, float):
        return _fit_number(value, hint, path)
    if hint is bool:
        return _checked(value, isinstance(value, bool), "true or false", path)
    if hint is str:
        _checked(value, not isinstance(value, (bool, list, tuple, Mapping, type(None))),
                 "a text", path)
        return str(value)
    return value


def _fit_list(value: Any, parts: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    _checked(value, value is not None and not isinstance(value, Mapping), "a list", path)
    entries = value if isinstance(value, (list, tuple)) else [value]
    if parts[1:] == (...,):
        parts = (parts[0],) * len(entries)
    _checked(value, len(entries) == len(parts), f"a list of {len(parts)}", path)
    return tuple(fit_value(entry, part, f"{path}[{index}]")
                 for index, (entry, part) in enumerate(zip(entries, parts, strict=True)))


def _fit_number(value: Any, hint: type, path: str) -> int | float:
    number = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
    whole = hint is int
    fits = math.isfinite(number) and not (whole and not number.is_integer())
    _checked(value, fits, "a whole number" if whole else "a number", path)
    if isinstance(value, int) or (isinstance(value, float) and not whole):
        return value  # as it was written: an int is not changed by way of a float
    return int(number) if whole else number


def _checked(value: Any, fits: bool, wanted: str, path: str) -> Any:
    if not fits:
        raise ConfigError(f"{path}: expected {wanted}, got {value!r}")
    return value
