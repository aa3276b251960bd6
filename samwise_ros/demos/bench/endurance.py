"""An endurance run: does the node stay as quick and as small as it was in the first minutes?

    python -m samwise_ros.demos.bench.endurance --minutes 60 --rate 10 --out soak_out

A video is played as a camera (of one simulated scene, or of your own), the node answers it with
nano or with other weights, and a client over DDS changes the command, takes the node down and up
again, and samples every minute what was answered and what the node occupies. Writes report.json,
soak.csv and soak.png; what the verdict means is in soak_report.py.
"""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from samwise_ros.demos.demo import OWN_EXPRESSION, model_parameters, report_run
from samwise_ros.demos.demo_video import write_demo_video
from samwise_ros.demos.process_group import ProcessGroup
from samwise_ros.streaming.video_io import VideoWriter
from samwise_ros.structures import SamwiseError

_SCENE_FRAMES = 300
_PATIENCE = 300.0  # seconds beside the run itself


def choose_scene_video(options: argparse.Namespace) -> tuple[Path, list[str]]:
    """The video to play and what to ask for in it.

    Raises:
        SamwiseError: A video without a sentence.
    """
    if options.video is not None:
        if not options.expression:
            raise SamwiseError("--video needs --expression: what shall be segmented in it?")
        video, sentences = options.video, options.expression
    elif find_spec("pybullet") is None:
        video, sentences = write_demo_video(options.out / "scene.mp4"), [OWN_EXPRESSION]
    else:
        video, sentences = render_scene(options)
    # At last two targets at once, so that targets are added and dropped, too.
    return video, [*sentences, f"add:second: {sentences[0]}"]


def render_scene(options: argparse.Namespace) -> tuple[Path, list[str]]:
    """Write a scene of the simulator's test split, so that rendering costs nothing later."""
    from samwise_ros.sim.demo_scene import choose_scene, demo_plan
    from samwise_ros.sim.scene import SimulatedCamera

    scene = choose_scene(options.seed, options.rate, _SCENE_FRAMES)
    path = options.out / "scene.mp4"
    with (closing(VideoWriter(path, options.rate)) as video,
          SimulatedCamera(demo_plan(scene.seed, scene.clip, options.rate)) as camera):
        for _ in range(_SCENE_FRAMES):
            video.write(camera.step().rgb)
    return path, [item.text for item in scene.expressions]


def run_soak(options: argparse.Namespace) -> dict:
    """Run camera, node and client, and return the report.

    Raises:
        SamwiseError: A process failed or did not finish in time.
    """
    group = ProcessGroup(options.out / "logs")
    video, commands = choose_scene_video(options)
    command_file = group.logs / "commands.json"
    command_file.write_text(json.dumps(commands))
    parameters = model_parameters(options.model)
    print(f"{options.minutes:g} minutes of {video.name} at {options.rate:g} frames per second; "
          f"samples: {options.out / 'soak.csv'}", flush=True)
    try:
        group.start("node", "samwise_ros.ros.node.node", "--ros-args", "-r", "image:=/camera/image_raw",
                    "-p", "num_threads:=1", *parameters)
        group.start("camera", "samwise_ros.demos.video_camera", "--ros-args", "-r", "__ns:=/camera",
                    "-p", f"video:={video}", "-p", f"rate:={options.rate}")
        group.start("client", "samwise_ros.demos.bench.endurance_client", "--out", str(options.out),
                    "--pid", str(group.running["node"].pid), "--commands", str(command_file),
                    "--minutes", str(options.minutes), "--period", str(options.period),
                    "--command-every", str(options.command_every),
                    "--toggle-every", str(options.toggle_every))
        group.wait_for("client", 60 * options.minutes + _PATIENCE)
    finally:
        group.stop()
    client = options.out / "client.json"
    report = json.loads(client.read_text())
    client.unlink()
    return {"processors": os.cpu_count(), "machine": platform.machine(), "rate": options.rate,
            "source": video.name, "commands": commands,
            "seeded": "seeded:=true" in parameters} | report


def explain(report: dict, out: Path) -> str:
    """What happened, in words."""
    verdict = report["verdict"]
    latency = f"{report['latency_ms_p50']:.0f} ms (median), {report['latency_ms_p95']:.0f} ms (95 %)"
    lines = [f"{report['answered']} masks received in {report['minutes']:.1f} minutes",
             f"{report['dropped']} frames dropped for newer ones",
             f"from camera stamp to mask: {latency}"]
    if verdict["passed"] is None:
        lines.append(f"no verdict: {verdict['reason']}")
    else:
        rise, ratio = verdict["memory_mib_per_hour"], verdict["latency_ratio"]
        lines += [f"memory: {rise:+.2f} MiB per hour (at most {verdict['allowed_mib_per_hour']:g})",
                  f"95 % latency, last third over first: {ratio:.2f}"]
        lines += [f"{name}: {'holds' if good else 'FAILS'}"
                  for name, good in verdict["rules"].items()]
    lines.append(f"see {out / 'report.json'}, {out / 'soak.csv'}, {out / 'soak.png'}")
    return "\n".join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m samwise_ros.demos.bench.endurance", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("soak_out"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=10.0, help="of the camera")
    parser.add_argument("--model", help="weights: released file, own folder, or a size")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated scene")
    parser.add_argument("--video", type=Path, help="video or folder of images to play instead")
    parser.add_argument("--expression", action="append",
                        help="what to look for in the video; may be repeated")
    parser.add_argument("--period", type=float, default=60.0, help="seconds per sample")
    parser.add_argument("--command-every", type=float, default=5.0, help="minutes")
    parser.add_argument("--toggle-every", type=float, default=10.0, help="minutes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 0 also for a run that does not pass: the verdict is in report.json."""
    return report_run("soak", run_soak, explain, _options(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
