"""What `samwise live` can watch: videos in a loop, cameras of this machine, the simulated one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2

from samwise_ros.cli.dataset_video import video_folder
from samwise_ros.cli.terminal import say
from samwise_ros.live.player import Shot, Source
from samwise_ros.streaming.video_io import FrameSource
from samwise_ros.structures import FrameError

_SIMULATED = re.compile(r"sim(:\d+)?")
_SIM_RATE = 10.0  # frames per second
_LATE = 0.5  # seconds behind time after which lost time is given up
_REHEARSED = 60  # frames in which every object has to be visible

Wait = Callable[[float], bool]


def source_names(sources: Sequence[str]) -> list[str]:
    """Names of cameras that show these sources; empty for a single one."""
    if len(sources) == 1:
        return [""]
    names: list[str] = []
    for source in sources:
        stem = f"camera{source}" if source.isdecimal() else Path(source.replace(":", "")).stem
        stem = re.sub(r"\W+", "_", stem) or "camera"
        same = sum(re.fullmatch(rf"{re.escape(stem)}(_\d+)?", name) is not None for name in names)
        names.append(f"{stem}_{same + 1}" if same else stem)
    return names


def is_simulated(source: str) -> bool:
    """Whether this names the simulated camera."""
    return _SIMULATED.fullmatch(source) is not None and not Path(source).exists()


def open_source(source: str) -> Source:
    """What `samwise live` was told to watch.

    Raises:
        FrameError: There is no such file or camera, or nothing in it can be decoded.
        MissingDependencyError: The simulator is not installed.
    """
    if is_simulated(source):
        return _simulated(int(source[len("sim:"):] or 0))
    if source.isdecimal() and not Path(source).exists():
        return _camera(int(source))
    return _video(video_folder(Path(source)))


def _video(path: Path) -> Source:
    video = FrameSource(path)
    next(iter(video))  # raises where nothing can be decoded

    def play(wait: Wait) -> Iterator[Shot]:
        while True:
            begun, last = time.monotonic(), 0.0
            for number, frame in enumerate(video):
                begun = max(begun, time.monotonic() - frame.time - _LATE)
                if wait(max(0.0, begun + frame.time - time.monotonic())):
                    return
                last = frame.time
                yield Shot(frame.rgb, number == 0, frame.index)
            if wait(max(0.0, begun + last + 1 / video.rate - time.monotonic())):
                return

    return play


def _camera(number: int) -> Source:
    _opened(number).release()  # raises while somebody reads what is printed

    def record(wait: Wait) -> Iterator[Shot]:
        device = _opened(number)
        first = True
        try:
            while not wait(0.0):
                taken, bgr = device.read()
                if not taken:
                    raise FrameError(f"camera {number} sends no pictures; is it still plugged in?")
                yield Shot(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), first)
                first = False
        finally:
            device.release()

    return record


def _opened(number: int) -> cv2.VideoCapture:
    device = cv2.VideoCapture(number)
    if not device.isOpened():
        there = sorted(path.name for path in Path("/dev").glob("video*"))
        raise FrameError(f"camera {number} cannot be opened: it is not there, in use by another "
                         "program, or not yours to read. /dev has "
                         f"{', '.join(there) or 'no video*'}")
    return device


def _simulated(seed: int) -> Source:
    from samwise_ros.sim.demo_scene import choose_scene, demo_plan
    from samwise_ros.sim.scene import SimulatedCamera

    scene = choose_scene(seed, _SIM_RATE, _REHEARSED)
    say("in the simulated scene are, among others: "
        + ", ".join(item.text for item in scene.expressions))

    def render(wait: Wait) -> Iterator[Shot]:
        with SimulatedCamera(demo_plan(scene.seed, scene.clip, _SIM_RATE)) as camera:
            due = time.monotonic()
            for number in range(2**62):
                due = max(due + 1 / _SIM_RATE, time.monotonic())
                if wait(due - time.monotonic()):
                    return
                frame = camera.step()
                yield Shot(frame.rgb, number == 0, frame)

    return render
