"""Makes a whole data set: in parallel, resumable, the same whatever the number of workers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
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
    claim_split(request.out, request.videos)
    missing = [
        index
        for index, video in enumerate(request.videos)
        if not clip_file(request.out, video).exists()
    ]
    columns = (
        "[progress.description]{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not show_progress) as progress:
        task = progress.add_task(f"simulating {request.split}", total=request.clips)
        progress.advance(task, request.clips - len(missing))
        for _ in _render_all(request, missing, workers):
            progress.advance(task)
    merge_clips(request.out, request.videos)
    return len(missing)


def render_one(job: tuple[DatasetRequest, int]) -> int:
    """Renders and writes one clip; a module function, so that workers can be spawned."""
    request, index = job
    simulate = simulate_clip if request.probe is None else PROBES[request.probe]
    clip = simulate(request.split, request.seed, index, request.settings)
    write_clip(request.out, request.video(index), index, clip, request.depth)
    return index


def _render_all(request: DatasetRequest, missing: list[int], workers: int) -> Iterator[int]:
    jobs = [(request, index) for index in missing]
    if workers <= 1 or len(jobs) < 2:
        yield from map(render_one, jobs)
        return
    # "spawn": a fork would share PyBullet's state and OpenCV's threads.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(render_one, jobs, chunksize=4)
