"""The client of an endurance run: commands, transitions, one sample per period.

Started by `endurance.run_endurance`.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image

from samwise_ros.demos.bench.endurance_report import (
    Sample,
    SampleFile,
    draw,
    percentiles_ms,
    summarise,
)
from samwise_ros.demos.client import QOS, TARGET, CommandingClient, run_client, stamp_of
from samwise_ros.demos.options import EnduranceOptions, from_argument
from samwise_ros.ros.services.lifecycle_client import LifecycleClient

_ROUND_TRIPS = (("deactivate", "activate"), ("deactivate", "cleanup", "configure", "activate"))
_STORM, _STORM_TARGETS = 300, 6  # commands at once, and the targets that they are about


@dataclass(frozen=True)
class Footprint:
    """What a process occupies: MiB of memory, threads, open files, processor seconds so far."""

    memory_mib: float
    threads: int
    files: int
    cpu: float


def footprint(pid: int) -> Footprint:
    """Of a running process of this user, from /proc. Raises OSError when there is none."""
    proc = Path("/proc", str(pid))
    pages = int((proc / "statm").read_text().split()[1])
    # After the name in parentheses, utime and stime are fields 12 and 13 (proc(5): 14 and 15).
    times = (proc / "stat").read_text().rpartition(")")[2].split()
    return Footprint(
        memory_mib=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        threads=len(list((proc / "task").iterdir())), files=len(list((proc / "fd").iterdir())),
        cpu=(int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"))


class Counter:
    """What has come since it was asked last, of a count that starts from 0 now and then."""

    def __init__(self) -> None:
        self._ended = self._before = 0

    def restart(self, value: int) -> None:
        """The count has reached a value and begins anew."""
        self._ended, self._before = self._ended + value - self._before, 0

    def take(self, value: int) -> int:
        """How much has come, now that the count is at a value."""
        come = self._ended + value - self._before
        self._ended, self._before = 0, value
        return come


class EnduranceClient(CommandingClient):
    """Listens to the node's results and counts.

    Attributes:
        latencies: Seconds from camera stamp to mask received.
        with_mask: Masks that were not empty.
        poses: Of the primary target.
        level, message: Of the newest diagnostics.
    """

    def __init__(self) -> None:
        super().__init__(history=2 * _STORM)
        self.level, self.message = 0, ""
        self.latencies: list[float] = []
        self.with_mask = self.poses = 0
        self.lifecycle = LifecycleClient(self, TARGET)
        self.create_subscription(Image, f"{TARGET}/mask", self._on_mask, QOS)
        self.create_subscription(PoseStamped, f"{TARGET}/target_pose", self._on_pose, QOS)
        # What has a subscriber is computed and sent.
        self.create_subscription(Image, f"{TARGET}/label_mask", lambda message: None, QOS)
        self.create_subscription(CompressedImage, f"{TARGET}/overlay/compressed",
                                 lambda message: None, qos_profile_sensor_data)

    def _on_mask(self, mask: Image) -> None:
        self.latencies.append(
            (self.get_clock().now().nanoseconds - stamp_of(mask.header)) * 1e-9)
        self.with_mask += bool(np.frombuffer(mask.data, np.uint8).any())

    def _on_pose(self, pose: PoseStamped) -> None:
        self.poses += 1

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        super()._on_diagnostics(message)
        for status in message.status:
            if status.name.startswith(f"{TARGET}:"):
                self.level, self.message = ord(status.level), status.message


class EnduranceRun:
    """The run: what is done when, and what is measured.

    Args:
        client: The client, of a node that is active.
        options: Lengths of time, and where to write.
        pid: Process of the node.
        commands: Given one after the other, again and again.
    """

    def __init__(self, client: EnduranceClient, options: EnduranceOptions, pid: int,
                 commands: Sequence[str]) -> None:
        self._client, self._options, self._commands = client, options, commands
        self._pid = pid
        self._given = self._trips = 0
        self._sent = 0  # commands since the last sample
        self._dropped, self._accepted = Counter(), Counter()
        self._before = footprint(pid)

    def run(self) -> list[Sample]:
        """Samples until the time is over. Raises SamwiseError when the node does not answer."""
        options = self._options
        table = SampleFile(options.out / "endurance.csv")
        samples: list[Sample] = []
        start = time.monotonic()
        command_due = 0.0
        trip_due = options.toggle_every
        while (elapsed := (time.monotonic() - start) / 60) < options.minutes:
            events = []
            if elapsed >= trip_due:
                events.append(self._round_trip())
                trip_due += options.toggle_every
            if elapsed >= command_due:
                events.append(self._command())
                command_due += options.command_every
            if options.trouble:
                events.append(self._storm())
            # Behind its time, too, a sample has answers to what was done at its start.
            self._spin(max(start + (len(samples) + 1) * options.period,
                           time.monotonic() + options.period / 2))
            sample = self._sample((time.monotonic() - start) / 60, "; ".join(events))
            samples.append(sample)
            table.append(sample)
            print(sample, flush=True)
        return samples

    def _command(self) -> str:
        text = self._commands[self._given % len(self._commands)]
        self._given += 1
        self._give(text)
        return text

    def _give(self, text: str) -> None:
        self._client.command(text, self._options.timeout)
        self._sent += 1

    def _storm(self) -> str:
        """Give many commands at once; the table of targets is as before when the last is answered.

        Raises DemoError when that is not so within the time-out.
        """
        start = time.monotonic()
        names = [f"storm{number}" for number in range(_STORM_TARGETS)]
        for number in range(_STORM):
            self._give(f"add:{names[number % _STORM_TARGETS]}: "
                       f"{self._commands[0]}, as said {number} times before")
        self._wait_for_targets(names, True)
        for name in names:
            self._give(f"remove:{name}")
        self._wait_for_targets(names, False)
        return f"storm, over after {time.monotonic() - start:.1f} s"

    def _wait_for_targets(self, names: Sequence[str], there: bool) -> None:
        """Until the node answers frames with (or without) all of these targets."""
        self._client.wait(
            lambda: all((name in self._client.health["targets"].split(", ")) == there
                        for name in names), self._options.timeout,
            f"a command of a storm is lost: {'no' if there else 'still some'} targets "
            f"{', '.join(names)}")

    def _round_trip(self) -> str:
        """Take the node down, every second time as far as freeing the model, and up again."""
        transitions = _ROUND_TRIPS[self._trips % len(_ROUND_TRIPS)]
        self._trips += 1
        health = self._client.fresh_health(self._options.timeout)
        self._dropped.restart(int(health["dropped"]))
        for transition in transitions:
            self._client.lifecycle.change(transition, self._options.timeout)
        if "configure" in transitions:
            self._accepted.restart(int(health["command"]))
            self._given = max(0, self._given - 1)  # targets went with the model: ask again
            self._command()
        return ", ".join(transitions)

    def _spin(self, until: float) -> None:
        while time.monotonic() < until:
            rclpy.spin_once(self._client, timeout_sec=0.1)

    def _sample(self, minute: float, event: str) -> Sample:
        client = self._client
        health = client.fresh_health(self._options.timeout)
        now, before = footprint(self._pid), self._before
        self._before = now
        sent, self._sent = self._sent, 0
        latencies, client.latencies = tuple(client.latencies), []
        with_mask, client.with_mask = client.with_mask, 0
        poses, client.poses = client.poses, 0
        p50, p95 = percentiles_ms(latencies)
        answered = len(latencies)
        return Sample(
            minute=round(minute, 3), answered=answered,
            dropped=self._dropped.take(int(health["dropped"])), latency_ms_p50=p50,
            latency_ms_p95=p95, cpu_ms=round(1e3 * (now.cpu - before.cpu) / max(1, answered), 2),
            memory_mib=round(now.memory_mib, 2), threads=now.threads, files=now.files,
            targets=len([name for name in health["targets"].split(", ") if name]),
            with_mask=round(with_mask / max(1, answered), 3), poses=poses, sent=sent,
            accepted=self._accepted.take(int(health["command"])), load=round(os.getloadavg()[0], 2),
            level=client.level, state=client.message, event=event,
            latencies=latencies)


def _run(client: EnduranceClient, options: EnduranceOptions, pid: int, commands: Sequence[str]
         ) -> None:
    client.lifecycle.run("up", options.timeout)
    samples = EnduranceRun(client, options, pid, commands).run()
    report = {"model": client.health["model"]} | summarise(samples)
    (options.out / "client.json").write_text(json.dumps(report))
    draw(samples, options.out / "endurance.png")


def main() -> int:
    """Bring the node up, run, write `client.json`, `endurance.csv` and `.png`; 1 on failure.

    Arguments of the process: EnduranceOptions, the node's process id, a JSON list of sentences.
    """
    options = from_argument(EnduranceOptions, sys.argv[1])
    pid, commands = int(sys.argv[2]), json.loads(sys.argv[3])
    return run_client("endurance client", EnduranceClient,
                      lambda client: _run(client, options, pid, commands))


if __name__ == "__main__":
    raise SystemExit(main())
