"""torch.compile on the parts of a model whose shapes stay the same from frame to frame.

Memory attention and HSA read what has been filled during the first frames, and would be compiled
again and again; they stay as they are.
"""

from __future__ import annotations

import shutil

from torch import nn

from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.structures import MissingDependencyError


def fixed_parts(model: SamwiseModel) -> list[nn.Module]:
    """Modules that see tensors of one shape per camera and number of targets."""
    trunk = model.sam.image_encoder.trunk
    motion = () if model.motion_branch is None else (model.motion_branch,)
    blocks = [part for child in trunk.children()
              for part in (child if isinstance(child, nn.ModuleList) else (child,))]
    return [*blocks, *motion, model.sam.memory_encoder,
            model.sam.sam_mask_decoder.transformer]


def compile_parts(model: SamwiseModel) -> None:
    """Have `fixed_parts` compiled at their first call, which then takes up to a minute on a CPU.

    Another camera size or number of targets compiles once more. Results agree up to rounding.

    Raises:
        MissingDependencyError: There is no C++ compiler for a model on the CPU.
    """
    if model.device.type == "cpu" and not any(shutil.which(name) for name in ("g++", "clang++")):
        raise MissingDependencyError(
            "compile: torch.compile on the CPU needs a C++ compiler and there is neither g++ nor "
            "clang++; install one (apt install g++) or switch compile off")
    for part in fixed_parts(model):
        part.compile()
