"""The demo: a simulated robot camera through three processes over DDS, in a domain of its own.

    camera  ->  /camera/image_raw  ->  node    ->  /samwise/mask, /samwise/targets  ->  client
    camera  ->  /camera/instance (the truth)                                        ->  client
    client  ->  /command (three sentences, one after the other)  ->  node

Writes overlay.mp4, contact_sheet.png and report.json. With --video or --expression, or without
PyBullet, a video is played instead, and there is no truth to compare with.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from samwise_ros.demos.demo_video import write_demo_video
from samwise_ros.demos.process_group import CHECKOUT, ProcessGroup
from samwise_ros.streaming.video_io import FrameSource
from samwise_ros.structures import SamwiseError

SAMPLE = CHECKOUT.parent / "shared" / "samples" / "example_video.mp4"
SAMPLE_EXPRESSION = "the horse that jumps over the obstacle"
OWN_EXPRESSION = "the red ball that moves right"
NANO_WEIGHTS = CHECKOUT / "samwise_ros" / "assets" / "nano"
_REHEARSED = 240  # frames in which every object has to be visible


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
    """Run the simulated scene or the video and return the report.

    Raises:
        SamwiseError: A process failed or did not finish in time.
    """
    if options.video is not None or options.expression is not None:
        return run_video(options)
    if find_spec("pybullet") is None:
        print("PyBullet is not installed (pip install 'samwise_ros[sim]'): no simulated camera, "
              "playing a video instead", flush=True)
        return run_video(options)
    return run_scene(options)


def run_scene(options: argparse.Namespace) -> dict:
    """Three commands in a simulated scene, compared with the truth. Raises as `run_demo`."""
    from samwise_ros.sim.demo_scene import SPLIT, choose_scene

    group = ProcessGroup(options.out / "logs")
    parameters = model_parameters(options.model)
    try:
        # One thread: the second core is the camera's, which renders.
        _start_node(group, [*parameters, "-p", "num_threads:=1"])
        scene = choose_scene(options.seed, options.rate, _REHEARSED)
        questions = [{"expression": item.text, "kind": item.kind, "instance": item.targets[0] + 1}
                     for item in scene.expressions]
        described = f"scene {scene.clip} of seed {scene.seed}, {SPLIT} split"
        print(f"{described}, {options.rate:g} frames per second, asking for "
              f"{', '.join(repr(item['expression']) for item in questions)} ...", flush=True)
        question_file = group.logs / "questions.json"
        question_file.write_text(json.dumps(questions))
        group.start("camera", "samwise_ros.demos.sim_camera", "--ros-args", "-r", "__ns:=/camera",
                    "-p", f"seed:={scene.seed}", "-p", f"clip:={scene.clip}",
                    "-p", f"rate:={options.rate}", "-p", "wait_for_subscribers:=2")
        group.start("client", "samwise_ros.demos.sim_demo_client",
                    "--questions", str(question_file), "--frames", str(options.frames),
                    *_client_options(options, options.rate))
        group.wait_for("client", options.timeout)
    finally:
        group.stop()
    return _client_report(options) | {
        "source": described, "rate": options.rate, "seeded": "seeded:=true" in parameters}


def run_video(options: argparse.Namespace) -> dict:
    """One command on a video. Raises as `run_demo`."""
    group = ProcessGroup(options.out / "logs")
    video, expression = choose_video(options.video, options.expression, options.out)
    rate = FrameSource(video).rate
    parameters = model_parameters(options.model)
    print(f"playing {video.name}, asking for {expression!r} ...", flush=True)
    try:
        _start_node(group, parameters)
        group.start("camera", "samwise_ros.demos.video_camera", "--ros-args", "-r", "__ns:=/camera",
                    "-p", f"video:={video}", "-p", "loop:=false", "-p", "wait_for_subscribers:=2")
        group.start("client", "samwise_ros.demos.demo_client", "--expression", expression,
                    *_client_options(options, rate))
        group.wait_for("client", options.timeout)
    finally:
        group.stop()
    return _client_report(options) | {"source": video.name, "expression": expression,
                                      "seeded": "seeded:=true" in parameters}


def _start_node(group: ProcessGroup, parameters: list[str]) -> None:
    # Reliable, so that not even the first image is lost: see QOS in client.py.
    group.start("node", "samwise_ros.ros.node.node", "--ros-args", "-r", "image:=/camera/image_raw",
                "-p", "image_qos:=reliable", *parameters)


def _client_options(options: argparse.Namespace, rate: float) -> list[str]:
    return ["--out", str(options.out), "--rate", str(rate), "--timeout", str(options.timeout)]


def _client_report(options: argparse.Namespace) -> dict:
    """What the client found; its file is removed."""
    client = options.out / "client.json"
    report = json.loads(client.read_text())
    client.unlink()
    return report


def explain(report: dict, out: Path) -> str:
    """What happened, in words."""
    latency = f"{report['latency_ms_p50']:.0f} ms (median), {report['latency_ms_p95']:.0f} ms (95 %)"
    lines = [f"{report['frames']} masks received, {report['drops']} frames dropped for newer ones",
             f"from camera stamp to mask: {latency}", f"model: {report['model']}"]
    for item in report.get("commands", ()):
        found = item["frames_until_correct"]
        found = "never found" if found is None else f"correct from frame {found} on"
        lines.append(f"{item['expression']!r} ({item['kind']}): J&F {item['jf']:.3f} over "
                     f"{item['frames']} frames, {found}")
    if report["jf"] is not None:
        lines.append(f"J&F against the truth: {report['jf']:.3f}")
    if report["seeded"]:
        lines.append("NOTE: no trained weights are shipped yet, so these are seeded random ones: "
                     "the plumbing is real, the masks mean nothing. With weights: "
                     "make demo DEMO_MODEL=path")
    lines.append(f"see {out / 'overlay.mp4'}, {out / 'contact_sheet.png'}, {out / 'report.json'}")
    return "\n".join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m samwise_ros.demos.demo", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo_out"))
    parser.add_argument("--seed", type=int, default=0, help="of the simulated scene")
    parser.add_argument("--rate", type=float, default=10.0, help="of the simulated camera")
    parser.add_argument("--frames", type=int, default=80, help="answered frames per command")
    parser.add_argument("--video", type=Path, help="video, folder of images or image to play")
    parser.add_argument("--expression", help="the sentence that names the target in a video")
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
