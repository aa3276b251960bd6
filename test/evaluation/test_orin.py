"""The projection for Orin: its FLOPs are those of a real frame, its arithmetic is what it says."""

import re
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.config import SessionConfig
from samwise_ros.evaluation.orin import BOARDS, SHARES, UNPROVEN, Board, StepCost, step_cost
from samwise_ros.evaluation.speed import moving_noise
from samwise_ros.evaluation.speed_parts import CPU_COUNTS
from samwise_ros.model.checkpoint import load_model
from samwise_ros.streaming.session import StreamingSession

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_count_without_data_is_that_of_a_real_frame() -> None:
    session = StreamingSession(load_model("nano", device="cpu"), SessionConfig())
    session.submit("add:a: the red ball near the blue cube on the left")  # 12 tokens or so
    for frame in moving_noise((720, 1280), 17):
        session.step(frame)
    with FlopCounterMode(display=False, custom_mapping=CPU_COUNTS) as counted:
        session.step(frame)
    found = step_cost("nano", 192, "rectangle")
    assert found.flops == pytest.approx(counted.get_total_flops(), rel=0.08)


def test_more_targets_and_larger_inputs_cost_more() -> None:
    one, four, large = (step_cost("nano", *case) for case in (
        (192, "rectangle", 1), (192, "rectangle", 4), (384, "rectangle", 1)))
    assert one.flops < four.flops < 4 * one.flops, "what is shared is counted once"
    assert one.flops < large.flops and one.least < large.least
    for cost in (one, four, large):
        assert cost.least < cost.most


def test_time_is_flops_over_a_share_of_the_peak_or_what_memory_allows() -> None:
    board = Board("a board", 10.0, 100.0)
    assert StepCost(1e12, 1e9, 9e9).milliseconds(board, 0.25) == pytest.approx(400.0)
    assert StepCost(1e6, 1e9, 9e9).milliseconds(board, 0.25) == pytest.approx(10.0)


def test_every_figure_of_the_documentation_follows_from_its_flops_and_bytes() -> None:
    text = Path(__file__).parents[2].joinpath("docs/performance.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()
            if re.match(r"\| \w+, \d+ (pad|rectangle) \|", line)]
    assert len(rows) == 12
    for _, gflop, least, _, *times in rows:
        cost = StepCost(float(gflop) * 1e9, float(least.partition(" ")[0]) * 1e9, 0.0)
        expected = [cost.milliseconds(board, share) for board in BOARDS
                    for share in (*SHARES, UNPROVEN)]
        found = [float(number) for cell in times for number in re.findall(r"[\d.]+", cell)]
        assert found == pytest.approx(expected, rel=0.06)  # two digits
    _, gflop, *_ = next(row for row in rows if row[0] == "tiny, 512 rectangle")
    assert step_cost("tiny", 512, "rectangle").flops == pytest.approx(float(gflop) * 1e9, rel=0.03)


def test_the_command_says_that_it_is_a_projection() -> None:
    done = CliRunner().invoke(app, ["bench", "orin", "--size", "nano", "--side", "192"])
    assert done.exit_code == 0, done.output
    assert "PROJECTION" in done.output and done.output.count("unproven") == len(BOARDS)
    assert "nano, 192 rectangle" in done.output and torch.get_default_device().type == "cpu"
