"""Commands that write beside files that people care about, and print paths as they are."""

import json
import os
from pathlib import Path

import pytest
from data_builders import build_mevis, build_refcoco_archive
from typer.testing import CliRunner, Result

from samwise_ros.cli.main import app
from samwise_ros.model.checkpoint import save_model
from samwise_ros.structures import ConfigError
from samwise_ros.user_files import keep_foreign

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(micro_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(micro_model, tmp_path_factory.mktemp("micro"))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, *kept: Path) -> None:
    assert result.exit_code == 2, result.output
    assert "overwritten" in result.output or "what is read" in result.output
    assert [path.read_text() for path in kept] == ["mine"] * len(kept)


def mine(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return path


def test_evaluate_keeps_what_is_not_its_own(tmp_path: Path, weights: Path) -> None:
    data = build_mevis(tmp_path / "sim", ("v0",), simulated=True)
    options = ("evaluate", "sim", "--data", data, "--model", weights, "--threads", 1)
    refused(call(*options, "--out", tmp_path / "o", "--json", mine(tmp_path / "r.json")),
            tmp_path / "r.json")
    refused(call(*options, "--out", tmp_path / "o", "--ablations", mine(tmp_path / "t.md")),
            tmp_path / "t.md")
    kept = mine(tmp_path / "p" / "results.jsonl")
    refused(call(*options, "--out", kept.parent), kept)
    refused(call(*options, "--out", data))
    assert not (tmp_path / "o").exists() and len(list(data.iterdir())) == 3


def test_evaluate_goes_on_with_its_own_report_under_any_name(tmp_path: Path, weights: Path) -> None:
    data = build_mevis(tmp_path / os.fsdecode(b"\xff[b]"), ("v0",), simulated=True)
    out = tmp_path / os.fsdecode(b"out [\xfe] %05d")
    for _ in range(2):
        done = call("evaluate", "sim", "--data", data, "--model", weights, "--threads", 1, "--out",
                    out, "--json", tmp_path / "r.json", "--max-expressions-per-kind", 1, "--masks")
        assert done.exit_code == 0, done.output
        assert b"results: " + os.fsencode(out) + b"\n" in done.stdout_bytes
    assert json.loads((tmp_path / "r.json").read_text())["benchmark"] == "sim"


def test_benchmark_keeps_what_is_not_its_own(tmp_path: Path) -> None:
    refused(call("benchmark", "--json", mine(tmp_path / "b.json")), tmp_path / "b.json")


def test_tokenizer_and_weights_keep_what_is_there(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "text.txt").write_text("the red mug")
    refused(call("train-tokenizer", tmp_path / "text.txt", "--out",
                 mine(tmp_path / "a" / "vocab.json").parent), tmp_path / "a" / "vocab.json")
    refused(call("checkpoint", "convert", weights, "--out",
                 mine(tmp_path / "b" / "config.json").parent), tmp_path / "b" / "config.json")
    before = (weights / "model.safetensors").read_bytes()
    assert call("checkpoint", "convert", weights, "--dtype", "fp16", "--out",
                weights).exit_code == 2
    assert (weights / "model.safetensors").read_bytes() == before


def test_a_marked_text_trains_the_same_tokenizer(tmp_path: Path) -> None:
    for name, encoding in (("plain", "utf-8"), ("marked", "utf-8-sig"), ("wide", "utf-16")):
        (tmp_path / f"{name}.txt").write_bytes("the red mug\nthe duck".encode(encoding))
        done = call("train-tokenizer", tmp_path / f"{name}.txt", "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert ((tmp_path / name / "merges.txt").read_bytes()
                == (tmp_path / "plain" / "merges.txt").read_bytes())


def test_conversions_print_their_folder_as_it_is(tmp_path: Path) -> None:
    folder, _ = build_refcoco_archive(tmp_path, "refcocog")
    out = tmp_path / os.fsdecode(b"[red]\xff")
    done = call("convert-data", "refcoco", "--archive", folder, "--set", "refcocog", "--out", out)
    assert done.exit_code == 0 and b"-> " + os.fsencode(out) + b"\n" in done.stdout_bytes


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"videos": {}}'])
def test_only_an_earlier_report_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.json"
    keep_foreign(path, '"benchmark":')
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no earlier report"):
        keep_foreign(path, '"benchmark":')
    path.write_text('{"benchmark": "sim"}')
    keep_foreign(path, '"benchmark":')


@pytest.mark.parametrize("place", ["out/last.safetensors", "out/history.csv", "model/config.json"])
def test_a_training_is_not_started_over_another(tmp_path: Path, place: str) -> None:
    recipe = Path(__file__).parents[2] / "config" / "train" / "mevis.yaml"
    kept = mine(tmp_path / place)
    refused(call("train", recipe, "--set", f"out={tmp_path}/out", "--export", tmp_path / "model"),
            kept)


def test_pictures_of_data_sets_and_photos_keep_what_is_there(tmp_path: Path) -> None:
    data = build_mevis(tmp_path / "sim", ("v0",), simulated=True)
    sheet = ("compose", "sheet", data, "--out")
    refused(call(*sheet, mine(tmp_path / "sheet.png")), tmp_path / "sheet.png")
    refused(call(*sheet, data / "sheet.png"))
    assert call(*sheet, tmp_path / "sheet.xyz").exit_code == 2
    odd = tmp_path / os.fsdecode(b"\xff %05d.png")
    assert call(*sheet, odd).exit_code == 0 and odd.exists()
    photos = mine(tmp_path / "photos" / "sheet.png")
    refused(call("evaluate", "photos", "--items", tmp_path / "items.json", "--masks",
                 tmp_path / "masks.npz", "--out", photos.parent), photos)
