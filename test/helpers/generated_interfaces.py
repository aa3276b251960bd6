"""Interfaces that PyPI doesn't have, generated from `test/interfaces` for this Python's tests.

    python test/helpers/generated_interfaces.py

builds them once (a minute) with the generators of `samwise_ros[msgs]`, into a folder below the
prefix of this Python that nothing but the tests looks into: they are the part that the node uses,
not the package.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "interfaces"
PREFIX = Path(sys.prefix, ".samwise_ros", "interfaces")


def activate() -> None:
    """Make what was built importable here and in child processes; what is installed goes before."""
    packages = [path for path in PREFIX.glob("lib/python*/site-packages") if path.is_dir()]
    if not packages or all(find_spec(source.name)
                           for source in SOURCES.iterdir() if source.is_dir()):
        return
    sys.path.extend(map(str, packages))
    for name, folders in (("PYTHONPATH", packages), ("LD_LIBRARY_PATH", [PREFIX / "lib"])):
        os.environ[name] = os.pathsep.join(filter(None, [os.environ.get(name), *map(str, folders)]))
    # rosidl loads them by name, and this process looked at LD_LIBRARY_PATH when it began.
    for library in PREFIX.glob("lib/lib*.so"):
        ctypes.CDLL(str(library))


def build() -> None:
    """Generate, compile and install into PREFIX. Raises CalledProcessError."""
    beside = Path(sys.executable).parent
    cmake = shutil.which("cmake", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    if cmake is None:
        raise SystemExit("building the interfaces needs cmake: pip install 'samwise_ros[msgs]'")
    environment = dict(os.environ, AMENT_PREFIX_PATH=sys.prefix, CMAKE_PREFIX_PATH=sys.prefix)
    environment.pop("PYTHONPATH", None)
    shutil.rmtree(PREFIX, ignore_errors=True)
    for source in (path for path in SOURCES.iterdir() if path.is_dir()):
        with tempfile.TemporaryDirectory(prefix=f"{source.name}_") as folder:
            for arguments in (
                    ["-S", source, "-B", folder, "-DBUILD_TESTING=OFF",
                     "-DCMAKE_BUILD_TYPE=Release",
                     f"-DCMAKE_INSTALL_PREFIX={PREFIX}", f"-DPython3_EXECUTABLE={sys.executable}",
                     f"-DCMAKE_INSTALL_RPATH={PREFIX / 'lib'};{Path(sys.prefix, 'lib')}"],
                    ["--build", folder, "--parallel", str(os.cpu_count() or 1)],
                    ["--install", folder]):
                subprocess.run([cmake, *arguments], check=True, env=environment)


if __name__ == "__main__":
    build()
