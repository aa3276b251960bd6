"""Where a noun could be in the picture: a similarity map in closed form from two frozen networks.

The classifier of the image trunk has a row W_c for each of a thousand names, the sentence encoder
an embedding E_c of "a photo of a <name>". Kernel ridge regression carries any noun over: with
k(a, b) = exp(6 (a.b - 1)) a noun of embedding e asks for q = k(e, E) (k(E, E) + 0.1 I)^-1 W, a
direction in the features that the classifier reads. Its cosine with the features of each cell is
the map. Beside it stand a learned metric on the same query, and a learned query of the noun itself,
for words that have no neighbour among the thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samwise_ros.config import ModelConfig
from samwise_ros.model.efficientnet import SEMANTIC_CHANNELS

NUM_CLASSES = 1000
GROUP = 16  # channels of each group of the learned metric
_CLOSED = 3  # cosine, product, z-score of the cosine
_SHARPNESS, _RIDGE = 6.0, 0.1
_SCALES = (8.0, 4.0, 1.0 / 3)  # bring the closed-form channels to a spread near one
# The learned query is for words far from all names: it fades out between these similarities.
_FAR, _NEAR = 0.5, 0.75


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
    ridge = kernel(embeddings, embeddings) + _RIDGE * torch.eye(len(embeddings))
    return torch.linalg.solve(ridge.double(), rows.double()).float()


def num_matches(config: ModelConfig) -> int:
    """Channels that a noun has at each cell."""
    return _CLOSED + 4 * config.grounding.groups


def num_evidence(config: ModelConfig) -> int:
    """Length of what the decoder is told about a picture: maximum and mean of each channel."""
    return 2 * num_matches(config) + 1


@dataclass(frozen=True)
class Seen:
    """What the map needs of M pictures, whatever is asked.

    Attributes:
        unit: [M, h, w, C] direction of the features. size: [M, h, w] their length over the mean.
        deep: [M, h, w, G, 16] learned metric of the same cells. mid: the same at stride 16.
    """

    unit: Tensor
    size: Tensor
    deep: Tensor
    mid: Tensor


class Grounding(nn.Module):
    """From nouns and features to similarity maps for the adapters.

    Args:
        config: Of the model.
    """

    class_embeddings: Tensor
    answers: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.options = config.grounding
        words, metric = config.text.hidden_size, GROUP * config.grounding.groups
        unknown = F.normalize(torch.randn(NUM_CLASSES, words), dim=1)
        self.register_buffer("class_embeddings", unknown)
        # Follows from the embeddings and the classifier (`set_classifier`): not a weight.
        self.register_buffer("answers", torch.randn(NUM_CLASSES, SEMANTIC_CHANNELS),
                             persistent=False)
        self.metric_deep = nn.Linear(SEMANTIC_CHANNELS, metric, bias=False)
        self.metric_mid = nn.Linear(config.channels[2], metric)
        self.query_mid = nn.Linear(SEMANTIC_CHANNELS, metric, bias=False)
        self.name_deep = nn.Linear(words, metric)
        self.name_mid = nn.Linear(words, metric)
        width = config.grounding.width
        self.mix = nn.Sequential(
            nn.Dropout2d(config.grounding.dropout),
            nn.Conv2d(2 * num_matches(config) + 4, width, 1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU())

    def set_classifier(self, classifier: Tensor, *, start: bool = False) -> None:
        """Solve for the answers after the class embeddings are in place.

        Args:
            classifier: [1000, C] rows of the trunk's classifier.
            start: Also begin the learned metric at the rows' principal directions (a new model).
        """
        self.answers.copy_(fit_answers(self.class_embeddings.float(), classifier))
        if start:
            rows = classifier - classifier.mean(dim=0)
            count = self.metric_deep.out_features
            with torch.no_grad():
                right = torch.linalg.svd(rows, full_matrices=False)[2]
                self.metric_deep.weight.copy_(right[:count])
                self.query_mid.weight.copy_(self.metric_deep.weight)

    def query(self, names: Tensor) -> Tensor:
        """[..., D] unit embeddings -> [..., C] unit queries; zero for zero."""
        there = names.norm(dim=-1, keepdim=True) > 0
        similar = kernel(names.flatten(0, -2), self.class_embeddings.to(names.dtype))
        return F.normalize(similar @ self.answers, dim=1).view(*names.shape[:-1], -1) * there

    def look(self, semantic: Tensor, mid: Tensor) -> Seen:
        """What does not depend on the question.

        Args:
            semantic: [M, h, w, C] features that the classifier reads. mid: [M, h', w', C'] at
                stride 16.
        """
        size = semantic.norm(dim=-1)
        return Seen(F.normalize(semantic, dim=-1), size / (size.mean((1, 2), keepdim=True) + 1e-6),
                    self._grouped(self.metric_deep(semantic)), self._grouped(self.metric_mid(mid)))

    def forward(self, seen: Seen, names: Tensor, clip_of_row: Tensor,
                frames: int) -> tuple[Tensor, Tensor]:
        """Maps of N rows over their clips' frames.

        Args:
            seen: Of M = B*T pictures. names: [N, 2, D] nouns of the target and of the anchor.
            clip_of_row: int64 [N] row -> clip. frames: T.

        Returns:
            [N, T, h, w, width] at stride 16 for the adapters, and [N, T, E] for the decoder.
        """
        rows, height, width = len(names), *seen.mid.shape[1:3]
        asked = names.flatten(0, 1)
        near = kernel(asked, self.class_embeddings.to(names.dtype)).amax(1).log() / _SHARPNESS + 1
        near = near.clamp(min=0)
        deep, mid = self._matches(seen, asked, near)

        def pick(maps: Tensor) -> Tensor:
            """[M, h, w, 2N, K] -> [N*T, 2, K, h, w] of each row's own clip."""
            maps = maps.unflatten(0, (-1, frames)).unflatten(4, (rows, 2))
            each = torch.arange(rows, device=maps.device)
            return maps.permute(0, 4, 1, 5, 6, 2, 3)[clip_of_row, each].flatten(0, 1)

        deep, mid = pick(deep), pick(mid)
        top = torch.cat((deep[:, 0].amax((2, 3)), mid[:, 0].amax((2, 3)),
                         deep[:, 0].mean((2, 3)), mid[:, 0].mean((2, 3))), dim=1)
        own = near.view(rows, 2).repeat_interleave(frames, 0)
        evidence = torch.cat((top, own[:, :1]), dim=1).unflatten(0, (rows, frames))
        maps = torch.cat((_resized(deep.flatten(1, 2), (height, width)), mid.flatten(1, 2),
                          own[:, :, None, None].expand(-1, -1, height, width),
                          _coordinates(height, width, own).expand(len(own), -1, -1, -1)), dim=1)
        mixed = self.mix(maps).permute(0, 2, 3, 1).unflatten(0, (rows, frames))
        return mixed, evidence

    def _matches(self, seen: Seen, names: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """Channels [M, h, w, 2N, K] of all pictures with all nouns, at deep cells and at mid."""
        query = self.query(names)
        cosine = seen.unit @ query.t()
        centred = cosine - cosine.mean((1, 2), keepdim=True)
        z = centred / (cosine.std((1, 2), keepdim=True) + 1e-4)
        parts = (cosine, cosine * seen.size[..., None], z)
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


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """[M, K, h, w] at another resolution, bilinear."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def _coordinates(height: int, width: int, like: Tensor) -> Tensor:
    """[1, 2, h, w] x and y from -1 to 1."""
    y, x = (torch.linspace(-1, 1, side, device=like.device, dtype=like.dtype)
            for side in (height, width))
    return torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)))[None]


def on_grids(maps: Tensor, stages: tuple[int, ...]) -> list[Tensor]:
    """Stride-16 maps [N, T, h, w, K] at the grids of the given stages (1..3)."""
    flat = maps.flatten(0, 1).permute(0, 3, 1, 2)
    height, width = flat.shape[-2:]
    found = []
    for stage in stages:
        size = (height * 4 >> stage, width * 4 >> stage)
        pooled = F.avg_pool2d(flat, 2) if stage == 3 else _resized(flat, size)
        found.append(pooled.permute(0, 2, 3, 1).unflatten(0, maps.shape[:2]))
    return found
