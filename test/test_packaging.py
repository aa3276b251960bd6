"""What the package says of itself: who keeps it, what it needs, and which files it installs."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
SETUP = (ROOT / "setup.py").read_text(encoding="utf-8")


def assigned(name: str) -> ast.expr:
    """A value at the top of setup.py, which cannot be imported without running it."""
    (value,) = [node.value for node in ast.parse(SETUP).body if isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == name]
    return value


def requirement(name: str) -> str:
    (found,) = [item for item in ast.literal_eval(assigned("REQUIRES"))
                if re.match(rf"{name}\b", item)]
    return found


def test_packages_whose_private_parts_are_used_have_an_upper_bound() -> None:
    for name in ("sam2", "transformers", "typer"):
        assert re.fullmatch(rf"{name}>=[\d.]+,<[\d.]+", requirement(name)), requirement(name)


def test_make_setup_installs_the_sam2_that_setup_asks_for() -> None:
    assert f"'{requirement('sam2')}'" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_maintainer_is_one_and_can_be_written_to() -> None:
    maintainer = ElementTree.parse(ROOT / "package.xml").find("maintainer")
    address = maintainer.get("email")
    assert not address.endswith("example.com")
    assert f'maintainer="{maintainer.text}"' in SETUP and f'maintainer_email="{address}"' in SETUP


def test_every_folder_of_the_configuration_is_installed() -> None:
    """The line of setup.py that lists them, evaluated: recipes and the policy lie deeper."""
    line = re.search(r'for folder in \((.*)\)\),', SETUP)[1]
    listed = eval(f"[{line.rstrip(',')}]", {"Path": lambda text: ROOT / text})
    holding = {path.parent for path in (ROOT / "config").rglob("*") if path.is_file()}
    assert holding <= set(listed)


def test_setup_installs_again_what_changed_and_no_messages_for_a_part(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)

    def setup(extras: str) -> str:
        done = subprocess.run(
            ["make", "setup", "PIP=true", f"VENV={venv}", f"EXTRAS={extras}"], cwd=ROOT,
            capture_output=True, text=True, timeout=60, check=True,
            env={name: value for name, value in os.environ.items() if name != "ROS_DISTRO"})
        return done.stdout

    first = setup("recordings,mini")
    assert "-e '.[recordings,mini]'" in first and "SAMWISE_ROS_MSGS=on" not in first
    assert ".[" not in setup("recordings,mini")
    second = setup("ros,msgs,mini")
    assert "-e '.[ros,msgs,mini]'" in second and "SAMWISE_ROS_MSGS=on" in second
