"""`samwise`: quick help, lazily loaded commands, errors as one clear line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import samwise_ros
from samwise_ros.cli import main
from samwise_ros.structures import ConfigError, MissingDependencyError

SAMWISE = [sys.executable, "-m", "samwise_ros.cli.main"]


def run(*arguments: str) -> subprocess.CompletedProcess:
    environment = dict(os.environ, COLUMNS="100", NO_COLOR="1", TERM="dumb")
    return subprocess.run([*SAMWISE, *arguments], capture_output=True, text=True, timeout=240,
                          env=environment, check=False)


def test_help_teaches_and_lists_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0, done.stderr
    for expected in ("samwise segment video.mp4", "--version", "--debug", "segment", "benchmark",
                     "checkpoint", "parity", "Exit codes"):
        assert expected in done.stdout


def test_help_and_version_import_nothing_heavy() -> None:
    code = """
import sys, time
start = time.process_time()
from typer.testing import CliRunner
from samwise_ros.cli.main import app
for arguments in (["--help"], ["--version"], ["segment", "--help"]):
    assert CliRunner().invoke(app, arguments).exit_code == 0
seconds = time.process_time() - start
found = {"torch", "transformers", "sam2", "cv2"} & {m.partition(".")[0] for m in sys.modules}
print(sorted(found), seconds)
assert not found and seconds < 1.5
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_the_packages() -> None:
    done = CliRunner().invoke(main.app, ["--version"])
    assert done.exit_code == 0 and done.output.strip().endswith(samwise_ros.__version__)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_that_is_listed_can_be_loaded(name: str) -> None:
    listed = main.app.info.cls.list_commands(main.typer.main.get_command(main.app), None)
    if name not in listed:
        pytest.skip(f"cli/{main.COMMANDS[name].module}.py is not part of this version")
    command = main.load_command(name)
    assert command.help or command.commands


def test_an_unknown_command_is_refused() -> None:
    done = CliRunner().invoke(main.app, ["segmnt"])
    assert done.exit_code == 2 and "segmnt" in done.output


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Make `samwise segment` raise."""
    def segment() -> None:
        raise error

    program = typer.Typer(add_completion=False)
    program.command("segment")(segment)
    monkeypatch.setattr(main, "load_command", lambda name: typer.main.get_command(program))


def test_errors_on_purpose_are_one_line_and_exit_code_two(
        monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ConfigError("image_size: expected [64], got 65"))
    done = CliRunner().invoke(main.app, ["segment"])
    assert done.exit_code == 2
    assert done.output.strip() == "error: image_size: expected [64], got 65"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ConfigError("bad"))
    done = CliRunner().invoke(main.app, ["--debug", "segment"])
    assert isinstance(done.exception, ConfigError)


def test_defects_are_not_disguised(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("a defect"))
    done = CliRunner().invoke(main.app, ["segment"])
    assert isinstance(done.exception, ZeroDivisionError)


@pytest.mark.parametrize(("command", "remedy"), [
    ("simulate", "samwise_ros[sim]"), ("evaluate", "samwise_ros[train]")])
def test_a_missing_package_names_the_extra_to_install(
        monkeypatch: pytest.MonkeyPatch, command: str, remedy: str) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'somelib'", name="somelib.sub")

    monkeypatch.setattr(main, "import_module", absent)
    with pytest.raises(MissingDependencyError) as caught:
        main.load_command(command)
    assert remedy in str(caught.value) and "somelib" in str(caught.value)
    done = CliRunner().invoke(main.app, [command])
    assert done.exit_code == 2 and done.output.startswith("error:") and remedy in done.output


def test_a_defect_in_an_own_module_is_not_taken_for_a_missing_package(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(main, "import_module", absent)
    with pytest.raises(ModuleNotFoundError) as caught:
        main.load_command("segment")
    assert not isinstance(caught.value, MissingDependencyError)


def test_a_real_failing_call_prints_no_traceback(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run("segment", str(tmp_path / "nothing.mp4"), "-e", "dog", "--out", str(tmp_path / "o"))
    assert done.returncode == 2, done.stderr
    assert "no such video" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists() and time.monotonic() - start < 240
