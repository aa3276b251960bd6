"""Every command that the documents show is one: its programs, options, files and payloads exist.

Nothing is run but `python -m ... --help`.
"""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml
from doc_commands import ROOT, SHELL, Command, commands, is_python, is_shell, snippets

from samwise_ros.cli.main import COMMANDS, load_command
from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.ros.parameters.fields import fields_of

SNIPPETS = list(snippets())
SHOWN = sorted({(command.words, command.source): command for snippet in SNIPPETS
                if is_shell(snippet) and not is_python(snippet)
                for command in commands(snippet)}.items())
ELSEWHERE = {"apt", "cd", "colcon", "export", "git", "pre-commit", "rosdep", "source", "sudo"}
UsageError = typer.BadParameter.__base__  # of click, or of the copy of it that typer brings
# of packages that are not ours to need
FOREIGN_INTERFACES = {"nav2_msgs", "opennav_following_msgs"}


def is_placeholder(word: str) -> bool:
    """NAME, TOPIC and the like."""
    return re.fullmatch(r"[A-Z_]+|\.\.\.", word) is not None


def check_samwise(words: Sequence[str]) -> None:
    """The sub-command takes these options; nothing runs. Names alone are a mention of it."""
    name, *rest = words
    if is_placeholder(name) or name.startswith("-"):
        return
    assert name in COMMANDS, f"no such sub-command: {name}"
    if rest and f"{name} {rest[0]}" in COMMANDS:  # samwise evaluate photos
        name, rest = f"{name} {rest[0]}", rest[1:]
    command = load_command(name)
    while hasattr(command, "commands"):
        if command.invoke_without_command and rest and rest[0].startswith("-"):
            break  # options of `samwise demo` itself
        name, *rest = rest
        assert name in command.commands, f"no such sub-command: {name}"
        command = command.commands[name]
    try:
        command.make_context(name, rest)
    except typer.Exit:  # --help
        pass


def check_ros2(words: Sequence[str]) -> None:
    verbs: dict[str, Callable[[Sequence[str]], None]] = {
        "launch": check_launch, "run": check_executable, "topic": check_topic,
        "service": check_call, "action": check_call, "param": check_parameter}
    if words[0] in verbs:
        verbs[words[0]](words[1:])
    else:
        assert words[0] in ("lifecycle", "interface", "pkg", "security"), f"ros2 {words[0]}"
        check_paths(words)


def check_executable(words: Sequence[str]) -> None:
    assert words[0] == "samwise_ros" and f"  {words[1]}=" in (ROOT / "CMakeLists.txt").read_text()


def launch_arguments(file: Path) -> set[str]:
    """Arguments of a launch file: declared by name, or first column of one of its tables.

    Those of a file that it includes are taken from the command line as well.
    """
    tree, names = ast.parse(file.read_text()), set()
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign)
              and isinstance(node.value, ast.Tuple)]
    rows = [entry.elts[0] if isinstance(entry, ast.Tuple) and entry.elts else entry
            for table in tables for entry in table.elts]
    declared = [node.args[0] for node in ast.walk(tree) if isinstance(node, ast.Call)
                and ast.unparse(node.func) == "DeclareLaunchArgument"]
    for entry in [*rows, *declared]:
        if isinstance(entry, ast.Constant) and isinstance(entry.value, str):
            names.add(entry.value)
    for other in re.findall(r'HERE / "([\w.]+)"', ast.unparse(tree).replace("'", '"')):
        names |= launch_arguments(file.parent / other)
    return names


def check_launch(words: Sequence[str]) -> None:
    """Every `name:=value` is an argument of the launch file."""
    package, file, *arguments = words
    assert package == "samwise_ros"
    known = launch_arguments(ROOT / "launch" / file)
    given = {word.partition(":=")[0] for word in arguments if not word.startswith("-")}
    assert given <= known, f"{file} has no {', '.join(sorted(given - known))}"


def check_topic(words: Sequence[str]) -> None:
    if words[0] != "pub":
        return
    _, kind, payload = [word for word in words[1:] if not re.match(r"-|\d", word)]
    check_payload(kind, payload)


def check_call(words: Sequence[str]) -> None:
    """`service call NAME TYPE YAML` and `action send_goal NAME TYPE YAML`."""
    assert words[0] in ("call", "send_goal")
    _, kind, *payload = [word for word in words[1:] if not word.startswith("-")]
    check_payload(kind, *payload)


def check_payload(kind: str, payload: str = "{}") -> None:
    """The YAML holds fields of that interface, of their types."""
    values = yaml.safe_load(payload)
    assert isinstance(values, dict), f"{payload!r} is {values!r}, not fields with values"
    package, folder, name = kind.split("/")
    if package in FOREIGN_INTERFACES:
        return
    module = pytest.importorskip(f"{package}.{folder}", reason=f"needs the interfaces of {package}")
    interface = getattr(module, name)
    check_fields({"msg": lambda: interface, "srv": lambda: interface.Request,
                  "action": lambda: interface.Goal}[folder](), values)


def check_fields(interface: type, values: dict) -> None:
    types = interface.get_fields_and_field_types()
    for name, value in values.items():
        assert name in types, f"{interface.__name__} has no field {name!r}"
        wanted = {"string": str, "boolean": bool, "float": (int, float), "double": (int, float)}
        if "int" in types[name] and "/" not in types[name]:
            assert type(value) is int, f"{name}: {value!r}"
        if types[name] in wanted:
            assert isinstance(value, wanted[types[name]]), f"{name}: {value!r}"


def check_parameter(words: Sequence[str]) -> None:
    names = [word for word in words[1:] if not word.startswith(("-", "/"))][:1]
    assert words[0] in ("get", "set", "describe", "list", "load", "dump")
    assert words[0] == "load" or all(is_placeholder(name) or name in fields_of(NodeParameters)
                                     for name in names)


def check_make(words: Sequence[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    words = [word for word, before in zip(words, ["", *words], strict=False) if before != "-C"]
    for word in words:
        name, is_variable, _ = word.partition("=")
        pattern = rf"^{name} [?:]=" if is_variable else rf"^{name}:"
        assert word == "-C" or re.search(pattern, text, re.MULTILINE), f"make {word}"


@lru_cache
def help_of(module: str) -> str:
    return subprocess.run([sys.executable, "-m", module, "--help"], check=True, timeout=120,
                          capture_output=True, text=True, cwd=ROOT).stdout


def check_python(words: Sequence[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "documents", "exec")
        return
    flag, module, *rest = words
    assert flag == "-m"
    if not module.startswith("samwise_ros"):
        return
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, f"no module {module}"
    if "--ros-args" in rest:  # a node, whose parameters are declared in its file or beside it
        folder = Path(spec.origin).parent
        source = "".join(path.read_text() for path in folder.glob("*.py"))
        for name in re.findall(r"(\w+):=", " ".join(rest)):
            declared = re.search(rf"^    {name}: .* = parameter\(", source, re.MULTILINE)
            assert declared, f"{module}: no parameter {name}"
        return
    for option in (word for word in rest if word.startswith("--")):
        assert re.search(rf"{option}\b", help_of(module)), f"{module} has no {option}"


def check_paths(words: Sequence[str]) -> None:
    """Files of the repository that another's program is to read."""
    for word in words:
        if re.match(r"(config|docker|launch)/", word):
            assert (ROOT / word).exists(), f"no file {word}"


def check_extras(words: Sequence[str]) -> None:
    """`samwise_ros[a,b]` or `.[a,b]` of pip: extras that setup.py has."""
    setup = ast.parse((ROOT / "setup.py").read_text())
    (extras,) = [node.value for node in setup.body if isinstance(node, ast.Assign)
                 and ast.unparse(node.targets[0]) == "EXTRAS"]
    known = {key.value for key in extras.keys}
    for names in re.findall(r"\[([\w,]+)\]", " ".join(words)):
        assert set(names.split(",")) <= known, names


CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "samwise": check_samwise, "ros2": check_ros2, "make": check_make, "python": check_python,
    "docker": check_paths, "rviz2": check_paths, "pip": check_extras,
    "taskset": lambda words: CHECKS[words[2]](words[3:]),  # -c CORES PROGRAM ...
    **{name: lambda words: None for name in
       ("samwise_node", "samwise_lifecycle", "samwise_camera", "samwise_follow")}}


@pytest.mark.parametrize("command", [command for _, command in SHOWN],
                         ids=lambda command: f"{command.source}: {' '.join(command.words)[:80]}")
def test_shown_command_is_one(command: Command) -> None:
    if command.program in ELSEWHERE or command.is_mention:
        return
    assert command.program in CHECKS, f"unknown program {command.program}"
    try:
        CHECKS[command.program](command.words[1:])
    except UsageError as error:
        pytest.fail(error.format_message())


def test_every_block_is_commands_python_or_said_to_be_something_else() -> None:
    wrong = [f"{snippet.source}: {snippet.text[:60]}" for snippet in SNIPPETS
             if snippet.language in SHELL and snippet.source.endswith(".md")
             and not is_shell(snippet) and not is_python(snippet)]
    assert not wrong


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if is_python(s)],
                         ids=lambda snippet: snippet.source)
def test_python_snippets_compile_and_their_imports_exist(snippet) -> None:
    for node in ast.walk(ast.parse(snippet.text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize(("check", "line", "message"), [
    (check_ros2, ["topic", "pub", "/command", "std_msgs/msg/String", "data: add:cup: the red cup"],
     "mapping values"),
    (check_ros2, ["topic", "pub", "/command", "std_msgs/msg/String", "data: 3"], "data: 3"),
    (check_ros2, ["topic", "pub", "/command", "std_msgs/msg/String", "text: stop"], "no field"),
    (check_ros2, ["launch", "samwise_ros", "samwise.launch.py", "imagge:=x"], "has no imagge"),
    (check_make, ["dmeo"], "make dmeo"),
    (check_samwise, ["segmint"], "no such sub-command"),
    (check_samwise, ["segment", "clip.mp4", "--nonsense"], "nonsense"),
    (check_python, ["-m", "samwise_ros.nonsense"], "no module"),
    (check_extras, ["install", "samwise_ros[nonsense]"], "nonsense")])
def test_wrong_commands_are_noticed(check, line: list[str], message: str) -> None:
    with pytest.raises((AssertionError, yaml.YAMLError, UsageError), match=message):
        check(line)
