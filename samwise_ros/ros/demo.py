"""The demo: a video through three processes over DDS, in a domain of its own.

    camera  ->  /camera/image_raw  ->  node  ->  /samwise/mask  ->  client
    client  ->  /command           ->  node

Writes overlay.mp4, contact_sheet.png and report.json. This process imports no ROS.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samwise_ros.ros.demo_video import write_demo_video
from samwise_ros.streaming.video_io import FrameSource
from samwise_ros.structures import SamwiseError

CHECKOUT = Path(__file__).resolve().parents[2]
SAMPLE = CHECKOUT.parent / "shared" / "samples" / "example_video.mp4"
SAMPLE_EXPRESSION = "the horse that jumps over the obstacle"
OWN_EXPRESSION = "the red ball that moves right"
NANO_WEIGHTS = CHECKOUT / "samwise_ros" / "assets" / "nano"
_LOG_LINES = 15


@dataclass
class ProcessGroup:
    """Processes of one run: all started in one ROS domain, all ended together.

    Attributes:
        logs: Folder for one log file per process.
        running: Processes by name.
    """

    logs: Path
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._environment = os.environ | {
            "ROS_DOMAIN_ID": str(random.SystemRandom().randint(1, 100)),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",  # from Iron on
            "ROS_LOG_DIR": str(self.logs),
            "PYTHONUNBUFFERED": "1",
        }
        profile = _share_file("config/fastdds.xml")
        for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
            if profile is not None:
                self._environment.setdefault(name, str(profile))

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m module` in a session of its own."""
        with (self.logs / f"{name}.log").open("w") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=self._environment)

    def wait_for(self, name: str, timeout: float) -> None:
        """Wait for the good end of one process.

        Raises:
            SamwiseError: It failed, another failed before, or `timeout` seconds have passed. The
                message ends with the failed process's last lines.
        """
        deadline = time.monotonic() + timeout
        while self.running[name].poll() is None:
            if time.monotonic() > deadline:
                raise SamwiseError(f"{name}: not finished after {timeout:.0f} s\n{self._tail(name)}")
            for other, process in self.running.items():
                if process.poll() not in (None, 0):
                    raise SamwiseError(f"{other} failed:\n{self._tail(other)}")
            time.sleep(0.1)
        if self.running[name].returncode != 0:
            tails = "\n".join(f"--- {other}\n{self._tail(other)}" for other in self.running)
            raise SamwiseError(f"{name} failed:\n{tails}")

    def stop(self) -> None:
        """Ask all to end, then end what is left, children included."""
        for number, patience in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
            for process in self.running.values():
                _signal_group(process, number)
            deadline = time.monotonic() + patience
            for process in self.running.values():
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue

    def _tail(self, name: str) -> str:
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


def _signal_group(process: subprocess.Popen, number: int) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass


def _share_file(name: str) -> Path | None:
    """A file of config/: of the checkout, or as installed by pip or colcon; None if nowhere."""
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    places = [CHECKOUT / name, *(Path(p, "share", "samwise_ros", name) for p in prefixes if p)]
    return next((place for place in places if place.is_file()), None)


def choose_video(given: Path | None, expression: str | None, out: Path) -> tuple[Path, str]:
    """The video to play and the sentence for it: what is given, the sample, or our own video.

    Raises:
        SamwiseError: A video without a sentence.
    """
    if given is not None:
        if not expression:
            raise SamwiseError("--video needs --expression: what shall be segmented in it?")
        return given, expression
    if SAMPLE.is_file():
        return SAMPLE, expression or SAMPLE_EXPRESSION
    return write_demo_video(out / "input.mp4"), expression or OWN_EXPRESSION


def model_parameters(model: str | None) -> list[str]:
    """Parameters of the node: the given weights, the shipped ones, or seeded ones."""
    if model is not None:
        return ["-p", f"model:={model}"]
    if NANO_WEIGHTS.is_dir():
        return ["-p", "model:=nano"]
    return ["-p", "model:=nano", "-p", "seeded:=true"]


def run_demo(options: argparse.Namespace) -> dict:
    """Play the video through the three processes and return the report.

    Raises:
        SamwiseError: A process failed or did not finish in time.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    logs = options.out / "logs"
    logs.mkdir(exist_ok=True)
    video, expression = choose_video(options.video, options.expression, options.out)
    rate = FrameSource(video).rate
    parameters = model_parameters(options.model)
    print(f"playing {video.name}, asking for {expression!r} ...", flush=True)
    group = ProcessGroup(logs)
    try:
        group.start("node", "samwise_ros.ros.node", "--ros-args",
                    "-r", "image:=/camera/image_raw", *parameters)
        group.start("camera", "samwise_ros.ros.camera", "--ros-args",
                    "-r", "image_raw:=/camera/image_raw", "-p", f"video:={video}",
                    "-p", "loop:=false", "-p", "wait_for_subscribers:=2")
        group.start("client", "samwise_ros.ros.demo_client", "--expression", expression,
                    "--out", str(options.out), "--rate", str(rate),
                    "--timeout", str(options.timeout))
        group.wait_for("client", options.timeout)
    finally:
        group.stop()
    client = options.out / "client.json"
    report = json.loads(client.read_text())
    client.unlink()
    return report | {"video": video.name, "expression": expression,
                     "seeded": "seeded:=true" in parameters}


def explain(report: dict, out: Path) -> str:
    """What happened, in words."""
    latency = f"{report['latency_ms_p50']:.0f} ms (median), {report['latency_ms_p95']:.0f} ms (95 %)"
    lines = [f"{report['frames']} masks received, {report['drops']} frames dropped for newer ones",
             f"from camera stamp to mask: {latency}", f"model: {report['model']}"]
    if report["seeded"]:
        lines.append("NOTE: no trained weights are shipped yet, so these are seeded random ones: "
                     "the plumbing is real, the masks mean nothing. With weights: "
                     "make demo DEMO_MODEL=path")
    lines.append(f"see {out / 'overlay.mp4'}, {out / 'contact_sheet.png'}, {out / 'report.json'}")
    return "\n".join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m samwise_ros.ros.demo", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo_out"))
    parser.add_argument("--video", type=Path, help="video, folder of images or image to play")
    parser.add_argument("--expression", help="the sentence that names the target")
    parser.add_argument("--model", help="weights: released file, own folder, or a size")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for the whole run")
    return parser.parse_args(arguments)


def report_run(name: str, run: Callable[[argparse.Namespace], dict[str, Any]],
               explain: Callable[[dict[str, Any], Path], str], options: argparse.Namespace) -> int:
    """Run a demo, write `report.json` into `options.out` and explain it; the exit status.

    1 when the demo did not succeed, 130 after Ctrl-C.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `stop` runs
    try:
        report = run(options)
    except SamwiseError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    (options.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(explain(report, options.out))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `make demo`; 1 when the demo did not succeed."""
    return report_run("demo", run_demo, explain, _options(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
