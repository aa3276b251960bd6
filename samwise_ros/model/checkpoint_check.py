"""Does a set of weights fit a model, which model do they fit, and if not, why not?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from samwise_ros.config import ModelConfig
from samwise_ros.model.key_map import absent_in_ris
from samwise_ros.sizes import SIZES, model_config
from samwise_ros.structures import CheckpointError

Shape = tuple[int, ...]

_LISTED = 12  # names shown per group in a message
_TRUNK = "sam.image_encoder.trunk."
_MOTION = "sam.sam_prompt_encoder.project_motion_prompts."
_SAM21 = ("sam.no_obj_embed_spatial", "sam.obj_ptr_tpos_proj.")


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@dataclass(frozen=True)
class Difference:
    """How the entries of a file differ from those of a model (our names).

    Attributes:
        missing: Names that the model has and the file lacks.
        unexpected: Names that the file has and the model lacks.
        misshaped: Name -> (shape in the file, shape in the model).
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: dict[str, tuple[Shape, Shape]]

    def __bool__(self) -> bool:
        """True when there is any difference."""
        return bool(self.missing or self.unexpected or self.misshaped)


def compare(file: Mapping[str, Shape], model: Mapping[str, Shape]) -> Difference:
    """Compare names and shapes of a file with those of a model."""
    return Difference(
        tuple(name for name in model if name not in file),
        tuple(name for name in file if name not in model),
        {name: (file[name], shape) for name, shape in model.items()
         if name in file and file[name] != shape})


def mismatch_error(what: str, file: Mapping[str, Shape], model: Mapping[str, Shape],
                   difference: Difference, config: ModelConfig) -> CheckpointError:
    """The error for weights that do not fit: names, shapes and the likely cause.

    Args:
        what: The file, for the message.
        file: Shapes in the file. model: Shapes of the model.
        difference: `compare(file, model)`.
        config: The model's configuration.
    """
    lines = [f"{what} does not fit the model {config.name!r}."]
    lines += [f"Likely cause: {cause}" for cause in likely_causes(file, difference, config)]
    lines += _listing("missing", [f"{name} {list(model[name])}" for name in difference.missing])
    lines += _listing("unexpected", [f"{n} {list(file[n])}" for n in difference.unexpected])
    lines += _listing("of another shape", [
        f"{name}: {list(found)} in the file, {list(expected)} in the model"
        for name, (found, expected) in difference.misshaped.items()])
    return CheckpointError("\n".join(lines))


def _listing(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return []
    lines = [f"{len(entries)} {title}:"] + ["  " + entry for entry in entries[:_LISTED]]
    if len(entries) > _LISTED:
        lines.append(f"  ... and {len(entries) - _LISTED} more")
    return lines


def likely_causes(file: Mapping[str, Shape], difference: Difference,
                  config: ModelConfig) -> list[str]:
    """Plain explanations that fit the difference, most telling first; may be empty."""
    missing, unexpected, misshaped = (
        difference.missing, difference.unexpected, difference.misshaped)
    causes = []
    if any(name.startswith(_SAM21) for name in unexpected):
        causes.append("the image part is SAM 2.1; SAMWISE is built on SAM 2.0 (files of 072824)")
    size = recognise_size(file)
    if size is not None and size != config.name and any(n.startswith(_TRUNK) for n in misshaped):
        causes.append(f"the file is of size {size!r}: load it as that size")
    elif size is None and any(name.startswith(_TRUNK) for name in misshaped):
        causes.append("the image trunk has none of the published sizes")
    if missing and all(absent_in_ris(name) for name in missing):
        causes.append(
            "this is a RIS pre-training checkpoint: HSA and the object-score head were never "
            "trained. To fill them, say so: allow_ris=True (--allow-ris); to run it as it was "
            "trained: cmt={'hsa': False}, decoder={'predict_object_score': False}")
    if any(name.startswith(_MOTION) for name in (*missing, *unexpected)):
        causes.append("motion_prompt differs: the file was trained with it "
                      f"{'off' if config.motion_prompt else 'on'}")
    causes += _shape_causes(misshaped)
    if missing and not causes and not misshaped:
        groups = sorted({name.split(".")[0] for name in missing})
        causes.append(f"the file is incomplete: parts of {', '.join(groups)} are not in it")
    return causes


def _shape_causes(misshaped: Mapping[str, tuple[Shape, Shape]]) -> list[str]:
    patterns = {
        r"word_embeddings": "the text encoder has another vocabulary",
        r"spatial_pos_embed$": "HSA was trained with other patch sides",
        r"position_embeddings": "the text encoder has another maximum length",
        r"proj_vis_down\.1": "the adapters have another width (adapter_dim)",
    }
    return [cause for pattern, cause in patterns.items()
            if any(re.search(pattern, name) for name in misshaped)]


def _trunk_signature(shapes: Mapping[str, Shape]) -> tuple[int, Shape, int] | None:
    """Width, background table and number of blocks of the image trunk."""
    table = shapes.get(_TRUNK + "pos_embed")
    if table is None:
        return None
    blocks = {int(found[1]) for name in shapes
              if (found := re.match(re.escape(_TRUNK) + r"blocks\.(\d+)\.", name))}
    return table[1], table[2:], len(blocks)


def recognise_size(shapes: Mapping[str, Shape]) -> str | None:
    """The published size (or nano) whose image trunk has these shapes; None when none has."""
    found = _trunk_signature(shapes)
    for name in SIZES:
        config = model_config(name)
        if config.trunk != "hiera":
            continue
        hiera = config.hiera
        table = tuple(hiera.window_pos_embed_bkg_spatial_size)
        if found == (hiera.embed_dim, table, sum(hiera.stages)):
            return name
    return None


def recognise_config(shapes: Mapping[str, Shape], what: str) -> ModelConfig:
    """The model that an official SAMWISE file belongs to, from its shapes.

    A file without HSA or object score is not
    adapted to: strict loading reports it (it may be the RIS file). Raises CheckpointError when the
    image trunk has none of the published sizes.
    """
    size = recognise_size(shapes)
    if size is None:
        raise CheckpointError(
            f"{what}: no size of SAMWISE has such an image trunk (width, position table, blocks: "
            f"{_trunk_signature(shapes)}); known are {', '.join(SIZES)}")
    return model_config(size)


_PARTS: dict[tuple[str, str], Callable[[str], bool]] = {
    ("cmt", "enabled"): lambda name: name.startswith("cmt_adapters."),
    ("cmt", "hsa"): lambda name: re.match(
        r"cmt_adapters\.\d+\.(hsa\.|norm_pre_HSA\.|spatial_pos_embed$)", name) is not None,
    ("cme", "enabled"): lambda name: name.startswith("conditional_memory_encoder."),
    ("decoder", "predict_object_score"): lambda name: re.match(
        r"sam\.(no_obj_ptr$|sam_mask_decoder\.(obj_score_token|pred_obj_score_head)\.)",
        name) is not None,
    ("", "motion_prompt"): lambda name: name.startswith(_MOTION),
    ("", "motion_lag"): lambda name: name.startswith("motion_branch."),
}


def switched_off(changes: Mapping[str, Any]) -> Callable[[str], bool]:
    """Test for names of the parts that the caller switched off by an explicit `False` or 0.

    Their weights may be in the file and are left out without complaint (ablations).
    """
    tests = []
    for (group, option), test in _PARTS.items():
        scope = changes.get(group, {}) if group else changes
        if isinstance(scope, Mapping) and not scope.get(option, True):
            tests.append(test)
    return lambda name: any(test(name) for test in tests)
