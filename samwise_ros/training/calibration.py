"""Where "absent" begins: what a shift of the object score costs and gains on validation clips.

    python -m samwise_ros.training.calibration CHECKPOINT.safetensors data/packed/clips_val24

Training weighs what is there against what is not by how often each is asked. The table shows other
weights of the two; the chosen shift goes into the recipe (`score_shift`) and from there into the
exported weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from samwise_ros.config import ModelConfig
from samwise_ros.data.packed import PackedClips
from samwise_ros.training.checkpointing import read_state
from samwise_ros.training.export import shift_score, trained_model
from samwise_ros.training.validation import KindScore, QuickValidation

SHIFTS = (0.0, -0.7, -1.4)


def score_by_shift(checkpoint: Path, packs: Sequence[PackedClips], frames: int, expressions: int,
                   shifts: Sequence[float] = SHIFTS,
                   ) -> Iterator[tuple[float, dict[str, KindScore]]]:
    """(shift, scores by kind) of a training checkpoint, in stream mode.

    Args:
        checkpoint: Written by `samwise train`.
        packs: Validation data.
        frames: Frames from the start of each clip.
        expressions: Stop after about this many.
        shifts: Added to the object score logit.
    """
    state = read_state(checkpoint)
    config = ModelConfig.from_dict(state["model_config"])
    validation = QuickValidation(list(packs), frames, expressions)
    for shift in shifts:
        model = trained_model(state, str(checkpoint), config, {})
        shift_score(model, shift)
        yield shift, validation.score(model.eval())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row per shift."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("packs", type=PackedClips, nargs="+", help="packed validation clips")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--expressions", type=int, default=400)
    options = parser.parse_args(arguments)
    for shift, scores in score_by_shift(options.checkpoint, options.packs, options.frames,
                                        options.expressions):
        row = "  ".join(f"{kind} {score.j:.3f}" for kind, score in scores.items())
        print(f"{shift:+.2f}  {row}", flush=True)


if __name__ == "__main__":
    main()
