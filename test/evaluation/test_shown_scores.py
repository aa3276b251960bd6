"""Nano on a simulated clip, shown its targets without any sentence; the simulator's masks judge."""


import pytest

pytest.importorskip("pybullet", reason="needs the simulator: pip install 'samwise_ros[sim]'")

from samwise_ros.data.mevis import MevisSource
from samwise_ros.evaluation.shown import main, overlaps
from samwise_ros.model.checkpoint import load_model
from samwise_ros.sim.generate import DatasetRequest, generate
from samwise_ros.sim.plan import SceneSettings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> MevisSource:
    folder = tmp_path_factory.mktemp("sim") / "data"
    generate(DatasetRequest("test", 200, 1, folder, SceneSettings(frames=8)), show_progress=False)
    return MevisSource(folder)


@pytest.mark.parametrize(("way", "first", "over_all"), [
    ("point", 0.7, 0.5), ("box", 0.85, 0.5), ("mask", 0.9, 0.5)])
def test_what_is_shown_once_is_followed_without_a_sentence(
        clip: MevisSource, way: str, first: float, over_all: float) -> None:
    found = overlaps(load_model("nano"), clip, clip.videos[0], way, said=False)
    assert len(found) >= 2 and found.shape[1] == 8
    assert found[:, 0].mean() > first and found.mean() > over_all, found.round(2)


def test_the_table_has_all_ways(clip: MevisSource, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(clip.root), "--max-videos", "1"])
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [tuple(cell.strip() for cell in row) for row in rows] == [
        ("point", "no"), ("point", "yes"), ("box", "no"), ("box", "yes"), ("mask", "no"),
        ("mask", "yes"), ("nothing", "yes")]
