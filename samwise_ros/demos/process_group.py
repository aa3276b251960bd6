"""The processes of a demo: one ROS domain of their own, one end. This process imports no ROS."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from samwise_ros.demos.dds_domain import ReservedDomain
from samwise_ros.demos.shared_memory import sweep_shared_memory
from samwise_ros.ros.launch_arguments import profile_variable
from samwise_ros.structures import SamwiseError

CHECKOUT = Path(__file__).resolve().parents[2]
_LOG_LINES = 15
_PATIENCE = 15.0  # seconds for processes to end; on a busy machine they take several


@dataclass
class ProcessGroup:
    """Processes of one run: all started in one ROS domain, all ended together.

    Attributes:
        logs: Folder for one log file per process.
        middleware: Environment variables that choose its transports; None: the profile that ships,
            unless this process has one.
        running: Processes by name.
    """

    logs: Path
    middleware: Mapping[str, str] | None = None
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._domain = ReservedDomain()
        self._environment = os.environ | {
            "ROS_DOMAIN_ID": str(self._domain.number),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",  # from Iron on
            "ROS_LOG_DIR": str(self.logs),
            "PYTHONUNBUFFERED": "1",
        }
        profile = share_file("config/fastdds.xml")
        if self.middleware is not None:
            self._environment.pop(profile_variable(), None)
            self._environment |= self.middleware
        elif profile is not None:
            self._environment.setdefault(profile_variable(), str(profile))

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m module` in a session of its own."""
        with (self.logs / f"{name}.log").open("w") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=self._environment)

    def end(self, name: str) -> None:
        """Ask one process to end, and end it if it does not."""
        _end([self.running.pop(name)])

    def wait_for(self, name: str, timeout: float, meanwhile: Callable[[], None] = lambda: None
                 ) -> None:
        """Wait for the good end of one process.

        Args:
            name: Of the process.
            timeout: Seconds.
            meanwhile: Called ten times a second.

        Raises:
            SamwiseError: It failed, another failed before, or `timeout` seconds have passed. The
                message ends with the failed process's last lines.
        """
        deadline = time.monotonic() + timeout
        while self.running[name].poll() is None:
            if time.monotonic() > deadline:
                raise SamwiseError(f"{name}: not finished after {timeout:.0f} "
                                   f"s\n{self._tail(name)}")
            self._refuse_failed()
            meanwhile()
            time.sleep(0.1)
        if self.running[name].returncode != 0:
            tails = "\n".join(f"--- {other}\n{self._tail(other)}" for other in self.running)
            raise SamwiseError(f"{name} failed:\n{tails}")

    def hold(self) -> None:
        """Wait for Ctrl-C. Raises SamwiseError when a process fails meanwhile."""
        try:
            while True:
                self._refuse_failed()
                time.sleep(0.1)
        except KeyboardInterrupt:
            return

    def stop(self) -> None:
        """Ask all to end, then end what is left, children included; the domain is free again."""
        _end(list(self.running.values()))
        sweep_shared_memory()
        self._domain.close()

    def _refuse_failed(self) -> None:
        for name, process in self.running.items():
            if process.poll() not in (None, 0):
                raise SamwiseError(f"{name} failed:\n{self._tail(name)}")

    def _tail(self, name: str) -> str:
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


def _end(processes: Sequence[subprocess.Popen]) -> None:
    for number, patience in ((signal.SIGINT, _PATIENCE), (signal.SIGKILL, _PATIENCE)):
        for process in processes:
            _signal_group(process, number)
            _signal_group(process, signal.SIGCONT)  # one that is stopped hears nothing else
        deadline = time.monotonic() + patience
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue


def _signal_group(process: subprocess.Popen, number: int) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass


def share_file(name: str) -> Path | None:
    """A file of config/: of the checkout, or as installed by pip or colcon; None if nowhere."""
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    places = [CHECKOUT / name, *(Path(p, "share", "samwise_ros", name) for p in prefixes if p)]
    return next((place for place in places if place.is_file()), None)
