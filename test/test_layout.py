"""Files and functions stay short enough to be read at once. ruff.toml asks for the rest."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 60
SOURCES = sorted([*(ROOT / "samwise_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py"),
                  ROOT / "setup.py"])


def long_functions(text: str) -> list[str]:
    """`name: lines` of each function that is longer than allowed, decorators included."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = node.end_lineno - first + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                found.append(f"{node.name}: {lines}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    assert long_functions(text) == []


def test_a_long_function_is_noticed() -> None:
    body = "        x = 1\n" * (MOST_LINES_OF_A_FUNCTION - 1)
    assert long_functions(f"class C:\n    def f(self):\n{body}") == []
    assert long_functions(f"class C:\n    @property\n    def f(self):\n{body}") == ["f: 61"]
