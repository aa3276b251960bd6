"""Makes a set of composed clips: in parallel, resumable, the same for any number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import cv2

from samwise_ros.compose.catalogue import ASSETS, SPLITS, Catalogue, load_catalogue
from samwise_ros.compose.clip_files import video_name, write_clip
from samwise_ros.compose.compose_clip import compose_clip
from samwise_ros.compose.composition import SceneSettings
from samwise_ros.compose.library import PictureLibrary
from samwise_ros.compose.probes import FEWEST_FRAMES
from samwise_ros.sim.generate import make_missing


@dataclass(frozen=True)
class ComposeRequest:
    """What to make: `clips` clips of `split` and `seed` under `out`, from the prepared `pictures`.

    `lists`: folder of cut_outs.json, backgrounds.json and photographs.json. `probe`: a kind of
    scene made to test something, one of `PROBES`; None makes ordinary scenes.
    """

    split: str
    seed: int
    clips: int
    out: Path
    settings: SceneSettings
    pictures: Path
    lists: Path = ASSETS
    probe: str | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"expected a split of {', '.join(SPLITS)}, got {self.split!r}")
        if self.clips < 1:
            raise ValueError(f"expected at least one clip, got {self.clips}")
        if self.probe is not None and self.settings.frames < FEWEST_FRAMES:
            raise ValueError(f"{self.probe}: expected at least {FEWEST_FRAMES} frames, got "
                             f"{self.settings.frames}")

    def video(self, index: int) -> str:
        """Name of clip number `index`."""
        return video_name(self.split, self.seed, index, self.probe)


def generate(request: ComposeRequest, workers: int = 1, show_progress: bool = True) -> int:
    """Makes the missing clips and merges all of them; returns how many were made now.

    Raises ComposeError when pictures are missing or a file cannot be written, ConfigError when the
    folder holds another data set.
    """
    videos = [request.video(index) for index in range(request.clips)]
    return make_missing(request.out, videos, partial(make_one, request), workers,
                        f"composing {request.split}" if show_progress else None)


def make_one(request: ComposeRequest, index: int) -> int:
    """Makes and writes one clip; a module function, so that workers can be spawned."""
    catalogue, library = _sources(request.lists, request.pictures)
    clip = compose_clip(request.split, request.seed, index, request.settings, catalogue, library,
                        request.probe)
    write_clip(request.out, request.video(index), index, clip)
    return index


@lru_cache(maxsize=2)
def _sources(lists: Path, pictures: Path) -> tuple[Catalogue, PictureLibrary]:
    cv2.setNumThreads(1)  # workers fill the cores
    return load_catalogue(lists), PictureLibrary(pictures)
