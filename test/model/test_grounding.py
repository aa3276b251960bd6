"""The similarity map: its closed form, its ablation, and who sees what."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from mini_builders import MICRO_MINI, make_mini, published_mini
from torch import Tensor

from samwise_ros.model.features import FrameFeatures
from samwise_ros.model.frozen_parts import LITE0, locate
from samwise_ros.model.grounding import (
    NUM_EVIDENCE,
    Cells,
    Grounding,
    Seen,
    fit_answers,
    kernel,
    on_grids,
)
from samwise_ros.model.map_regions import relative_places, resized, spread
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel

pytestmark = pytest.mark.usefixtures("one_thread")


def rank_left_out(embeddings: Tensor, rows: Tensor, left_out: Tensor) -> Tensor:
    """Rank of each left-out name's own row among those left out, from its name alone."""
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[left_out] = False
    queries = kernel(embeddings[left_out], embeddings[kept]) @ fit_answers(embeddings[kept],
                                                                          rows[kept])
    wanted = F.normalize(rows[left_out] - rows[kept].mean(0), dim=1)
    fits = F.normalize(queries, dim=1) @ wanted.t()
    return (fits > fits.diagonal()[:, None]).sum(dim=1)


def test_names_that_were_left_out_find_their_rows_by_their_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(300, 6, generator=generator)
    embeddings = F.normalize(hidden @ torch.randn(6, 24, generator=generator), dim=1)
    rows = hidden @ torch.randn(6, 40, generator=generator)
    ranks = rank_left_out(embeddings, rows, torch.arange(0, 300, 10))
    assert (ranks == 0).float().mean() > 0.5
    shuffled = rank_left_out(embeddings, rows[torch.randperm(300, generator=generator)],
                             torch.arange(0, 300, 10))
    assert (shuffled == 0).float().mean() < 0.2


def test_a_hundred_classes_left_out_are_found_among_themselves() -> None:
    """From its name alone, a row is first in half of the cases and among five in two thirds."""
    embeddings = published_mini().grounding.class_embeddings
    state = torch.load(locate(LITE0), weights_only=True)
    left_out = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:100]
    ranks = rank_left_out(embeddings, state["_fc.weight"], left_out)
    assert (ranks == 0).float().mean() >= 0.5
    assert (ranks < 5).float().mean() >= 0.66


@pytest.fixture(scope="module")
def grounding() -> Grounding:
    return make_mini(config=MICRO_MINI.replace(grounding={"regions": True})).grounding


def seen_with(grounding: Grounding, semantic: Tensor, mid: Tensor | None = None,
              coarse: Tensor | None = None) -> Seen:
    if mid is None:
        mid = torch.rand(len(semantic), 2 * semantic.shape[1], 2 * semantic.shape[2], 112,
                         generator=torch.Generator().manual_seed(5))
    return grounding.look(semantic, mid, mid.repeat_interleave(2, 1).repeat_interleave(2, 2),
                          coarse)


def of_clip(seen: Seen, pictures: slice) -> Seen:
    cells, coarse = (part and Cells(part.unit[pictures], part.size[pictures])
                     for part in (seen.cells, seen.coarse))
    return Seen(cells, coarse, *(x[pictures] for x in (seen.deep, seen.mid, seen.alike)))


def matches(grounding: Grounding, seen: Seen, names: Tensor,
            near: Tensor) -> tuple[Tensor, Tensor]:
    asked = names.flatten(0, 1)
    return grounding._matches(seen, asked, grounding.query(asked), near)


def names_of(rows: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, 2, MICRO_MINI.text.hidden_size, generator=generator),
                       dim=2)


def test_the_cell_that_looks_like_the_noun_stands_out(grounding: Grounding) -> None:
    names = names_of(1)
    query = grounding.query(names)[0, 0]
    semantic = torch.randn(1, 4, 6, query.shape[0], generator=torch.Generator().manual_seed(1))
    semantic[0, 2, 3] = 30 * query + semantic[0, 2, 3]
    deep, _ = matches(grounding, seen_with(grounding, semantic), names, torch.ones(2))
    cosine = deep[0, :, :, 0, 0]
    assert cosine.flatten().argmax() == 2 * 6 + 3
    assert cosine[2, 3] > 3 * cosine.flatten().sort(descending=True).values[1]


@pytest.mark.parametrize("with_coarse", [False, True])
def test_rows_and_clips_do_not_mix(grounding: Grounding, with_coarse: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    semantic = torch.rand(6, 4, 4, 1280, generator=generator)
    coarse = torch.rand(6, 2, 2, 1280, generator=generator) if with_coarse else None
    seen, names = seen_with(grounding, semantic, coarse=coarse), names_of(3)
    maps, evidence, _ = grounding(seen, names, torch.tensor([1, 0, 1]), 3)
    assert maps.shape == (3, 3, 8, 8, 16) and evidence.shape == (3, 3, NUM_EVIDENCE)
    for row, clip in enumerate((1, 0, 1)):
        part = of_clip(seen, slice(3 * clip, 3 * clip + 3))
        alone, told, _ = grounding(part, names[row : row + 1], torch.tensor([0]), 3)
        torch.testing.assert_close(maps[row], alone[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(evidence[row], told[0], atol=1e-5, rtol=1e-4)


def test_a_sentence_without_anchor_asks_for_none(grounding: Grounding) -> None:
    names = names_of(1)
    names[:, 1] = 0
    assert torch.equal(grounding.query(names)[0, 1], torch.zeros(1280))
    seen = seen_with(grounding, torch.rand(1, 4, 4, 1280))
    deep, mid = matches(grounding, seen, names, torch.zeros(2))
    assert (deep[..., 1, :] == 0).all() and (mid[..., 1, :] == 0).all()
    assert (deep[..., 0, :] != 0).any()


@pytest.mark.parametrize("switch", ["closed_form", "learned"])
def test_each_path_can_be_switched_off_and_changes_the_maps(switch: str) -> None:
    whole, without = (make_mini(config=MICRO_MINI.replace(grounding=changes))
                      for changes in ({}, {switch: False}))
    assert whole.state_dict().keys() == without.state_dict().keys(), "the same weights load"
    seen, names = seen_with(whole.grounding, torch.rand(1, 4, 4, 1280)), names_of(1)
    for model in (whole, without):  # the noun is far from every name: the learned path is open
        model.grounding.class_embeddings[:] = -names[0, :1]
    maps = [model.grounding(seen, names, torch.tensor([0]), 1)[0] for model in (whole, without)]
    assert not torch.allclose(*maps, atol=1e-4)


def test_the_learned_path_is_for_words_without_a_neighbour(grounding: Grounding) -> None:
    seen, names = seen_with(grounding, torch.rand(1, 4, 4, 1280)), names_of(1)
    learned = slice(3 + MICRO_MINI.grounding.groups, None)
    near, _ = matches(grounding, seen, names, torch.tensor([0.9, 0.2]))
    assert (near[..., 0, learned] == 0).all() and (near[..., 1, learned] != 0).any()


def test_maps_come_on_the_grid_of_each_stage() -> None:
    maps = torch.rand(2, 3, 8, 12, 5)
    fine, same, coarse = on_grids(maps, (1, 2, 3))
    assert fine.shape == (2, 3, 16, 24, 5) and coarse.shape == (2, 3, 4, 6, 5)
    assert torch.equal(same, maps)
    torch.testing.assert_close(coarse.mean((2, 3)), maps.mean((2, 3)))


def test_forgetting_gives_what_a_regression_without_the_nearest_names_gives() -> None:
    config = MICRO_MINI.replace(grounding={"forget": 1.0})
    grounding = make_mini(config=config).grounding.train()
    rows = torch.randn(1000, 1280, generator=torch.Generator().manual_seed(3))
    grounding.set_classifier(rows)
    unit, known = F.normalize(rows - rows.mean(0), dim=1), grounding.class_embeddings
    names = names_of(3).flatten(0, 1)
    queries, near = grounding._ask(names)
    similar = kernel(names, known)
    for name, row, query, nearness in zip(names, similar, queries, near, strict=True):
        fits = []
        for count in range(1, 5):
            kept = torch.ones(1000, dtype=torch.bool)
            kept[row.topk(count).indices] = False
            ridge = kernel(known[kept], known[kept]) + 0.1 * torch.eye(1000 - count)
            fits.append(F.normalize(row[kept] @ torch.linalg.solve(ridge, unit[kept]), dim=0)
                        @ query)
        assert max(fits) > 0.9999
        assert nearness < name @ known[row.argmax()] + 1e-6
    plain, _ = grounding.eval()._ask(names)
    torch.testing.assert_close(plain, grounding.query(names))
    assert (F.cosine_similarity(plain, queries, dim=1) < 0.9999).all()


def test_the_map_is_spread_over_what_looks_alike(grounding: Grounding) -> None:
    """A peak on one half of a thing marks its other half, not what looks different."""
    fine = torch.zeros(1, 16, 16, 4)
    fine[..., 0] = 1.0
    fine[:, :, 8:, 0], fine[:, :, 8:, 1] = 0.0, 1.0  # the right half of the picture is of its own
    seen = grounding.look(torch.rand(1, 4, 4, 1280), torch.rand(1, 8, 8, 112), fine)
    stands_out = torch.zeros(1, 2, 8, 8)
    stands_out[0, 0, :2, :2] = 3.0  # upper left
    assert seen.alike is not None
    told = spread(stands_out, seen.alike, torch.tensor([0]), 1)
    assert told.shape == (1, 2, 8, 8)
    left, right = told[0, 0, :, :4], told[0, 0, :, 4:]
    assert left.min() > right.max() and left.std() < 0.05
    assert (told[0, 1] == 0).all(), "there is no anchor"


def test_what_stands_out_at_half_size_is_marked_too() -> None:
    """Where the frame shows nothing but parts, the frame at half size shows the whole."""
    grounding = make_mini(config=MICRO_MINI.replace(
        grounding={"regions": True, "coarse": True, "in_mask": 1.0})).grounding
    names, generator = names_of(1), torch.Generator().manual_seed(3)
    query = grounding.query(names)[0, 0]
    semantic = torch.rand(1, 8, 8, 1280, generator=generator)
    coarse = torch.rand(1, 4, 4, 1280, generator=generator)
    coarse[0, 1:3, 2:4] += 30 * query
    mid = torch.rand(1, 16, 16, 112, generator=generator)
    there = torch.zeros(16, 16, dtype=torch.bool)
    there[4:12, 8:16] = True
    marked = [grounding(seen_with(grounding, semantic, mid, half), names, torch.tensor([0]), 1)[2]
              for half in (None, coarse)]
    without, told = (each[0, 0][there].mean() - each[0, 0][~there].mean() for each in marked)
    assert told > without + 0.5
    grounding.options = replace(grounding.options, closed_form=False)
    ablated = grounding(seen_with(grounding, semantic, mid, coarse), names, torch.tensor([0]), 1)[2]
    assert (ablated == 0).all(), "an ablation of the map leaves nothing of it"


@torch.no_grad()
def test_the_trunk_looks_at_the_frame_at_half_size() -> None:
    model = make_mini(config=MICRO_MINI.replace(grounding={"regions": True, "coarse": True}))
    pixels = torch.rand(1, 2, 6, 128, 192, generator=torch.Generator().manual_seed(0))
    seen = model.encode_shared(pixels).seen
    half = F.avg_pool2d(pixels[0, :, :3], 2)
    maps = model.encoder.trunk_maps(half[None], stages=4)
    wanted = Cells.of(model.encoder.trunk.semantic(maps[3]))
    torch.testing.assert_close(seen.coarse.unit, wanted.unit)
    torch.testing.assert_close(seen.coarse.size, wanted.size)


def test_a_map_of_half_size_needs_a_place_to_go() -> None:
    with pytest.raises(ValueError, match=r"grounding\.coarse"):
        MICRO_MINI.replace(grounding={"coarse": True, "regions": False, "in_mask": 0.0})


def test_pixels_know_where_they_are_relative_to_the_anchor() -> None:
    anchor = torch.zeros(2, 3, 4, 4)
    anchor[0, 1, 0, 3] = 5.0  # upper right; the second row has no anchor
    found = relative_places(anchor, (8, 8))
    x, y = found[0]
    assert x[0, 7] > -0.2 and x[0, 0] < -1.5 and y[7, 0] > 1.5 and abs(float(y[0, 0])) < 0.3
    assert (found[1] == 0).all()


def test_models_without_regions_have_none() -> None:
    plain = make_mini().grounding
    seen = seen_with(plain, torch.rand(1, 4, 4, 1280))
    assert seen.alike is None and plain.mix[1].in_channels + 4 == make_mini(
        config=MICRO_MINI.replace(grounding={"regions": True})).grounding.mix[1].in_channels
    assert plain(seen, names_of(1), torch.tensor([0]), 1)[0].isfinite().all()


@torch.no_grad()
def test_the_mask_gets_the_spread_map_at_its_weight() -> None:
    plain, told = (make_mini(config=MICRO_MINI.replace(grounding={"in_mask": weight},
                                                       decoder={"colour": 0.0}))
                   for weight in (0.0, 0.7))
    pixels = torch.rand(1, 1, 6, 128, 128, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([0, 0])

    def answer(model: SamwiseModel) -> tuple[FrameFeatures, Tensor]:
        text = replace(model.encode_text(model.tokenizer(["a b", "c"])), names=names_of(2))
        features = model.encode(pixels, text, clip_of_row=rows)[0].frame(0)
        return features, model.segment_frame(features, MemoryBank(), hide_absent=False
                                             ).prediction.low_res

    (nothing, before), (features, after) = answer(plain), answer(told)
    assert nothing.spread is None and features.spread is not None
    assert features.spread.flatten(1).std(1).min() > 0.5, "z-scores at the weight"
    torch.testing.assert_close(after - before, resized(features.spread[:, None], (32, 32))[:, 0],
                               atol=1e-4, rtol=1e-4)
