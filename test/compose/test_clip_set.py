"""A composed folder: the same whatever made it, and readable by all that reads simulated ones."""

from pathlib import Path

import pytest

from samwise_ros.compose import ComposeRequest, SceneSettings, generate
from samwise_ros.compose.catalogue import load_catalogue
from samwise_ros.compose.errors import ComposeError
from samwise_ros.compose.sheet import contact_sheet
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.packed import pack_mevis
from samwise_ros.data.reader import KINDS
from samwise_ros.evaluation.baselines import SceneBaselines
from test.helpers.compose_builders import draw_library

SETTINGS = SceneSettings(width=96, height=80, frames=5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_library(tmp_path_factory.mktemp("drawn"))


def request(out: Path, drawn: tuple[Path, Path], split: str = "train", clips: int = 6,
            settings: SceneSettings = SETTINGS) -> ComposeRequest:
    return ComposeRequest(split, 3, clips, out, settings, *drawn)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_files_for_any_number_of_workers_and_after_an_interruption(
        tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    assert generate(request(tmp_path / "a", drawn), 1, False) == 6
    generate(request(tmp_path / "b", drawn, clips=2), 1, False)
    assert generate(request(tmp_path / "b", drawn), 2, False) == 4
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_readers_packing_and_baselines_take_it(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    generate(request(tmp_path / "a", drawn), 1, False)
    source = MevisSource(tmp_path / "a")
    kinds = set()
    for video in source.videos:
        tracks = {entry["anno_id"]: source.track(video, str(entry["anno_id"]), range(5))
                  for entry in video.scene["objects"].values()}
        assert sum(tracks.values()).max() <= 1  # a pixel belongs to one object
        for expression in video.expressions:
            kinds.add(expression.kind)
            assert expression.phrases.form
            assert expression.text[slice(*expression.phrases.noun)].strip()
            masks = source.masks(video, expression, range(5))
            assert masks.any() == bool(expression.anno_ids)
    assert kinds <= set(KINDS)
    assert {"class", "absent"} <= kinds
    SceneBaselines(source, source.videos[0]).colour_guess(source.videos[0].expressions[0])
    packed = pack_mevis([tmp_path / "a"], tmp_path / "packed", (40, 48), progress=False)
    for clip in range(packed.num_clips):
        phrases = packed.phrases(clip)
        assert phrases == [expression.phrases for expression in
                           source.video(packed.video(clip)[1]).expressions]
        assert packed.labels(clip).max() <= len(packed.objects(clip))


@pytest.mark.parametrize("split", ["val_stamps", "val_names", "test_stamps", "test_names"])
def test_held_out_splits_ask_only_for_what_is_held_out(split: str, tmp_path: Path,
                                                       drawn: tuple[Path, Path]) -> None:
    generate(request(tmp_path / split, drawn, split), 1, False)
    held = {"val_stamps": {("disc", "blue")}, "test_stamps": {("box", "blue")},
            "val_names": {("star", colour) for colour in ("red", "green", "blue", "yellow")},
            "test_names": {("bar", colour) for colour in ("red", "green", "blue", "yellow")}}
    for video in MevisSource(tmp_path / split).videos:
        assert video.scene["background"].startswith(split.partition("_")[0])
        objects = {str(entry["anno_id"]): (entry["class"], entry["colour"])
                   for entry in video.scene["objects"].values()}
        for expression in video.expressions:
            assert {objects[anno] for anno in expression.anno_ids} <= held[split]


def test_stills_have_no_motion(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    generate(request(tmp_path / "s", drawn, settings=SceneSettings(96, 80, 1)), 1, False)
    for video in MevisSource(tmp_path / "s").videos:
        assert len(video.frames) == 1
        assert all(expression.kind != "motion" for expression in video.expressions)


def test_frames_show_what_was_pasted(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    generate(request(tmp_path / "a", drawn, clips=2), 1, False)
    source = MevisSource(tmp_path / "a")
    frame = source.frame(source.videos[0], 0)
    assert frame.shape == (80, 96, 3)
    assert frame.std() > 5


def test_missing_pictures_and_splits_are_named(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="val_names"):
        request(tmp_path, drawn, "nonsense")
    with pytest.raises(ComposeError, match="samwise compose fetch"):
        generate(ComposeRequest("train", 1, 1, tmp_path / "x", SETTINGS, tmp_path / "none",
                                drawn[1]), 1, False)


@pytest.mark.parametrize("probe", ["late_target", "occlusion"])
def test_probes_show_what_they_test(probe: str, tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    settings = SceneSettings(160, 128, 24)
    wanted = ComposeRequest("train", 3, 4, tmp_path / probe, settings, *drawn, probe=probe)
    generate(wanted, 1, False)
    source = MevisSource(wanted.out)
    for video in source.videos:
        parts = video.scene["probe"]
        objects = video.scene["objects"]
        seen = source.track(video, str(objects[str(parts["target"])]["anno_id"]),
                            range(24)).any(axis=(1, 2))
        present = [expression for expression in video.expressions if expression.anno_ids]
        assert present
        assert {expression.object_ids for expression in present} == {(parts["target"],)}
        if probe == "late_target":
            assert seen[parts["entry"]:].all()
            assert not seen[:parts["entry"] - 1].any()
            other = source.track(video, str(objects[str(parts["distractor"])]["anno_id"]),
                                 range(24))
            assert other.any(axis=(1, 2)).all()
        else:
            first, last = parts["gone"]
            assert not seen[first:last + 1].any()
            assert seen[:first].all()
            assert seen[last + 1:].all()


def test_a_sheet_has_a_row_per_video(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    generate(request(tmp_path / "a", drawn, clips=3), 1, False)
    picture = contact_sheet(MevisSource(tmp_path / "a"), videos=2)
    assert picture.shape[0] == 2 * 80
    assert picture.shape[1] > 3 * 96


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_photographs_with_objects_of_their_own_are_as_frequent_as_asked(
        share: float, tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    generate(request(tmp_path, drawn, settings=SceneSettings(96, 80, 1, share)), 1, False)
    own = {item.path for item in load_catalogue(drawn[1]).photographs}
    found = [video.scene["background"] in own for video in MevisSource(tmp_path).videos]
    assert found and set(found) == {bool(share)}
