"""Masks are exact: paint order, occlusion, borders, and the photograph's own objects."""

from dataclasses import replace

import numpy as np
import pytest

from samwise_ros.compose.catalogue import Catalogue
from samwise_ros.compose.composed_facts import measure
from samwise_ros.compose.composition import Finish, Look, Placement, ScenePlan, SceneSettings
from samwise_ros.compose.library import PictureLibrary
from samwise_ros.compose.paths import SCRIPTS, Stage
from samwise_ros.compose.render import render
from test.helpers.compose_builders import drawn_catalogue

PLAIN = Look(flip=False, tilt=np.eye(2), bend=(0.0, 0.0), gain=np.ones(3), match=0.0, feather=0.3,
             shadow=0.0, shadow_kind="drop", shadow_shift=np.zeros(2))
CLEAR = Finish(blur=0.0, noise=0.0, gain=np.ones(3), gamma=1.0, quality=95)
RED, GREEN = np.array([220, 40, 40]), np.array([60, 190, 50])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[PictureLibrary, Catalogue]:
    pictures, catalogue = drawn_catalogue(tmp_path_factory.mktemp("drawn"))
    return PictureLibrary(pictures), catalogue


def placement(catalogue: Catalogue, path: str, place: tuple[float, float], extent: float = 80,
              script: str = "still", frames: int = 1) -> Placement:
    cut_out = next(item for item in catalogue.cut_outs if item.path == path)
    way = SCRIPTS[script](Stage(160, 128, frames, extent), np.array(place, float),
                          np.random.default_rng(0))
    return Placement(cut_out, None, extent, way, PLAIN, True)


def plan(catalogue: Catalogue, *placements: Placement, frames: int = 1) -> ScenePlan:
    views = np.tile(np.eye(3)[:2], (frames, 1, 1))
    return ScenePlan("train", SceneSettings(160, 128, frames), catalogue.backgrounds[0],
                     (0.0, 0.0, 1.0, 1.0), False, "fixed", views, placements, CLEAR)


def near(frame: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.abs(frame.astype(int) - colour).max(-1) < 60


def test_a_pixel_belongs_to_what_is_painted_last(
        drawn: tuple[PictureLibrary, Catalogue]) -> None:
    library, catalogue = drawn
    scene = plan(catalogue, placement(catalogue, "box/red.png", (70, 64)),
                 placement(catalogue, "box/green.png", (100, 64)))
    made = render(scene, library, np.random.default_rng(0))
    frame, labels = made.frames[0], made.labels[0]
    # Pure colours show who is seen, but for a pixel along the edges.
    assert (labels[near(frame, GREEN)] == 2).mean() > 0.97
    assert (labels[near(frame, RED)] == 1).mean() > 0.97
    assert (near(frame, GREEN) & (labels != 2)).sum() < 80
    assert abs((labels == 2).sum() - near(frame, GREEN).sum()) < 120
    facts = measure(scene, made)
    assert facts.pixels[0, 1] == facts.covered[0, 1]  # nothing before the green one
    assert facts.pixels[0, 0] < 0.6 * facts.covered[0, 0]  # its overlap with the red one
    assert facts.covered[0, 0] == pytest.approx(facts.covered[0, 1], abs=80)


def test_the_size_in_the_picture_is_the_size_that_was_asked(
        drawn: tuple[PictureLibrary, Catalogue]) -> None:
    library, catalogue = drawn
    made = render(plan(catalogue, placement(catalogue, "box/red.png", (80, 64), extent=50)),
                  library, np.random.default_rng(0))
    rows, columns = np.nonzero(made.labels[0])
    assert np.ptp(columns) + 1 == pytest.approx(40, abs=2)  # 80 of the cut-out's 100 columns
    assert np.ptp(rows) + 1 == pytest.approx(32, abs=2)
    assert columns.mean() == pytest.approx(80, abs=1)


def test_a_decoy_hides_objects_and_is_none(drawn: tuple[PictureLibrary, Catalogue]) -> None:
    library, catalogue = drawn
    hidden = placement(catalogue, "box/red.png", (80, 64))
    decoy = replace(placement(catalogue, "box/blue.png", (80, 64), extent=60),
                    texture=catalogue.backgrounds[1], asked=False)
    made = render(plan(catalogue, hidden, decoy), library, np.random.default_rng(0))
    assert made.labels[0, 64, 80] == 0
    assert made.labels.max() == 1
    assert made.covered.shape == (1, 1)


def test_what_leaves_the_picture_has_no_pixels(drawn: tuple[PictureLibrary, Catalogue]) -> None:
    library, catalogue = drawn
    goes = placement(catalogue, "disc/red.png", (80, 64), 40, "leave", frames=12)
    scene = plan(catalogue, goes, frames=12)
    facts = measure(scene, render(scene, library, np.random.default_rng(0)))
    assert facts.pixels[0, 0] > 0
    assert facts.pixels[-1, 0] == 0
    assert "leave" in facts.tags[0]
    assert "enter" not in facts.possible_tags[0]


def test_a_photographs_own_object_is_masked_and_can_be_covered(
        drawn: tuple[PictureLibrary, Catalogue]) -> None:
    library, catalogue = drawn
    scene = replace(plan(catalogue, placement(catalogue, "disc/red.png", (80, 64), 30)),
                    background=catalogue.photographs[0])
    made = render(scene, library, np.random.default_rng(0))
    white = near(made.frames[0], np.array([235, 235, 235]))
    assert abs(int((made.labels[0] == 1).sum()) - int(white.sum())) < 0.05 * white.sum()
    assert made.labels[0, 64, 80] == 2
    facts = measure(scene, made)
    assert [label.name for label in facts.labels] == ["panel", "disc"]
    assert facts.pixels[0, 0] < facts.covered[0, 0]
