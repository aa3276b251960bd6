"""What a similarity map alone says about presence, fitted by itself.

    python -m samwise_ros.training.evidence runs/mini_3_clips/last.safetensors data/packed/photos \
        data/packed/stills --out runs/mini_3_clips/fitted.safetensors

Beside tokens that know the training data the map is not listened to: those know all that is there.
On pictures of other things they err more often than the map does. So the path from the map to the
object score is fitted alone, on what pictures show against names of the classifier that are far
from all that is said of them. Both are added. The map comes from frozen networks, so this can be
done after any stage.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import ModelConfig
from samwise_ros.data.packed import PackedClips
from samwise_ros.model.features import CausalContext
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.training.batches import clip_pixels
from samwise_ros.training.checkpointing import read_state
from samwise_ros.training.draws import MIN_VISIBLE
from samwise_ros.training.export import trained_model
from samwise_ros.training.state_file import write_tree

STRANGERS = 6  # names of things that are not there, per picture
FAR = 0.6  # cosine to all nouns of the picture, below which a name is one
HIDDEN = 16  # as in `model.sam2_parts`
FLOOR = 0.05  # of a channel's spread: the mean of z-scores is zero but for rounding
STEPS, RATE, DECAY = 600, 1e-2, 1e-3
_HEAD = "sam.sam_prompt_encoder.score_evidence.layers"


@torch.no_grad()
def evidence_of(model: SamwiseModel, pack: PackedClips, clips: int,
                rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Per picture the evidence [R, E] of R names, and bool [R] which of them it shows.

    Args:
        model: With a similarity map, in eval mode.
        pack: Of its first `clips` clips the first frame is seen.
        rng: Draws the strangers.
    """
    for clip in range(min(clips, pack.num_clips)):
        told = [(text, phrases.noun) for (text, kind, answer), phrases in zip(
            pack.expressions(clip), pack.phrases(clip), strict=True)
            if kind == "class" and phrases is not None and phrases.named
            and np.isin(pack.labels(clip)[0], answer).sum() >= MIN_VISIBLE]
        if not told:
            continue
        tokens = model.tokenizer([text for text, _ in told], [(noun, None) for _, noun in told])
        shown = model.encode_text(tokens).names
        assert shown is not None  # a model with a map embeds nouns
        names = torch.cat((shown, _strangers(model, shown[:, 0], rng)))
        pixels, _ = model.pair_frames(clip_pixels(pack.frames(clip)[:1]))
        past = CausalContext.empty(model.config.cmt).shared
        seen = model.encoder.encode_shared(pixels, past).seen
        assert model.grounding is not None and seen is not None
        _, found, _ = model.grounding(seen, names, torch.zeros(len(names), dtype=torch.long), 1)
        yield found[:, 0], torch.arange(len(names)) < len(told)


def _strangers(model: SamwiseModel, nouns: Tensor, rng: np.random.Generator) -> Tensor:
    """[STRANGERS, 2, D] names of the classifier that are far from all `nouns` [N, D]."""
    assert model.grounding is not None
    known = model.grounding.class_embeddings.float()
    far = ((known @ nouns.t()).amax(1) < FAR).nonzero()[:, 0].numpy()
    drawn = known[torch.from_numpy(rng.choice(far, STRANGERS, replace=False))]
    return torch.stack((drawn, torch.zeros_like(drawn)), dim=1)


def fit_evidence(evidence: Tensor, shown: Tensor, seed: int = 0) -> nn.Sequential:
    """A head [E] -> logit, both answers weighing the same.

    How near a noun is to the classifier's names is not used: strangers are such names themselves.

    Args:
        evidence: [R, E]. shown: bool [R].
    """
    mean, spread = evidence.mean(0), evidence.std(0).clamp(min=FLOOR)
    inputs = (evidence - mean) / spread
    inputs[:, -1] = 0
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, last = nn.Linear(evidence.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    head = nn.Sequential(first, nn.ReLU(), last)
    optimizer = torch.optim.Adam(head.parameters(), RATE, weight_decay=DECAY)
    weight = (~shown).sum() / shown.sum()
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(head(inputs)[:, 0], shown.float(),
                                           pos_weight=weight).backward()
        optimizer.step()
    with torch.no_grad():  # take evidence as it is
        first.weight[:, -1] = 0
        first.weight /= spread
        first.bias.copy_(first.bias - first.weight @ mean)
    return head


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write a checkpoint that differs in nothing else."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("packs", type=PackedClips, nargs="+", help="packed training stills")
    parser.add_argument("--clips", type=int, default=250, help="of each folder")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    state = read_state(options.checkpoint)
    config = ModelConfig.from_dict(state["model_config"])
    model = trained_model(state, str(options.checkpoint), config, {}).eval()
    rng = np.random.default_rng(0)
    rows = [row for pack in options.packs for row in evidence_of(model, pack, options.clips, rng)]
    evidence, shown = (torch.cat(parts) for parts in zip(*rows, strict=True))
    head = fit_evidence(evidence, shown)
    with torch.no_grad():
        right = (head(evidence)[:, 0] > 0) == shown
    print(f"{len(shown)} names, told rightly: {right[shown].float().mean():.0%} of the "
          f"{int(shown.sum())} that are shown, {right[~shown].float().mean():.0%} of the others")
    averaged = [] if state["average"] is None else [state["average"]["state"]]
    for weights in (state["model"], *averaged):
        for ours, theirs in ((0, 0), (2, 1)):
            for name, value in head[ours].state_dict().items():
                weights[f"{_HEAD}.{theirs}.{name}"] = value.detach().clone()
    write_tree(options.out, state)


if __name__ == "__main__":
    main()
