"""An arm picks what a sentence names and puts it into a tray: the loop closed over DDS.

    arm        ->  image, depth, camera_info            ->  segmenter
    segmenter  ->  targets, target_pose, target_cloud   ->  picker
    picker     ->  gripper_goal, gripper_opening        ->  arm
    judge      ->  command ("the red mug", ... "stop")  ->  segmenter
    arm        ->  the truth                            ->  judge

The segmenter is the real node, or with `truth` one that takes the masks from the simulator, which
proves everything after the mask. Contacts and friction are PyBullet's; nothing is glued. Writes
grasp.mp4, grasp.png and report.json.
"""

from pathlib import Path
from typing import Any

from samwise_ros.demos.demo import read_client_report
from samwise_ros.demos.options import GraspOptions, to_argument
from samwise_ros.demos.process_group import ProcessGroup
from samwise_ros.demos.segmenter import start_segmenter
from samwise_ros.sim.grasp_scene import names


def run_grasp(options: GraspOptions) -> dict[str, Any]:
    """Run the processes and return the report. Raises SamwiseError when one fails or hangs."""
    group = ProcessGroup(options.out / "logs")
    try:
        group.start("picker", "samwise_ros.demos.grasp.picker_node", "--ros-args",
                    "-p", "use_sim_time:=true")
        start_segmenter(group, options, names(), "-p", "image_qos:=reliable")
        group.start("arm", "samwise_ros.demos.grasp.arm_node", "--ros-args",
                    "-p", f"seed:={options.seed}", "-p", f"rate:={options.rate}")
        group.start("judge", "samwise_ros.demos.grasp.judge_node", to_argument(options))
        group.wait_for("judge", options.timeout)
    finally:
        group.stop()
    return {"segmenter": "truth" if options.truth else "model", "seed": options.seed
            } | read_client_report(options.out)


def explain(report: dict[str, Any], out: Path) -> str:
    """What happened, in words."""
    lines = []
    for scene in report["scene"]:
        what = "in the tray" if scene["placed"] else scene["cause"]
        if scene["lifted"] and not scene["placed"]:
            what = f"lifted, then {what}"
        lines.append(f"scene {scene['scene']}, {scene['sentence']}: {what}; "
                     f"{scene['seconds']:.0f} s, J of the mask {scene['mask_j']:.2f}")
    lines.append(f"lifted {report['lifted']} of {report['scenes']}, in the tray {report['placed']}")
    lines.append(_explain_drill(report["drill"]))
    lines.append(f"see {out / 'grasp.mp4'}, {out / 'grasp.png'}, {out / 'report.json'}")
    return "\n".join(lines)


def _explain_drill(drill: dict[str, Any]) -> str:
    obeyed = drill["approached"] and drill["carried"] and drill["left_alone"]
    return (f"on its way to {drill['first']} it was told {drill['then']}: "
            f"{'lifted that instead' if obeyed else 'not lifted'}; after \"stop\" it moved by "
            f"{1e3 * drill['drift_after_stop']:.1f} mm; told again: "
            f"{'in the tray' if drill['placed'] else 'not placed'}")
