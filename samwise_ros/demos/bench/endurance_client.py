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


class EnduranceClient(CommandingClient):
    """Listens to the node's results and counts.

    Attributes:
        latencies: Seconds from camera stamp to mask received.
        with_mask: Masks that were not empty.
        level, message: Of the newest diagnostics.
    """

    def __init__(self) -> None:
        super().__init__()
        self.level, self.message = 0, ""
        self.latencies: list[float] = []
        self.with_mask = 0
        self.lifecycle = LifecycleClient(self, TARGET)
        self.create_subscription(Image, f"{TARGET}/mask", self._on_mask, QOS)
        # What has a subscriber is computed and sent.
        self.create_subscription(Image, f"{TARGET}/label_mask", lambda message: None, QOS)
        self.create_subscription(CompressedImage, f"{TARGET}/overlay/compressed",
                                 lambda message: None, QOS)

    def _on_mask(self, mask: Image) -> None:
        self.latencies.append(
            (self.get_clock().now().nanoseconds - stamp_of(mask.header)) * 1e-9)
        self.with_mask += bool(np.frombuffer(mask.data, np.uint8).any())

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
        self._dropped = 0  # since the last sample, in activations that have ended
        self._counted = 0  # of the present activation, up to the last sample
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
            self._spin(start + (len(samples) + 1) * options.period)
            sample = self._sample((time.monotonic() - start) / 60, "; ".join(events))
            samples.append(sample)
            table.append(sample)
            print(sample, flush=True)
        return samples

    def _command(self) -> str:
        text = self._commands[self._given % len(self._commands)]
        self._given += 1
        self._client.command(text, self._options.timeout)
        return text

    def _round_trip(self) -> str:
        """Take the node down, every second time as far as freeing the model, and up again."""
        transitions = _ROUND_TRIPS[self._trips % len(_ROUND_TRIPS)]
        self._trips += 1
        health = self._client.fresh_health(self._options.timeout)
        self._dropped += int(health["dropped"]) - self._counted
        self._counted = 0
        for transition in transitions:
            self._client.lifecycle.change(transition, self._options.timeout)
        if "configure" in transitions:
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
        dropped = self._dropped + int(health["dropped"]) - self._counted
        self._before, self._dropped, self._counted = now, 0, int(health["dropped"])
        latencies, client.latencies = tuple(client.latencies), []
        with_mask, client.with_mask = client.with_mask, 0
        p50, p95 = percentiles_ms(latencies)
        answered = len(latencies)
        return Sample(
            minute=round(minute, 3), answered=answered, dropped=dropped, latency_ms_p50=p50,
            latency_ms_p95=p95, cpu_ms=round(1e3 * (now.cpu - before.cpu) / max(1, answered), 2),
            memory_mib=round(now.memory_mib, 2), threads=now.threads, files=now.files,
            targets=len([name for name in health["targets"].split(", ") if name]),
            with_mask=round(with_mask / max(1, answered), 3), load=round(os.getloadavg()[0], 2),
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
