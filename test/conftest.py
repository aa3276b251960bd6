"""Shared fixtures."""

from collections.abc import Iterator
from pathlib import Path

import generated_interfaces
import pytest
import torch
from model_builders import MICRO, TINY, make_model

from samwise_ros.demos.shared_memory import sweep_shared_memory
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer, train_tokenizer

generated_interfaces.activate()  # before any test imports messages

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A GPU machine may lack what other tests import: `-m gpu` looks into its own files only."""
    if config.option.markexpr != "gpu" or collection_path.suffix != ".py":
        return None
    return True if "mark.gpu" not in collection_path.read_text(encoding="utf-8") else None


def pytest_sessionfinish() -> None:
    """Give back what processes that were killed on purpose have left."""
    sweep_shared_memory()


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference recordings beside the checkout; tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference recordings in {SHARED.name}/ beside the checkout")
    return SHARED


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[object]:
    """A `ros_processes.StandIn`: ROS nodes around a stand-in for the model, in their own domain."""
    from ros_processes import StandIn

    scene = StandIn(tmp_path)
    yield scene
    scene.leave()


@pytest.fixture
def plain_node() -> Iterator[object]:
    """A `rclpy.node.Node` named samwise, with nothing in it, in a domain of its own."""
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node
    from ros_processes import new_domain

    context = Context()
    rclpy.init(context=context, domain_id=new_domain())
    node = Node("samwise", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ExpressionTokenizer:
    """A byte-level tokeniser that knows a few words."""
    folder = tmp_path_factory.mktemp("tiny_tokenizer")
    phrases = [f"the {colour} {noun} on the {place}" for colour in ("red", "blue", "green")
               for noun in ("mug", "ball", "duck") for place in ("left", "right", "table")]
    train_tokenizer(phrases, folder, TINY.text.vocab_size)
    return ExpressionTokenizer(folder, TINY.text.max_tokens)


@pytest.fixture(scope="session")
def tiny_model(tiny_tokenizer: ExpressionTokenizer) -> SamwiseModel:
    """All parts at small widths, input 128. Shared: tests must not change it."""
    return make_model(TINY, tiny_tokenizer)


@pytest.fixture(scope="session")
def micro_model(tiny_tokenizer: ExpressionTokenizer) -> SamwiseModel:
    """All parts, one layer each, input 64: milliseconds per frame. Shared as well."""
    return make_model(MICRO, tiny_tokenizer)
