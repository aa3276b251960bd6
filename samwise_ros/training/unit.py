"""Network, auxiliary heads and losses as one module, so that any parallel wrapper fits."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.model.features import CausalContext, extend_context
from samwise_ros.model.samwise import ClipOutput, SamwiseModel
from samwise_ros.model.text_encoder import Tokens
from samwise_ros.training.auxiliary import AuxiliaryHeads
from samwise_ros.training.batches import TrainBatch
from samwise_ros.training.cme_labels import cme_loss
from samwise_ros.training.draws import MIN_VISIBLE
from samwise_ros.training.follow import follow
from samwise_ros.training.frozen_texts import FrozenTexts
from samwise_ros.training.losses import (
    dice_loss,
    fit_logits,
    focal_loss,
    frame_losses,
    score_loss,
)
from samwise_ros.training.recipe import TrainConfig
from samwise_ros.training.rollout import rollout


class LossUnit(nn.Module):
    """Forward pass to losses.

    Args:
        model: The network.
        heads: Auxiliary heads, or None.
        config: Gives the weights of the terms and what is computed how.
    """

    def __init__(self, model: SamwiseModel, heads: AuxiliaryHeads | None,
                 config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.heads = heads
        self.config = config
        self.setup = config.loss
        # Not a module: the model is registered once.
        self.texts = FrozenTexts(model) if model.noun_finder is not None else None

    def forward(self, batch: TrainBatch, tokens: Tokens | None) -> dict[str, Tensor]:
        """Weighted terms under their names, their sum as "total", measures with other names.

        `tokens` are those of the batch's sentences, None where it shows its targets.
        """
        batch = replace(batch, pixels=self.model.pair_frames(batch.pixels)[0])
        if self.heads is not None:
            self.heads.clear()
        if self.config.image_only:
            assert self.heads is not None  # they are all that learns from images alone
            self._encode_images(batch.pixels)
            return self._weighted(self.heads(None, batch, self.setup))
        output = self._run(batch, tokens)
        graded = batch.last_frames(output.low_res.shape[1])
        terms = self._mask_terms(output, graded)
        if self.setup.cme > 0:
            found = cme_loss(output.cme, self.model.config.image_size)
            if found is not None:
                terms["cme"] = found
        if self.setup.nouns > 0 and any(batch.nouns):
            terms["nouns"] = self._noun_term(batch)
        if self.heads is not None:
            terms |= self.heads(output, batch, self.setup)
        return self._weighted(terms)

    def _run(self, batch: TrainBatch, tokens: Tokens | None) -> ClipOutput:
        if batch.prompt is not None:
            return follow(self.model, batch.pixels, batch.prompt, batch.clip_of_row)
        assert tokens is not None  # a batch shows its targets or names them
        if self.config.graded_frames > 0:
            text = self.model.encode_text(tokens) if self.texts is None else \
                self.texts(batch.expressions, batch.nouns)
            return rollout(self.model, batch.pixels, text, batch.clip_of_row,
                           self.config.graded_frames, batch.given, self.setup.cme > 0)
        return self.model(batch.pixels, tokens, batch.clip_of_row, causal=self.config.causal,
                          run_cme=self.setup.cme > 0)

    def _encode_images(self, pixels: Tensor) -> None:
        """Run the part before the first fusion; the heads' hooks take its maps."""
        if not self.config.causal:
            self.model.encode_shared(pixels)
            return
        past: CausalContext | None = None
        limit = self.model.config.cmt.clip_window - 1
        for t in range(pixels.shape[1]):
            seen = None if past is None else past.shared
            new = self.model.encode_shared(pixels[:, t : t + 1], seen).kept
            past = extend_context(past, CausalContext(new, ()), limit)

    def _weighted(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        weighted = {name: value * getattr(self.setup, name) for name, value in terms.items()
                    if hasattr(self.setup, name)}
        measures = {name: value for name, value in terms.items() if name not in weighted}
        nothing = self.model.sam.no_mem_embed.new_zeros(())  # a batch may give no CME label
        return {"total": sum(weighted.values(), nothing), **weighted, **measures}

    def _noun_term(self, batch: TrainBatch) -> Tensor:
        """Cross-entropy of what each word names, in sentences of which that is known."""
        told = {text: nouns for text, nouns in zip(batch.expressions, batch.nouns, strict=True)
                    if nouns is not None}
        tokens = self.model.tokenizer(list(told), list(told.values())).to(self.model.device)
        assert self.model.noun_finder is not None  # only a model that has one is taught nouns
        logits = self.model.noun_finder(self.model.text_encoder, tokens)
        return F.cross_entropy(logits[tokens.mask], tokens.nouns[tokens.mask])

    def _mask_terms(self, output: ClipOutput, batch: TrainBatch) -> dict[str, Tensor]:
        setup, area = self.setup, batch.area
        frames = output.low_res.shape[1]
        logits = self.model.upsample(output.low_res.flatten(0, 1)).unflatten(0, (-1, frames))
        if batch.valid is not None:
            logits = logits[..., : batch.valid[0], : batch.valid[1]]
        height, width = batch.masks.shape[-2:]
        logits = fit_logits(logits, (height, width))
        terms: dict[str, Tensor] = {}
        if setup.score > 0:
            known = (area == 0) | (area >= MIN_VISIBLE)
            terms["score"] = score_loss(output.object_scores, area > 0, known)
        if setup.per_frame:
            terms["bce"], terms["dice"] = frame_losses(logits, batch.masks, area > 0, setup.absent)
            return terms
        if setup.focal > 0:
            terms["focal"] = focal_loss(logits, batch.masks)
        if setup.dice > 0:
            terms["dice"] = dice_loss(logits, batch.masks)
        return terms
