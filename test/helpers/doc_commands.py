"""Commands and Python snippets that documents show, taken out of them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("samwise", "ros2", "make", "python", "docker", "rviz2", "samwise_node",
            "samwise_lifecycle", "samwise_camera", "samwise_follow", "pip")
SHELL = ("", "bash", "indented")
SEPARATORS = {"&&", "||", ";", "&", "|"}


@dataclass(frozen=True)
class Snippet:
    """A block of a document. `language`: of its fence, "indented" or "inline"."""

    source: str
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One simple command: no `&&`, no comment, no environment variables before it."""

    source: str
    words: tuple[str, ...]
    inline: bool = False

    @property
    def is_mention(self) -> bool:
        """Names alone within a sentence, such as `ros2 launch`: nothing to carry out."""
        return (self.inline and self.program in ("ros2", "samwise")
                and all(word.replace("-", "").isalpha() for word in self.words[1:]))

    @property
    def program(self) -> str:
        """Name without folder."""
        return self.words[0].rpartition("/")[2]


def documents() -> list[Path]:
    """README and the pages of docs/, its log apart: what is history need not run today."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def snippets() -> Iterator[Snippet]:
    """All blocks of the documents, of docstrings of modules and of the heads of Dockerfiles."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        yield from blocks(text, str(path.relative_to(ROOT)))
        yield from inline(text, str(path.relative_to(ROOT)))
    for path in [*(ROOT / "launch").glob("*.py"), *(ROOT / "samwise_ros").rglob("*.py")]:
        found = re.match(r'"""(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL)
        yield from blocks(found[1] if found else "", str(path.relative_to(ROOT)))
    for path in (ROOT / "docker").glob("Dockerfile*"):
        head = re.findall(r"^#(?: (.*))?$", path.read_text(encoding="utf-8"), re.MULTILINE)
        yield from blocks("\n".join("  " + line for line in head), str(path.relative_to(ROOT)))


def blocks(text: str, source: str) -> Iterator[Snippet]:
    """Fenced blocks, and indented ones outside of lists and tables."""
    fence, lines = None, []
    for line in [*text.split("\n"), "end"]:
        if line.startswith("```"):
            if fence is not None:
                yield Snippet(source, fence, "\n".join(lines))
            fence, lines = (line[3:].strip(), []) if fence is None else (None, [])
        elif fence is not None:
            lines.append(line)
        elif line.startswith("    ") or (lines and not line.strip()):
            lines.append(line[4:])
        elif lines:
            yield Snippet(source, "indented", "\n".join(lines).rstrip())
            lines = []


def inline(text: str, source: str) -> Iterator[Snippet]:
    """`code` that begins with a program's name; what says "..." is no whole command."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for found in re.findall(r"`([^`]+)`", text):
        code = " ".join(found.split())
        words = [word for word in code.split() if not re.match(r"[A-Z_]+=", word)]
        if len(words) > 1 and words[0].rpartition("/")[2] in PROGRAMS and "..." not in code:
            yield Snippet(source, "inline", code)


def commands(snippet: Snippet) -> Iterator[Command]:
    """The simple commands of a shell snippet. Raises ValueError for quotes that do not close."""
    lines = snippet.text.replace("\\\n", " ").split("\n")
    while lines:
        line = lines.pop(0)
        while lines and _is_open(line):  # a quoted text of several lines
            line += "\n" + lines.pop(0)
        current: list[str] = []
        for word in [*_split(line), ";"]:
            if word not in SEPARATORS:
                current.append(word)
                continue
            while current and re.match(r"[A-Z_]+=", current[0]):
                del current[0]
            if current:
                yield Command(snippet.source, tuple(current), snippet.language == "inline")
            current = []


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    return list(lexer)


def _is_open(line: str) -> bool:
    try:
        _split(line)
    except ValueError:
        return True
    return False


def is_python(snippet: Snippet) -> bool:
    """A fenced Python block, or an indented one that begins with an import."""
    return snippet.language == "python" or (
        snippet.language == "indented" and re.match(r"(import|from) \w", snippet.text) is not None)


def is_shell(snippet: Snippet) -> bool:
    """A block of commands: fenced as such, or indented with a known program in its first line."""
    if snippet.language in ("bash", "inline"):
        return True
    words = re.sub(r"^([A-Z_]+=\S+ )+", "", snippet.text.lstrip()).split()
    return (snippet.language in SHELL and bool(words)
            and words[0].rpartition("/")[2] in (*PROGRAMS, "export", "source", "sudo"))
