"""Where a noun could be in the picture: a similarity map in closed form from two frozen networks.

The classifier of the image trunk has a row W_c for each of a thousand names, the sentence encoder
an embedding E_c of "a photo of a <name>". Kernel ridge regression carries any noun over: with
k(a, b) = exp(6 (a.b - 1)) a noun of embedding e asks for q = k(e, E) (k(E, E) + 0.1 I)^-1 W, a
direction in the features that the classifier reads. Its cosine with the features of each cell is
the map. It can also be spread along what looks alike, so that more than the telling part of a thing
stands out. Beside it stand a learned metric on the same query, and a learned query of the noun
itself, for words that have no neighbour among the thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import ModelConfig
from samwise_ros.model.efficientnet import SEMANTIC_CHANNELS
from samwise_ros.model.map_regions import (
    coordinates,
    likeness,
    relative_places,
    resized,
    spread,
    z_scores,
)

NUM_CLASSES = 1000
GROUP = 16  # channels of each group of the learned metric
_CLOSED = 3  # cosine, product, z-score of the cosine
_SHARPNESS, _RIDGE = 6.0, 0.1
_SCALES = (8.0, 4.0, 1.0 / 3)  # bring the closed-form channels to a spread near one
# The learned query is for words far from all names: it fades out between these similarities.
_FAR, _NEAR = 0.5, 0.75
_MOST_FORGOTTEN = 4  # names that training leaves out at once


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """[N, D], [M, D] unit vectors -> [N, M] similarities in (0, 1]."""
    return torch.exp(_SHARPNESS * (a @ b.t() - 1))


def fit_answers(embeddings: Tensor, classifier: Tensor) -> Tensor:
    """Kernel ridge regression from names to classifier rows.

    Args:
        embeddings: [M, D] unit embeddings of the names. classifier: [M, C] the classifier's rows.

    Returns:
        [M, C] matrix A: the query of an embedding e is the direction of k(e, E) A.
    """
    rows = F.normalize(classifier - classifier.mean(dim=0), dim=1)
    return torch.linalg.solve(_ridge(embeddings), rows.double()).float()


def _ridge(embeddings: Tensor) -> Tensor:
    """float64 [M, M], what the regression inverts."""
    similar = kernel(embeddings, embeddings).double()
    return similar + _RIDGE * torch.eye(len(embeddings), dtype=torch.float64)


def num_matches(config: ModelConfig) -> int:
    """Channels that a noun has at each cell."""
    return _CLOSED + 4 * config.grounding.groups


NUM_EVIDENCE = 2 * _CLOSED + 1  # maximum and mean of each closed-form channel, and how near


@dataclass(frozen=True)
class Cells:
    """Features that the classifier reads, cell by cell of M pictures.

    Attributes:
        unit: [M, h, w, C] their direction. size: [M, h, w] their length over its mean.
    """

    unit: Tensor
    size: Tensor

    @staticmethod
    def of(semantic: Tensor) -> Cells:
        """[M, h, w, C] -> cells."""
        size = semantic.norm(dim=-1)
        return Cells(F.normalize(semantic, dim=-1), size / (size.mean((1, 2), keepdim=True) + 1e-6))

    def fit(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C] unit queries -> cosines [M, h, w, N], and their products with the length."""
        cosine = self.unit @ query.t()
        return cosine, cosine * self.size[..., None]


@dataclass(frozen=True)
class Seen:
    """What the map needs of M pictures, whatever is asked.

    Attributes:
        cells: Of the frame. coarse: Of the frame at half size, or None.
        deep: [M, h, w, G, 16] learned metric of the same cells. mid: the same at stride 16.
        alike: [M, h'*w', h'*w'] share of each stride-16 cell in what is told of another one, or
            None where nothing is spread.
    """

    cells: Cells
    coarse: Cells | None
    deep: Tensor
    mid: Tensor
    alike: Tensor | None


class Grounding(nn.Module):
    """From nouns and features to similarity maps for the adapters.

    Args:
        config: Of the model.
    """

    class_embeddings: Tensor
    answers: Tensor
    inverse: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.options = config.grounding
        words, metric = config.text.hidden_size, GROUP * config.grounding.groups
        unknown = F.normalize(torch.randn(NUM_CLASSES, words), dim=1)
        self.register_buffer("class_embeddings", unknown)
        # Follows from the embeddings and the classifier (`set_classifier`): not a weight.
        self.register_buffer("answers", torch.randn(NUM_CLASSES, SEMANTIC_CHANNELS),
                             persistent=False)
        self.register_buffer("inverse", torch.zeros(0), persistent=False)  # training makes it
        self.metric_deep = nn.Linear(SEMANTIC_CHANNELS, metric, bias=False)
        self.metric_mid = nn.Linear(config.channels[2], metric)
        self.query_mid = nn.Linear(SEMANTIC_CHANNELS, metric, bias=False)
        self.name_deep = nn.Linear(words, metric)
        self.name_mid = nn.Linear(words, metric)
        width = config.grounding.width
        inputs = 2 * num_matches(config) + (8 if self.options.regions else 4)
        self.mix = nn.Sequential(
            nn.Dropout2d(config.grounding.dropout), nn.Conv2d(inputs, width, 1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU())

    def set_classifier(self, classifier: Tensor, *, start: bool = False) -> None:
        """Solve for the answers after the class embeddings are in place.

        Args:
            classifier: [1000, C] rows of the trunk's classifier.
            start: Also begin the learned metric at the rows' principal directions (a new model).
        """
        self.answers.copy_(fit_answers(self.class_embeddings.float(), classifier))
        self.inverse = self.inverse[:0]
        if start:
            rows = classifier - classifier.mean(dim=0)
            count = self.metric_deep.out_features
            with torch.no_grad():
                right = torch.linalg.svd(rows, full_matrices=False)[2]
                self.metric_deep.weight.copy_(right[:count])
                self.query_mid.weight.copy_(self.metric_deep.weight)

    def query(self, names: Tensor) -> Tensor:
        """[..., D] unit embeddings -> [..., C] unit queries; zero for zero."""
        similar = kernel(names.flatten(0, -2), self.class_embeddings.to(names.dtype))
        return _unit_where_named(similar @ self.answers, names.flatten(0, -2)
                                 ).view(*names.shape[:-1], -1)

    def _ask(self, names: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [M, C] of nouns [M, D], and how near each is to one of the names: [M] in 0..1."""
        similar = kernel(names, self.class_embeddings.to(names.dtype))
        answers = similar @ self.answers
        if self.training and self.options.forget > 0:
            similar, answers = self._forget(similar, answers)
        near = similar.amax(1).log() / _SHARPNESS + 1
        return _unit_where_named(answers, names), near.clamp(min=0)

    def _forget(self, similar: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """The same as if the names nearest to some of the nouns had never been in the regression.

        So a noun of the training data is at times as unknown as those of other pictures are. With
        the set S left out, the regression's matrix is A - R[:, S] R[S, S]^-1 A[S], R the inverse.
        """
        if not self.inverse.numel():
            self.inverse = torch.linalg.inv(_ridge(self.class_embeddings.float().cpu())
                                            ).float().to(answers.device)
        similar, answers = similar.clone(), answers.clone()
        chance = torch.rand(len(similar), device=similar.device)
        for row in (chance < self.options.forget).nonzero()[:, 0].tolist():
            count = int(torch.randint(1, _MOST_FORGOTTEN + 1, ()))
            out = similar[row].topk(count).indices
            weight = torch.linalg.solve(self.inverse[out][:, out],
                                        similar[row] @ self.inverse[:, out])
            answers[row] -= weight @ self.answers[out]
            similar[row, out] = similar[row].min()
        return similar, answers

    def look(self, semantic: Tensor, mid: Tensor, fine: Tensor,
             coarse: Tensor | None = None) -> Seen:
        """What does not depend on the question.

        Args:
            semantic: [M, h, w, C] features that the classifier reads. mid: [M, h', w', C'] at
                stride 16. fine: [M, 2h', 2w', C''] at stride 8, where surfaces are told apart.
            coarse: As `semantic`, of the frames at half size, or None.
        """
        spreads = self.options.regions or self.options.in_mask > 0
        return Seen(Cells.of(semantic), None if coarse is None else Cells.of(coarse),
                    self._grouped(self.metric_deep(semantic)), self._grouped(self.metric_mid(mid)),
                    likeness(fine) if spreads else None)

    def forward(self, seen: Seen, names: Tensor, clip_of_row: Tensor,
                frames: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Maps of N rows over their clips' frames.

        Args:
            seen: Of M = B*T pictures. names: [N, 2, D] nouns of the target and of the anchor.
            clip_of_row: int64 [N] row -> clip. frames: T.

        Returns:
            [N, T, h, w, width] at stride 16 for the adapters, [N, T, E] for the decoder, and
            [N, T, h, w] to add to the mask logits, or None without `grounding.in_mask`.
        """
        rows, height, width = len(names), *seen.mid.shape[1:3]
        asked = names.flatten(0, 1)
        query, near = self._ask(asked)
        deep, mid = (of_rows(maps, clip_of_row, frames)
                     for maps in self._matches(seen, asked, query, near))
        closed = deep[:, 0, :_CLOSED]  # learned channels would tell the decoder which noun it is
        top = torch.cat((closed.amax((2, 3)), closed.mean((2, 3))), dim=1)
        own = near.view(rows, 2).repeat_interleave(frames, 0)
        evidence = torch.cat((top, own[:, :1]), dim=1).unflatten(0, (rows, frames))
        told, regions = None, []
        if seen.alike is not None:
            stands_out = self._stands_out(seen, deep[:, :, 1].detach(), query, clip_of_row, frames)
            told = spread(stands_out, seen.alike, clip_of_row, frames)
        if self.options.regions and told is not None:
            regions = [relative_places(deep[:, 1].detach(), (height, width)), told]
        maps = torch.cat((resized(deep.flatten(1, 2), (height, width)), mid.flatten(1, 2),
                          own[:, :, None, None].expand(-1, -1, height, width),
                          coordinates(height, width, own).expand(len(own), -1, -1, -1),
                          *regions), dim=1)
        mixed = self.mix(maps).permute(0, 2, 3, 1).unflatten(0, (rows, frames))
        if told is None or self.options.in_mask == 0:
            return mixed, evidence, None
        return mixed, evidence, self.options.in_mask * told[:, 0].unflatten(0, (rows, frames))

    def _stands_out(self, seen: Seen, product: Tensor, query: Tensor, clip_of_row: Tensor,
                    frames: int) -> Tensor:
        """How far each cell of stride 16 stands out, [N*T, 2, h', w'] z-scores.

        Args:
            product: [N*T, 2, h, w] of the rows' nouns with the cells of the frame.
            query: [2N, C] of `_ask`, for the cells at half size. seen and others: Of `forward`.
        """
        size = (seen.mid.shape[1], seen.mid.shape[2])
        fine = z_scores(resized(product, size))
        if seen.coarse is None or not self.options.closed_form:
            return fine
        coarse = of_rows(seen.coarse.fit(query)[1].unsqueeze(-1), clip_of_row, frames)[:, :, 0]
        return z_scores(fine + z_scores(resized(coarse, size)))

    def _matches(self, seen: Seen, names: Tensor, query: Tensor,
                 near: Tensor) -> tuple[Tensor, Tensor]:
        """Channels [M, h, w, 2N, K] of all pictures with all nouns, at deep cells and at mid.

        Args:
            seen: Of the pictures. names: [2N, D]. query, near: Of `_ask`.
        """
        cosine, product = seen.cells.fit(query)
        centred = cosine - cosine.mean((1, 2), keepdim=True)
        z = centred / (cosine.std((1, 2), keepdim=True) + 1e-4)
        parts = (cosine, product, z)
        closed = torch.stack([part * scale for part, scale in zip(parts, _SCALES, strict=True)],
                             dim=-1)
        metric = (self._fit(seen.deep, self.metric_deep(query)),
                  self._fit(seen.mid, self.query_mid(query)))
        far = ((_NEAR - near) / (_NEAR - _FAR)).clamp(0, 1) * (names.norm(dim=1) > 0)
        learned = (self._fit(seen.deep, self.name_deep(names)) * far[:, None],
                   self._fit(seen.mid, self.name_mid(names)) * far[:, None])
        if not self.options.closed_form:
            closed = torch.zeros_like(closed)
            metric = (torch.zeros_like(metric[0]), torch.zeros_like(metric[1]))
        if not self.options.learned:
            learned = (torch.zeros_like(learned[0]), torch.zeros_like(learned[1]))
        return (torch.cat((closed, metric[0], learned[0]), dim=-1),
                torch.cat((metric[1], learned[1]), dim=-1))

    def _grouped(self, x: Tensor) -> Tensor:
        """[..., G*16] -> [..., G, 16], each group of unit length."""
        return F.normalize(x.unflatten(-1, (-1, GROUP)), dim=-1)

    def _fit(self, maps: Tensor, query: Tensor) -> Tensor:
        """Cosines by group: [M, h, w, G, 16], [N, G*16] -> [M, h, w, N, G]."""
        return torch.einsum("mhwgd,ngd->mhwng", maps, self._grouped(query))


def _unit_where_named(queries: Tensor, names: Tensor) -> Tensor:
    """[M, C] -> unit length, zero where the noun [M, D] is."""
    return F.normalize(queries, dim=1) * (names.norm(dim=1, keepdim=True) > 0)


def of_rows(maps: Tensor, clip_of_row: Tensor, frames: int) -> Tensor:
    """[B*T, h, w, 2N, K], clips with all nouns -> [N*T, 2, K, h, w], rows with their own clip."""
    rows = torch.arange(len(clip_of_row), device=maps.device)
    maps = maps.unflatten(0, (-1, frames)).unflatten(4, (len(rows), 2))
    return maps.permute(0, 4, 1, 5, 6, 2, 3)[clip_of_row, rows].flatten(0, 1)


def on_grids(maps: Tensor, stages: tuple[int, ...]) -> list[Tensor]:
    """Stride-16 maps [N, T, h, w, K] at the grids of the given stages (1..3)."""
    flat = maps.flatten(0, 1).permute(0, 3, 1, 2)
    height, width = flat.shape[-2:]
    found = []
    for stage in stages:
        size = (height * 4 >> stage, width * 4 >> stage)
        pooled = F.avg_pool2d(flat, 2) if stage == 3 else resized(flat, size)
        found.append(pooled.permute(0, 2, 3, 1).unflatten(0, maps.shape[:2]))
    return found
