"""The processes of a demo: a domain of their own, one end for all. No ROS is needed."""

import os
import time
from pathlib import Path

import pytest

from samwise_ros.demos.process_group import ProcessGroup
from samwise_ros.ros.launch_arguments import profile_variable
from samwise_ros.structures import SamwiseError


def test_two_runs_never_share_a_domain(tmp_path):
    groups = [ProcessGroup(tmp_path / str(number)) for number in range(8)]
    try:
        domains = {group._environment["ROS_DOMAIN_ID"] for group in groups}
        assert len(domains) == 8 and all(1 <= int(domain) <= 100 for domain in domains)
    finally:
        for group in groups:
            group.stop()


def test_a_failing_process_ends_the_run_with_its_log_and_no_process_left(tmp_path):
    group = ProcessGroup(tmp_path)
    try:
        group.start("patient", "http.server", "0")
        group.start("failing", "no_such_module")
        with pytest.raises(SamwiseError, match="failing failed:(?s:.*)no_such_module"):
            group.wait_for("patient", 60.0)
    finally:
        group.stop()
    assert all(process.poll() is not None for process in group.running.values())


def processes_of(folder: Path) -> list[str]:
    """Processes of this machine that were started with logs below a folder."""
    def belongs(process: str) -> bool:
        try:
            return str(folder).encode() in Path("/proc", process, "environ").read_bytes()
        except OSError:
            return False

    return [name for name in os.listdir("/proc") if name.isdigit() and belongs(name)]


def test_children_of_the_processes_are_ended_too(tmp_path, monkeypatch):
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    (tmp_path / "parent_of_sleep.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    group = ProcessGroup(tmp_path)
    try:
        group.start("parent", "parent_of_sleep")
        deadline = time.monotonic() + 60
        while len(processes_of(tmp_path)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        group.stop()
    assert processes_of(tmp_path) == []


def test_a_profile_of_the_shell_does_not_reach_a_group_with_transports_of_its_own(
        tmp_path, monkeypatch):
    monkeypatch.setenv(profile_variable(), "/a/profile.xml")
    groups = [ProcessGroup(tmp_path / "usual"), ProcessGroup(tmp_path / "own", {"A": "b"})]
    try:
        usual, own = (group._environment for group in groups)
        assert usual[profile_variable()] == "/a/profile.xml" and "A" not in usual
        assert profile_variable() not in own and own["A"] == "b"
    finally:
        for group in groups:
            group.stop()
