"""Weights between those that a stage started from and those that it ended with.

    python -m samwise_ros.training.blend FIRST.safetensors LAST.safetensors \\
        --share 0.75 --out BLEND.safetensors

A stage gains what it trains for and loses a little of what was there before; on the straight line
between both ends there are weights with most of the one and most of the other (WiSE-FT, Wortsman et
al., CVPR 2022). The share is chosen on validation clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from samwise_ros.config import ModelConfig
from samwise_ros.model.checkpoint_check import compare, mismatch_error, shapes_of
from samwise_ros.training.checkpointing import best_weights, read_state, save_start
from samwise_ros.user_files import claim_outputs


def blend_checkpoints(start: Path, end: Path, share: float, out: Path) -> Path:
    """Write (1 - share) * start + share * end of the averaged weights.

    Args:
        start, end: Training checkpoints of one network.
        share: 0..1.
        out: Serves as `model.init` of a recipe and for `export_checkpoint`, not for `--resume`. The
            auxiliary heads are those of `end`.

    Raises CheckpointError for files that cannot be read or hold different parameters, and
    ConfigError when `out` exists.
    """
    claim_outputs(out.parent, [out.name], [start, end])
    state = read_state(end)
    before, after = best_weights(read_state(start)), best_weights(state)
    ours, expected = shapes_of(before), shapes_of(after)
    difference = compare(ours, expected)
    if difference:
        config = ModelConfig.from_dict(state["model_config"])
        raise mismatch_error(str(start), ours, expected, difference, config)
    blended = {name: torch.lerp(before[name].float(), value.float(), share)
               if value.is_floating_point() else value for name, value in after.items()}
    save_start(out, state, blended, state["heads"])
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path, help="training checkpoint that the stage started from")
    parser.add_argument("end", type=Path, help="its own checkpoint")
    parser.add_argument("--share", type=float, required=True, help="of the end, 0..1")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    if not 0 <= options.share <= 1:
        parser.error(f"--share: expected 0..1, got {options.share}")
    print(blend_checkpoints(options.start, options.end, options.share, options.out))


if __name__ == "__main__":
    main()
