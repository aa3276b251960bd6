"""Makes a whole data set: in parallel, resumable, the same whatever the number of workers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from samwise_ros.sim.clip_renderer import simulate_clip
from samwise_ros.sim.errors import require_pybullet
from samwise_ros.sim.late_target_scene import FEWEST_FRAMES, simulate_late_target
from samwise_ros.sim.plan import SceneSettings
from samwise_ros.sim.writer import claim_split, clip_file, merge_clips, video_name, write_clip

PROBES = {"late_target": simulate_late_target}

@dataclass(frozen=True)
class DatasetRequest:
    """What to make: `clips` clips of `split` and `seed` under the folder `out`.

    `probe`: a kind of scene made to test something, one of `PROBES`; None makes ordinary scenes.
    """

    split: str
    seed: int
    clips: int
    out: Path
    settings: SceneSettings
    depth: bool = False
    probe: str | None = None

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"expected at least one clip, got {self.clips}")
        if self.probe is not None and self.settings.frames < FEWEST_FRAMES:
            raise ValueError(f"{self.probe}: expected at least {FEWEST_FRAMES} frames, got "
                             f"{self.settings.frames}")

    @property
    def videos(self) -> list[str]:
        """Names of all clips, in order."""
        return [self.video(index) for index in range(self.clips)]

    def video(self, index: int) -> str:
        """Name of clip number `index`."""
        return video_name(self.split, self.seed, index, self.probe)


def generate(request: DatasetRequest, workers: int = 1, show_progress: bool = True) -> int:
    """Renders the missing clips of a data set and merges all of them.

    Args:
        request: what to make.
        workers: number of processes; 1 renders in this one.
        show_progress: draw a progress bar on stderr's terminal.

    Returns:
        Number of clips rendered now (the others were finished before).

    Raises:
        SimulationError: PyBullet is missing, or a file cannot be written.
        ConfigError: the folder holds another data set.
    """
    require_pybullet()
    return make_missing(request.out, request.videos, partial(render_one, request), workers,
                        f"simulating {request.split}" if show_progress else None)


def render_one(request: DatasetRequest, index: int) -> int:
    """Renders and writes one clip; a module function, so that workers can be spawned."""
    simulate = simulate_clip if request.probe is None else PROBES[request.probe]
    clip = simulate(request.split, request.seed, index, request.settings)
    write_clip(request.out, request.video(index), index, clip, request.depth)
    return index


def make_missing(out: Path, videos: list[str], make_one: Callable[[int], int], workers: int,
                 title: str | None) -> int:
    """Makes the clips that are not there yet and merges all of them; how many were made now.

    Args:
        out: folder of the data set.
        videos: names of all clips, in order.
        make_one: makes and writes the clip of a number; can be pickled when `workers` > 1.
        workers: number of processes; 1 works in this one.
        title: of the progress bar on the terminal; None draws none.

    Raises ConfigError when the folder holds another data set.
    """
    claim_split(out, videos)
    missing = [index for index, video in enumerate(videos) if not clip_file(out, video).exists()]
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    with Progress(*columns, disable=title is None) as progress:
        task = progress.add_task(title or "", total=len(videos))
        progress.advance(task, len(videos) - len(missing))
        for _ in _run(make_one, missing, workers):
            progress.advance(task)
    merge_clips(out, videos)
    return len(missing)


def _run(make_one: Callable[[int], int], missing: list[int], workers: int) -> Iterator[int]:
    if workers <= 1 or len(missing) < 2:
        yield from map(make_one, missing)
        return
    # "spawn": a fork would share PyBullet's state and OpenCV's threads.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(make_one, missing, chunksize=4)
