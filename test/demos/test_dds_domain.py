"""Domains are reserved for one run at a time, with lock files that nobody else can lay hands on."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from samwise_ros.demos import dds_domain
from samwise_ros.demos.dds_domain import ReservedDomain
from samwise_ros.structures import SamwiseError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_no_two_runs_have_the_same_domain_and_a_closed_one_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(dds_domain, "_DOMAINS", range(1, 4))
    held = [ReservedDomain() for _ in range(3)]
    assert {domain.number for domain in held} == {1, 2, 3}
    with pytest.raises(SamwiseError, match="in use"):
        ReservedDomain()
    held[1].close()
    held[1].close()
    again = ReservedDomain()
    assert again.number == held[1].number
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for domain in (held[0], held[2], again):
        domain.close()


def test_a_process_that_ends_leaves_its_domain_and_a_child_does_not_keep_it(tmp_path, monkeypatch):
    monkeypatch.setattr(dds_domain, "_DOMAINS", range(1, 2))
    subprocess.run([sys.executable, "-c", """
import subprocess
from samwise_ros.demos.dds_domain import ReservedDomain
domain = ReservedDomain()
subprocess.Popen(["sleep", "20"], close_fds=False, start_new_session=True)
"""], check=True, timeout=60)
    ReservedDomain().close()


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(dds_domain, "_DOMAINS", range(1, 3))
    (tmp_path / "samwise_ros_domain_1.lock").symlink_to(tmp_path / "victim")
    domain = ReservedDomain()
    assert domain.number == 2 and not (tmp_path / "victim").exists()
    domain.close()


def test_without_a_runtime_folder_a_private_one_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ReservedDomain().close()
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(SamwiseError, match="only you"):
        ReservedDomain()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere", folder)
    with pytest.raises(SamwiseError, match="only you"):
        ReservedDomain()
