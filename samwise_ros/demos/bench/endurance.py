"""An endurance run: does the node stay as quick and as small as it was in the first minutes?

A video is played as a camera (of one simulated scene, or of your own), the node answers it with
nano or with other weights, and a client over DDS changes the command, takes the node down and up
again, and samples every minute what was answered and what the node occupies. Writes report.json,
endurance.csv and endurance.png; what the verdict means is in endurance_report.py.
"""

import json
import os
import platform
from contextlib import closing
from pathlib import Path
from typing import Any

from samwise_ros.demos.bench.endurance_trouble import (
    CAMERA,
    CAMERA_FRAME,
    LISTENER,
    Trouble,
    node_arguments,
)
from samwise_ros.demos.demo import read_client_report
from samwise_ros.demos.options import EnduranceOptions, to_argument
from samwise_ros.demos.process_group import ProcessGroup
from samwise_ros.sim.demo_scene import choose_scene, demo_plan
from samwise_ros.sim.scene import SimulatedCamera
from samwise_ros.streaming.video_file import VideoWriter

_SCENE_FRAMES = 300
_PATIENCE = 300.0  # seconds beside the run itself


def render_scene(options: EnduranceOptions) -> tuple[Path, list[str]]:
    """Write a scene of the simulator's test split, so that rendering costs nothing later.

    Returns the video and one sentence per kind. Raises SamwiseError without PyBullet, or when no
    scene of the seed fits.
    """
    scene = choose_scene(options.seed, options.rate, _SCENE_FRAMES)
    path = options.out / "scene.mp4"
    with (closing(VideoWriter(path, options.rate)) as video,
          SimulatedCamera(demo_plan(scene.seed, scene.clip, options.rate)) as camera):
        for _ in range(_SCENE_FRAMES):
            video.write(camera.step().rgb)
    return path, [item.text for item in scene.expressions]


def run_endurance(options: EnduranceOptions) -> dict[str, Any]:
    """Run camera, node and client, and return the report.

    Raises:
        SamwiseError: A process failed or did not finish in time.
    """
    group = ProcessGroup(options.out / "logs")
    try:
        video, sentences = options.video, list(options.expressions)
        if video is None:
            video, sentences = render_scene(options)
        # At last two targets at once, so that targets are added and dropped, too.
        commands = [*sentences, f"add:second: {sentences[0]}"]
        print(f"{options.minutes:g} minutes of {video.name} at {options.rate:g} frames per second; "
              f"samples: {options.out / 'endurance.csv'}", flush=True)
        group.start("node", "samwise_ros.ros.node.node", "--ros-args",
                    "-r", "image:=/camera/image_raw", "-p", "num_threads:=1",
                    "-p", f"model:={options.model}", *(node_arguments() if options.trouble else []))

        def start_camera() -> None:
            group.start(CAMERA, "samwise_ros.demos.video_camera", "--ros-args",
                        "-r", "__ns:=/camera", "-p", f"video:={json.dumps(str(video))}",
                        "-p", f"rate:={options.rate}", "-p", f"frame_id:={CAMERA_FRAME}")

        start_camera()
        if options.trouble:
            for name in (LISTENER, "depth_camera"):
                group.start(name, "samwise_ros.demos.bench.endurance_surroundings", name,
                            str(options.period))
        group.start("client", "samwise_ros.demos.bench.endurance_client", to_argument(options),
                    str(group.running["node"].pid), json.dumps(commands))
        group.wait_for(
            "client", 60 * options.minutes + _PATIENCE,
            Trouble(group, start_camera, options.period).step if options.trouble else lambda: None)
    finally:
        group.stop()
    return {"processors": os.cpu_count(), "machine": platform.machine(), "rate": options.rate,
            "source": video.name, "commands": commands} | read_client_report(options.out)


def explain(report: dict[str, Any], out: Path) -> str:
    """What happened, in words."""
    verdict = report["verdict"]
    latency = (f"{report['latency_ms_p50']:.0f} ms (median), "
               f"{report['latency_ms_p95']:.0f} ms (95 %)")
    lines = [f"{report['answered']} masks received in {report['minutes']:.1f} minutes",
             f"{report['dropped']} frames dropped for newer ones",
             f"from camera stamp to mask: {latency}",
             f"{report['commands_accepted']} of {report['commands_sent']} commands accepted"]
    if report["poses"]:
        lines.append(f"{report['poses']} poses received")
    if verdict["passed"] is None:
        lines.append(f"no verdict: {verdict['reason']}")
    else:
        rise, ratio = verdict["memory_mib_per_hour"], verdict["latency_ratio"]
        lines += [f"memory: {rise:+.2f} MiB per hour (at most {verdict['allowed_mib_per_hour']:g})",
                  f"95 % latency, last third over first: {ratio:.2f}"]
        lines += [f"{name}: {'holds' if good else 'FAILS'}"
                  for name, good in verdict["rules"].items()]
    lines.append(f"see {out / 'report.json'}, {out / 'endurance.csv'}, {out / 'endurance.png'}")
    return "\n".join(lines)
