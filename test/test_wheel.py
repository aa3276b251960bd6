"""The wheel holds the package and what ROS looks for; what can be started is there."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("samwise_ros", "config", "launch", "cmake", "msg", "srv", "action", "setup.py",
           "package.xml", "CMakeLists.txt", "README.md", "LICENSE")
LISTED = dict(entry.split("=") for entry in re.search(
    r"set\(samwise_executables(.*?)\)", (ROOT / "CMakeLists.txt").read_text(),
    re.DOTALL)[1].split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that the checkout stays as it is."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).is_file():
            shutil.copy2(ROOT / name, copy)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(out),
         str(copy)], env=dict(os.environ, SAMWISE_ROS_MSGS="off", PYTHONPATH=""), check=False,
        capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}


def data_files(wheel: zipfile.ZipFile) -> dict[str, str]:
    """Path below the prefix -> name in the wheel."""
    found = {}
    for name in wheel.namelist():
        parts = PurePosixPath(name).parts
        if parts[0].endswith(".data"):
            assert parts[1] == "data", name
            found["/".join(parts[2:])] = name
    return found


def test_the_package_is_whole_and_alone(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist()
              if not PurePosixPath(name).parts[0].endswith((".data", ".dist-info"))}
    code = {name for name in files_below(ROOT / "samwise_ros") if name.endswith(".py")}
    assert packed == code | files_below(ROOT / "samwise_ros" / "assets") | files_below(
        ROOT / "samwise_ros" / "live" / "page")


def test_what_ros_looks_for_is_below_the_prefix(wheel: zipfile.ZipFile) -> None:
    # msg/ without built messages, too: recordings hold the definitions.
    shared = {f"share/samwise_ros/{name}" for name in files_below(ROOT / "config")
              | files_below(ROOT / "launch") | files_below(ROOT / "msg")}
    programs = {f"lib/samwise_ros/{name}" for name in LISTED}
    assert set(data_files(wheel)) == shared | programs | {
        "share/ament_index/resource_index/packages/samwise_ros", "share/samwise_ros/package.xml"}


def test_entry_points_are_the_programs_of_colcon_and_samwise(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    points = ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert dict(points["console_scripts"]) == {
        "samwise": "samwise_ros.cli.main:main",
        **{program: f"{module}:main" for program, module in LISTED.items()}}


@pytest.mark.parametrize("program", LISTED)
def test_a_program_starts_a_module_that_has_main(wheel: zipfile.ZipFile, program: str) -> None:
    script = wheel.read(data_files(wheel)[f"lib/samwise_ros/{program}"]).decode()
    assert re.search(rf"-m {re.escape(LISTED[program])}\b", script)
    pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")
    assert callable(importlib.import_module(LISTED[program]).main)


def modules_started() -> set[str]:
    """Modules that the package starts as processes of their own, by name in its sources."""
    names = set()
    for path in (ROOT / "samwise_ros").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r'start\(\s*"\w+", "(samwise_ros\.[\w.]+)"', text))
        names |= set(re.findall(r'"-m", "(samwise_ros\.[\w.]+)"', text))
    return names


def test_modules_that_demos_start_have_main() -> None:
    started = modules_started()
    assert {"samwise_ros.ros.node.node", "samwise_ros.demos.demo_client",
            "samwise_ros.demos.bench.node_overhead_client"} <= started
    pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")
    for name in started:
        assert callable(importlib.import_module(name).main), name
