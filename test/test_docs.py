"""What the documents refer to is there, and what they count is right."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from samwise_ros.model.checkpoint import empty_model
from samwise_ros.sizes import SIZES, model_config
from samwise_ros.training.optim import trainable_names

ROOT = Path(__file__).resolve().parents[1]
NUMBERED = ("model.md", "evaluation.md")
NUMBER = r"\d+(?:\.\d+)?"


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def sources() -> Iterator[Path]:
    """Every text that may cite a section: code, recipes, build files, documents."""
    for folder in ("samwise_ros", "test", "config", "launch", "docker"):
        yield from (p for p in sorted((ROOT / folder).rglob("*"))
                    if p.suffix in (".py", ".yaml", ".md") or p.name.startswith("Dockerfile"))
    yield from (ROOT / "Makefile", ROOT / "setup.py", *documents())


def sections(document: Path) -> set[str]:
    return set(re.findall(rf"^#+ ({NUMBER}) ", document.read_text(encoding="utf-8"), re.MULTILINE))


def cited(text: str) -> Iterator[tuple[str, str]]:
    """(document, section) of each citation such as "docs/model.md, 1.6 and 1.7"."""
    text = re.sub(r"\s*\n\s*#?\s*", " ", text)  # a citation may be broken over two lines
    for found in re.finditer(rf"docs/([\w/]+\.md),? ({NUMBER}(?:(?:, | and ){NUMBER})*)", text):
        for number in re.findall(NUMBER, found[2]):
            yield found[1], number


def test_citations_are_read() -> None:
    """The two tests below find something to check."""
    assert list(cited("as in docs/model.md,\n    1.6 and 2; docs/evaluation.md 3.1")) == [
        ("model.md", "1.6"), ("model.md", "2"), ("evaluation.md", "3.1")]
    assert {"1", "1.1", "6.5"} <= sections(ROOT / "docs" / "model.md")


def test_every_cited_section_exists() -> None:
    known = {name: sections(ROOT / "docs" / name) for name in NUMBERED}
    wrong = [f"{path.relative_to(ROOT)}: docs/{name}, {number}" for path in sources()
             for name, number in cited(path.read_text(encoding="utf-8"))
             if path != Path(__file__) and number not in known.get(name, ())]
    assert not wrong


def test_nothing_outside_of_the_repository_is_cited() -> None:
    """No comment names a document that a reader of the repository does not have."""
    pattern = re.compile(r"model spec\b|the specification|training specification|samwise_model\.md"
                         r"|samwise_training_and_evaluation|\((section )?[A-H]\.\d")
    wrong = [f"{path.relative_to(ROOT)}: {found[0]}" for path in sources()
             if path != Path(__file__)
             and (found := pattern.search(path.read_text(encoding="utf-8")))]
    assert not wrong


def anchor(heading: str) -> str:
    """Name that a Markdown heading gets as a link target on the usual hosts."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {anchor(title) for title in
            re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, place = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{target}: no such file"
        assert not place or place in anchors(path), f"{target}: no such heading"


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    """`model/cmt.py`, `docs/ros.md`... with or without samwise_ros/ before; `node.py` anywhere."""
    names = re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|yaml|csv))`",
                       document.read_text(encoding="utf-8"))
    places = (ROOT, ROOT / "samwise_ros", document.parent)
    anywhere = {path.name for folder in ("samwise_ros", "config", "launch", "test", "docs")
                for path in (ROOT / folder).rglob("*")}
    missing = {name for name in names if name not in anywhere
               and not any((place / name).is_file() for place in places)}
    assert missing <= WRITTEN_BY_COMMANDS


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_named_definitions_exist(document: Path) -> None:
    """`streaming/session.py`: `step`, `submit`: the file defines what is named behind it."""
    for name, definitions in named_definitions(document.read_text(encoding="utf-8")):
        code = (ROOT / "samwise_ros" / name).read_text(encoding="utf-8")
        for definition in definitions:
            assert re.search(rf"^ *(?:def|class) {definition}\b", code, re.MULTILINE), definition


def named_definitions(text: str) -> Iterator[tuple[str, list[str]]]:
    """(file, names) of each "`file`: `name`, `name`"."""
    for found in re.finditer(r"`([\w/]+/\w+\.py)`:((?:,? `\w+`)+)", text):
        yield found[1], re.findall(r"`(\w+)`", found[2])


WAYS = {"A frame's way: eight hops from camera to mask": (8, 4),
        "A command's way: five hops from text to target": (5, 4)}


@pytest.mark.parametrize("title", WAYS)
def test_a_way_has_the_hops_that_its_title_says(title: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    way = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    hops, named = WAYS[title]
    assert [int(n) for n in re.findall(r"^\| (\d) \|", way, re.MULTILINE)] == [*range(1, hops + 1)]
    assert len(list(named_definitions(way))) >= named


def test_the_house_is_drawn_as_it_stands() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = text.partition("```text\n")[2].partition("```")[0]
    package = ROOT / "samwise_ros"
    rooms = {path.name for folder in (package, package / "ros") for path in folder.iterdir()
             if (path / "__init__.py").exists()} - {"ros", "msg", "srv", "action"}
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    others = {"samwise_ros", "ros", "bench", "assets"}
    assert set(re.findall(r"\b(\w+)/", drawing)) == rooms | others
    assert set(re.findall(r"\b\w+\.py\b", drawing)) == files


WRITTEN_BY_COMMANDS = {"endurance.csv", "table.md"}


def counted(size: str) -> list[int]:
    """Row of the table of parameters in docs/model.md, 1.1."""
    model = empty_model(model_config(size))
    trained = set(trainable_names(model, "adapters"))
    parts = (model, model.text_encoder, model.sam, model.cmt_adapters,
             model.conditional_memory_encoder)
    return [*(sum(p.numel() for p in part.parameters()) for part in parts),
            sum(p.numel() for name, p in model.named_parameters() if name in trained)]


def test_numbers_of_parameters_are_right() -> None:
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    rows = {size: [int(cell) for cell in cells.split("|")]
            for size, cells in re.findall(r"^\| `(\w+)` \| ((?:\d+ \| )+\d+) \|$", text,
                                          re.MULTILINE)}
    assert set(SIZES) >= set(rows) >= {"tiny", "base_plus", "nano"}
    assert rows == {size: counted(size) for size in rows}
