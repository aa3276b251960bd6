"""Recipes as people write them: what is meant is understood, the rest refused by name."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_builders import recipe, write_recipe

from samwise_ros.structures import ConfigError
from samwise_ros.training.recipe import (
    DataSetup,
    LossSetup,
    ModelSetup,
    OptimSetup,
    TrainConfig,
    load_config,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "recipe.yaml", recipe(tmp_path / "packed", tmp_path / "out"))


@pytest.mark.parametrize(("change", "value"), [
    ("optim.lr=1e-4", 1e-4), ("optim.lr=5", 5.0), ("optim.lr='2.5E-3'", 2.5e-3),
    ("steps=1e3", 1000), ("data.roots=data/x", ("data/x",)), ("data.roots=[a, b]", ("a", "b")),
    ("optim.milestones=7", (7,)), ("model.frozen=trunk.", ("trunk.",)), ("out=2026", "2026"),
    ("data.kind_weights={colour: 1e-1}", {"colour": 0.1})])
def test_values_are_taken_as_they_are_meant(path: Path, change: str, value: object) -> None:
    node: Any = load_config(path, [change])
    for name in change.partition("=")[0].split("."):
        node = getattr(node, name)
    assert node == value and isinstance(node, (type(value), int))


def test_the_same_holds_for_what_stands_in_the_file(path: Path) -> None:
    text = path.read_text() + "\naccumulate_: 0\n"
    values = yaml.safe_load(text)
    del values["accumulate_"]
    values["optim"]["lr"], values["data"]["roots"] = "1e-4", "data/x"
    path.write_text(yaml.safe_dump(values))
    config = load_config(path)
    assert config.optim.lr == 1e-4 and config.data.roots == ("data/x",)


SETTINGS = [*(field.name for field in dataclasses.fields(TrainConfig)),
            *(f"{group}.{field.name}" for group, cls in (
                ("model", ModelSetup), ("data", DataSetup), ("loss", LossSetup),
                ("optim", OptimSetup)) for field in dataclasses.fields(cls))]
ODD = ["", "~", "x", "-1", "0", "1e400", ".nan", "yes", "[]", "[[1]]", "{}", "{a: b}", "{1: 2}",
       "[a", "2026-13-45", "!!python/object:os.system x", "\x00"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_value_ends_in_a_raw_traceback(path: Path, setting: str) -> None:
    for text in ODD:
        try:
            load_config(path, [f"{setting}={text}"])
        except ConfigError as error:
            assert setting.split(".")[-1] in str(error) or "mapping" in str(error), (text, error)


@pytest.mark.parametrize("content",
                         [b"\xff\xfe\x00", b"[1, 2]", b"a: [", b"", b"1: 2", b"name: x\n"])
def test_files_that_are_no_recipe_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        load_config(path)
