"""Imports point downwards only, ROS stays in `ros/` and `demos/`, importing does nothing else."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "samwise_ros"
# Who may import whom: names of sub-packages and of the modules beside them.
L0 = {"", "allocator", "config", "quality", "setting_values", "sizes", "structures", "user_files"}
BESIDE = {"data", "training", "evaluation", "sim", "compose"}
ALLOWED = {
    "": {"structures"}, "allocator": set(), "config": L0, "sizes": L0, "quality": L0,
    "setting_values": {"structures"}, "structures": set(), "user_files": {"structures"},
    "model": L0 | {"model"}, "streaming": L0 | {"model", "streaming"},
    "live": L0 | {"streaming", "live"},
    **{name: L0 | {"model", "streaming"} | BESIDE for name in BESIDE},
    "engines": L0 | {"model", "streaming", "engines"},
    "evaluation": L0 | {"model", "streaming", "engines"} | BESIDE,
    "messages": L0 | {"streaming", "messages"},
    "recordings": L0 | {"model", "streaming", "messages", "recordings"},
    "ros": L0 | {"model", "streaming", "engines", "messages", "live", "ros", "msg", "srv",
                 "action"},
    # Besides: the simulated camera, and the demo's scores.
    "demos": L0 | {"model", "streaming", "messages", "ros", "demos", "sim", "evaluation"},
    "cli": L0 | {"model", "streaming", "engines", "messages", "recordings", "live", "ros", "demos",
                 "cli"} | BESIDE,
}
ROS = ("rclpy", "cv_bridge", "tf2_ros", "sensor_msgs_py", "launch", "launch_ros",
       "ament_index_python")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "msg" not in path.parts)


def area_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return {"__init__.py": ""}.get(first, first.removesuffix(".py"))


def imported(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports anywhere, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            name = node.module or ""
            yield name
            if name == "samwise_ros":
                yield from (f"{name}.{alias.name}" for alias in node.names)


def is_ros(name: str) -> bool:
    first = name.partition(".")[0]
    return first in ROS or first.endswith(("_msgs", "_srvs"))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_to_lower_layers_only(path: Path) -> None:
    own = [name for name in imported(path) if name.partition(".")[0] == "samwise_ros"]
    areas = {(name.split(".") + [""])[1] for name in own} - {"__version__"}
    assert areas <= ALLOWED[area_of(path)]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_node_and_the_demos_import_ros(path: Path) -> None:
    if area_of(path) not in ("ros", "demos"):
        assert [name for name in imported(path) if is_ros(name)] == []


def test_no_module_imports_one_that_imports_it() -> None:
    """Not even lazily, or for type checking alone."""
    name_of = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
               for path in modules() if path.name != "__init__.py"}
    order = TopologicalSorter({name: set(imported(path)) & set(name_of.values())
                               for path, name in name_of.items()})
    order.prepare()  # raises CycleError, which names the circle


def test_the_rules_would_be_noticed_when_broken(tmp_path: Path) -> None:
    names = set()
    for text in ("import rclpy", "def f():\n    from std_msgs.msg import String",
                 "from samwise_ros import cli"):
        file = PACKAGE / "model" / "never_written.py"
        source = tmp_path / "x.py"
        source.write_text(text, encoding="utf-8")
        assert area_of(file) == "model"
        names.update(imported(source))
    assert {name for name in names if is_ros(name)} == {"rclpy", "std_msgs.msg"}
    assert "samwise_ros.cli" in names and "cli" not in ALLOWED["model"]


def run_python(code: str) -> dict:
    """Last line of a fresh process's output, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=240, cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_is_light() -> None:
    found = run_python("""
import sys
before = set(sys.modules)
import samwise_ros
heavy = {"torch", "sam2", "transformers", "cv2", "av", "hydra", "rclpy"}
import json; print(json.dumps(sorted(heavy & {m.partition(".")[0] for m in sys.modules})))
""")
    assert found == []


def test_importing_everything_public_leaves_no_traces() -> None:
    found = run_python("""
import json, logging, random, signal, warnings
import torch, numpy
def state():
    return [torch.get_num_threads(), torch.get_num_interop_threads(), len(logging.root.handlers),
            logging.root.level, torch.initial_seed(), torch.is_grad_enabled(),
            str(torch.get_default_dtype()), torch.backends.cuda.matmul.allow_tf32,
            torch.are_deterministic_algorithms_enabled(), hash(random.getstate()),
            numpy.random.get_state()[1][:4].tolist(), str(signal.getsignal(signal.SIGINT))]
before, filters = state(), len(warnings.filters)
import samwise_ros
for name in samwise_ros.__all__:
    getattr(samwise_ros, name)
from hydra.core.global_hydra import GlobalHydra
handlers = len(logging.getLogger("samwise_ros").handlers)
print(json.dumps({"same": before == state(), "handlers": handlers,
                  "hydra": GlobalHydra.instance().is_initialized()}))
""")
    assert found == {"same": True, "handlers": 0, "hydra": False}


def test_the_page_needs_neither_the_model_nor_ros() -> None:
    pytest.importorskip("uvicorn", reason="needs the page: pip install 'samwise_ros[live]'")
    found = run_python("""
import json, sys
import samwise_ros.live.player, samwise_ros.live.server
heavy = {"torch", "sam2", "transformers", "rclpy"}
print(json.dumps(sorted(heavy & {m.partition(".")[0] for m in sys.modules})))
""")
    assert found == []


def test_hydra_that_somebody_else_set_up_is_left_alone(tmp_path: Path) -> None:
    found = run_python(f"""
import json
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
with initialize_config_dir({str(tmp_path)!r}, version_base="1.2"):
    from samwise_ros.model.samwise import SamwiseModel
    inside = GlobalHydra.instance().is_initialized()
print(json.dumps(inside))
""")
    assert found is True


def test_segmenting_works_where_ros_cannot_be_imported(tmp_path: Path) -> None:
    found = run_python(f"""
import sys, json
class Block:
    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        if first in {ROS!r} or first.endswith("_msgs"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
sys.path.insert(0, {str(Path(__file__).parent / 'helpers')!r})
import torch; torch.set_num_threads(1)
from model_builders import MICRO, make_frames, make_model
from samwise_ros import ClipRunner, StreamingSession
from samwise_ros.model.tokenizer import ExpressionTokenizer, train_tokenizer
import samwise_ros.cli.segment, samwise_ros.streaming.video_io, samwise_ros.model.checkpoint
train_tokenizer(["the red mug"], {str(tmp_path)!r}, 270)
model = make_model(MICRO, ExpressionTokenizer({str(tmp_path)!r}))
session = StreamingSession(model)
session.submit("the red mug")
shapes = [list(session.step(f)["target"].mask.shape) for f in make_frames(2, 30, 40)]
shapes += [list(f.mask.shape) for f in ClipRunner(model).run(make_frames(2, 30, 40), "mug")]
print(json.dumps([shapes, sorted(m for m in sys.modules if m.partition(".")[0] == "rclpy")]))
""")
    assert found == [[[30, 40]] * 4, []]
