"""The demo: a simulated robot camera through three processes over DDS, in a domain of its own.

    camera  ->  /camera/image_raw  ->  node    ->  /samwise/mask, /samwise/targets  ->  client
    camera  ->  /camera/instance (the truth)                                        ->  client
    camera  ->  /camera/depth, camera_info  ->  node  ->  /samwise/target_cloud     ->  client
    client  ->  /command (three sentences, one after the other)  ->  node

The third line with `rerun` only. Writes overlay.mp4, contact_sheet.png and report.json.
"""

import json
from pathlib import Path
from typing import Any

from samwise_ros.demos.options import DemoOptions, to_argument
from samwise_ros.demos.process_group import ProcessGroup
from samwise_ros.sim.demo_scene import SPLIT, choose_scene

_DEPTH = ("-r", "depth:=/camera/depth", "-r", "camera_info:=/camera/camera_info")
_REHEARSED = 240  # frames in which every object has to be visible


def run_demo(options: DemoOptions) -> dict[str, Any]:
    """Three commands in a simulated scene, compared with the truth.

    Returns:
        The report: figures of the client, what was shown and how fast.

    Raises:
        MissingDependencyError: PyBullet or ROS is not installed.
        SamwiseError: No scene of this seed fits, or a process failed or did not finish in time.
    """
    group = ProcessGroup(options.out / "logs")
    try:
        # Reliable, so that not even the first image is lost: see QOS in client.py. One thread: the
        # second core is the camera's, which renders.
        group.start("node", "samwise_ros.ros.node.node", "--ros-args",
                    "-r", "image:=/camera/image_raw", "-p", "image_qos:=reliable",
                    "-p", f"model:={options.model}", "-p", "num_threads:=1",
                    "-p", f"page:={options.page}", *(_DEPTH if options.rerun else ()))
        scene = choose_scene(options.seed, options.rate, _REHEARSED)
        questions = [{"expression": item.text, "kind": item.kind, "instance": item.targets[0] + 1}
                     for item in scene.expressions]
        described = f"scene {scene.clip} of seed {scene.seed}, {SPLIT} split"
        print(f"{described}, {options.rate:g} frames per second, asking for "
              f"{', '.join(repr(item['expression']) for item in questions)} ...", flush=True)
        group.start("camera", "samwise_ros.demos.sim_camera", "--ros-args", "-r", "__ns:=/camera",
                    "-p", f"seed:={scene.seed}", "-p", f"clip:={scene.clip}",
                    "-p", f"rate:={options.rate}", "-p", "wait_for_subscribers:=2")
        group.start("client", "samwise_ros.demos.demo_client", to_argument(options),
                    json.dumps(questions))
        group.wait_for("client", options.timeout)
        if options.page:
            print(f"http://localhost:{options.page}/ shows what the camera sees, and takes "
                  "commands; Ctrl-C ends it", flush=True)
            group.hold()
    finally:
        group.stop()
    return read_client_report(options.out) | {"source": described, "rate": options.rate}


def read_client_report(out: Path) -> dict[str, Any]:
    """What the client of a run found; its file is removed."""
    client = out / "client.json"
    report = json.loads(client.read_text(encoding="utf-8"))
    client.unlink()
    return report


def explain(report: dict[str, Any], out: Path) -> str:
    """What happened, in words."""
    latency = (f"{report['latency_ms_p50']:.0f} ms (median), "
               f"{report['latency_ms_p95']:.0f} ms (95 %)")
    lines = [f"{report['frames']} masks received, {report['drops']} frames dropped for newer ones",
             f"from camera stamp to mask: {latency}", f"model: {report['model']}"]
    for item in report["commands"]:
        found = item["frames_until_correct"]
        found = "never found" if found is None else f"correct from frame {found} on"
        lines.append(f"{item['expression']!r} ({item['kind']}): J&F {item['jf']:.3f} over "
                     f"{item['frames']} frames, {found}")
    lines += [f"J&F against the truth: {report['jf']:.3f}",
              f"see {out / 'overlay.mp4'}, {out / 'contact_sheet.png'}, {out / 'report.json'}"]
    return "\n".join(lines)
