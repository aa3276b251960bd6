"""A simulated robot follows what a sentence names, then something else: the loop closed over DDS.

    robot   ->  image, depth, camera_info  ->  segmenter  ->  /samwise/target_pose  ->  follower
    robot   <-  cmd_vel                                                             <-  follower
    client  ->  command ("the red ball", later "the blue ball", then "stop")        ->  segmenter

The segmenter is the real node, or with `truth` one that takes the masks from the simulator, which
proves everything after the mask. Writes follow.mp4, follow.png and report.json.

Distances are from the camera to the near side of the ball; `target_pose` is the middle of its
visible surface, some centimetres behind, which the base therefore comes closer.
"""

from pathlib import Path
from typing import Any

from samwise_ros.demos.demo import read_client_report
from samwise_ros.demos.options import FollowOptions, to_argument
from samwise_ros.demos.process_group import ProcessGroup
from samwise_ros.demos.segmenter import NAME, start_segmenter
from samwise_ros.sim.follow_scene import PITCH, follow_scene, object_names

_PATIENCE = 3.0  # seconds; see sim_robot


def run_follow(options: FollowOptions) -> dict[str, Any]:
    """Run the processes and return the report. Raises SamwiseError when one fails or hangs."""
    group = ProcessGroup(options.out / "logs")
    try:
        start_segmenter(group, options, object_names(follow_scene()))
        group.start("follower", "samwise_ros.ros.follow.follow_target", "--ros-args",
                    "-r", f"target_pose:={NAME}/target_pose", "-p", "use_sim_time:=true",
                    "-p", f"camera_pitch:={PITCH}", "-p", f"distance:={options.distance}",
                    "-p", "linear_gain:=1.2", "-p", f"timeout:={max(0.5, 6 / options.rate)}")
        group.start("robot", "samwise_ros.demos.sim_robot", "--ros-args",
                    "-p", f"width:={options.width}", "-p", f"height:={options.width * 3 // 4}",
                    "-p", f"rate:={options.rate}", "-r", f"mask:={NAME}/mask",
                    "-p", f"patience:={_PATIENCE if options.lockstep else 0.0}")
        group.start("client", "samwise_ros.demos.follow_client", to_argument(options))
        group.wait_for("client", options.timeout)
    finally:
        group.stop()
    return {"segmenter": "truth" if options.truth else "model",
            "distance": options.distance} | read_client_report(options.out)


def explain(report: dict[str, Any], out: Path) -> str:
    """What happened, in words."""
    lines = []
    for phase in report["phases"]:
        lines.append(
            f"{phase['expression']}: from {phase['distance_first']:.2f} m to "
            f"{phase['distance_last']:.2f} m (wanted {report['distance']:.2f} m); error in the "
            f"second half of {phase['seconds']:.0f} s: mean {phase['error_mean']:.3f} m, at most "
            f"{phase['error_max']:.3f} m, bearing at most {phase['bearing_max']:.2f} rad; "
            f"mask J {phase['mask_j']:.3f} over the whole time")
    lines.append(f"after 'stop' the base moved by {report['drift_after_stop']:.4f} m")
    if report["segmenter"] == "truth":
        lines.append("masks came from the simulator, not from the model")
    lines.append(f"see {out / 'follow.mp4'}, {out / 'follow.png'}, {out / 'report.json'}")
    return "\n".join(lines)
