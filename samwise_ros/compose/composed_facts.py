"""What is true of a composed clip, measured in its masks and paths: the ground of its sentences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from samwise_ros.compose.catalogue import Label
from samwise_ros.compose.composition import ScenePlan
from samwise_ros.compose.paths import Path
from samwise_ros.compose.render import Rendered

VISIBLE_SHARE = 0.002  # of the picture: a smaller object counts as not visible to a person
COLUMN_MARGIN, ROW_MARGIN = 0.06, 0.08  # of width and height: a clear "left of" and "above"
SIZE_RATIO = 1.5  # of seen areas: clearly bigger


@dataclass(frozen=True)
class ComposedFacts:
    """Facts of a clip with T frames and O objects (decoys are none).

    Args:
        labels: name, kind and colour of each object.
        asked: per object, sentences may mean it.
        paths: how each moves.
        pixels: [T, O] int, pixels seen.
        covered: [T, O] int, pixels if nothing stood before it.
        centres: [T, O, 2] float, middle of the seen pixels (column, row), NaN if none.
        width, height: of the picture [px].
        camera: kind of camera motion.
        contents: nouns of what the background may show.
        decoys: there are things without a known name, too.
    """

    labels: tuple[Label, ...]
    asked: tuple[bool, ...]
    paths: tuple[Path, ...]
    pixels: np.ndarray
    covered: np.ndarray
    centres: np.ndarray
    width: int
    height: int
    camera: str
    contents: frozenset[str]
    decoys: bool

    @cached_property
    def visible(self) -> np.ndarray:
        """[T, O] bool: large enough to be pointed at."""
        return self.pixels >= VISIBLE_SHARE * self.width * self.height

    def clear(self, index: int) -> bool:
        """Visible on a fair part of the clip."""
        return bool(self.visible[:, index].mean() >= 0.25)

    def members(self, noun: str | None = None, colour: str | None = None) -> list[int] | None:
        """Objects that a noun and a colour mean (None: any); None where people could disagree."""
        fits, might = [], []
        if noun is None and self.decoys or noun in self.contents:
            return None
        for index, label in enumerate(self.labels):
            if ((noun is None or noun in label.nouns)
                    and (colour is None or label.colour == colour)):
                fits.append(index)
            if ((noun is None or label.might_be(noun))
                    and (colour is None or label.might_have(colour))):
                might.append(index)
        return fits if fits == might else None

    @cached_property
    def tags(self) -> list[frozenset[str]]:
        """Motions that are true of each object."""
        return [frozenset(_true_tags(self, index)) for index in range(len(self.labels))]

    @cached_property
    def possible_tags(self) -> list[frozenset[str]]:
        """Motions that a person might grant each object."""
        return [self.tags[index] | frozenset(_possible_tags(self, index))
                for index in range(len(self.labels))]

    def since(self, frame: int) -> ComposedFacts:
        """The facts of the frames from `frame` on (paths stay whole)."""
        return replace(self, pixels=self.pixels[frame:], covered=self.covered[frame:],
                       centres=self.centres[frame:])


def measure(plan: ScenePlan, rendered: Rendered) -> ComposedFacts:
    """Facts of a painted plan."""
    items = [item for item in plan.placements if item.texture is None]
    height, width = rendered.labels.shape[1:]
    pixels = np.zeros_like(rendered.covered)
    centres = np.full((*pixels.shape, 2), np.nan)
    columns, rows = np.arange(width), np.arange(height)
    for frame, labels in enumerate(rendered.labels):
        for index in range(pixels.shape[1]):
            mask = labels == index + 1
            across = mask.sum(0)
            count = int(across.sum())
            pixels[frame, index] = count
            if count:
                centres[frame, index] = (across @ columns / count, mask.sum(1) @ rows / count)
    natives = plan.background.natives
    return ComposedFacts(
        labels=(*(native.label for native in natives), *(item.cut_out.label for item in items)),
        asked=(*[plan.background.split == plan.split] * len(natives),
               *(item.asked for item in items)),
        paths=(*(_rest(place, len(pixels)) for place in rendered.natives),
               *(item.path for item in items)),
        pixels=pixels, covered=rendered.covered, centres=centres, width=width, height=height,
        camera=plan.camera, contents=plan.background.contents,
        decoys=len(items) < len(plan.placements) or bool(natives and plan.background.contents))


def _rest(place: np.ndarray, frames: int) -> Path:
    return Path("still", np.tile(place, (frames, 1)), np.ones(frames), np.zeros(frames))


# -- relations --------------------------------------------------------------------------------


def extreme(facts: ComposedFacts, relation: str, members: list[int]) -> int | None:
    """The member that is clearly most `relation` on every frame.

    `relation`: "left", "right", "top", "bottom", "big" or "small". None without such a member, or
    if one is not always visible.
    """
    if len(members) < 2 or not facts.visible[:, members].all():
        return None
    if relation in ("big", "small"):
        values = np.log(facts.pixels[:, members]) * (1 if relation == "big" else -1)
        margin = float(np.log(SIZE_RATIO))
        whole = facts.pixels[:, members] >= 0.8 * facts.covered[:, members]
        if not whole.all():
            return None
    else:
        values, margin = _along(facts, relation, members)
    best = int(np.argmax(values[0]))
    rest = np.delete(values, best, axis=1).max(axis=1)
    return members[best] if (values[:, best] > rest + margin).all() else None


def satisfying(facts: ComposedFacts, relation: str, members: list[int],
               other: int) -> int | None:
    """The only member that is clearly `relation` to the object `other` on every frame."""
    members = [index for index in members if index != other]
    if not members or not facts.visible[:, [*members, other]].all():
        return None
    if relation == "beside":
        return _nearest(facts, members, other)
    if relation in ("in front", "behind"):
        return _overlapping(facts, relation, members, other)
    values, margin = _along(facts, relation, [*members, other])
    score = (values[:, :-1] - values[:, -1:]) / margin
    holds, fails = (score > 1).all(axis=0), (score < -0.5).all(axis=0)
    if holds.sum() == 1 and (holds | fails).all():
        return members[int(np.flatnonzero(holds)[0])]
    return None


def between(facts: ComposedFacts, members: list[int], first: int, second: int) -> int | None:
    """The only member whose middle lies between those of two others on every frame."""
    members = [index for index in members if index not in (first, second)]
    if not members or not facts.visible[:, [*members, first, second]].all():
        return None
    start, end = facts.centres[:, [first]], facts.centres[:, [second]]  # [T, 1, 2]
    line = end - start
    length = np.maximum((line ** 2).sum(-1), 1e-6)
    offset = facts.centres[:, members] - start  # [T, n, 2]
    along = (offset * line).sum(-1) / length
    aside = np.abs(offset[..., 0] * line[..., 1] - offset[..., 1] * line[..., 0]) / length
    holds = ((along > 0.2) & (along < 0.8) & (aside < 0.3)).all(axis=0)
    fails = ((along < -0.05) | (along > 1.05) | (aside > 0.6)).all(axis=0)
    if holds.sum() == 1 and (holds | fails).all():
        return members[int(np.flatnonzero(holds)[0])]
    return None


def _along(facts: ComposedFacts, relation: str, members: list[int]) -> tuple[np.ndarray, float]:
    """[T, n] how far each is in the direction, and the margin that counts as clear [px]."""
    axis = 0 if relation in ("left", "right") else 1
    sign = -1 if relation in ("left", "top", "above") else 1
    margin = COLUMN_MARGIN * facts.width if axis == 0 else ROW_MARGIN * facts.height
    return sign * facts.centres[:, members, axis], margin


def _nearest(facts: ComposedFacts, members: list[int], other: int) -> int | None:
    if len(members) < 2:
        return None
    distances = np.linalg.norm(facts.centres[:, members] - facts.centres[:, [other]], axis=2)
    best = int(np.argmin(distances[0]))
    rest = np.delete(distances, best, axis=1).min(axis=1)
    clear = (distances[:, best] * 1.5 < rest) & (distances[:, best] < 0.5 * facts.width)
    return members[best] if clear.all() else None


def _overlapping(facts: ComposedFacts, relation: str, members: list[int],
                 other: int) -> int | None:
    """Two objects alone in the scene, one painted over a good part of the other throughout."""
    if len(facts.labels) != 2 or facts.decoys:
        return None
    hidden = 1 - facts.pixels / np.maximum(facts.covered, 1)
    behind = other if relation == "in front" else members[0]
    share = hidden[:, behind]
    return members[0] if ((share > 0.12) & (share < 0.8)).all() else None


# -- motions ----------------------------------------------------------------------------------


def _run(values: np.ndarray) -> float:
    """The largest rise between any two frames in their order."""
    return float((values - np.minimum.accumulate(values)).max())


def _shares(facts: ComposedFacts, index: int) -> tuple[float, float, float, float, float]:
    """Largest run to the right, left, down and up, in parts of the width, and the path's length."""
    position = facts.paths[index].position / facts.width
    length = float(np.linalg.norm(np.diff(position, axis=0), axis=1).sum())
    column, row = position.T
    return _run(column), _run(-column), _run(row), _run(-row), length


def _true_tags(facts: ComposedFacts, index: int) -> set[str]:
    path, seen = facts.paths[index], facts.visible[:, index]
    if len(seen) < 2 or seen.sum() < 3:
        return set()
    right, left, down, up, length = _shares(facts, index)
    turn, growth = float(np.ptp(path.angle)), float(path.scale[-1] / path.scale[0])
    tags = set()
    if length < 0.01 and turn < 1 and abs(np.log(growth)) < 0.02:
        tags.add("still")
    if length > 0.15:
        tags.add("moves")
    sides = {"right": right, "left": left, "down": down, "up": up}
    name = max(sides, key=sides.__getitem__)
    straight = path.script in ("glide", "left", "right", "up", "down", "enter", "leave", "hide")
    if straight and sides[name] > 0.18 and sides[name] > 1.4 * sorted(sides.values())[-2]:
        tags.add(name)
    if path.script in ("near", "far") and facts.camera != "zoom":
        tags.add(path.script)
    if path.script in ("circle", "spin"):
        tags.add(path.script)
    if path.script in ("enter", "leave", "return") and _pattern(facts, index, path.script):
        tags.add(path.script)
    if path.script == "hide" and _hides(facts, index, 0.5):
        tags.add("hide")
    return tags


def _possible_tags(facts: ComposedFacts, index: int) -> set[str]:
    path = facts.paths[index]
    right, left, down, up, length = _shares(facts, index)
    turn, growth = float(np.ptp(path.angle)), float(np.log(path.scale[-1] / path.scale[0]))
    tags = {name for name, run in (("right", right), ("left", left), ("down", down), ("up", up))
            if run > 0.05}
    if length > 0.02 or turn > 5 or abs(growth) > 0.1:
        tags.add("moves")
    if length < 0.06:
        tags.add("still")
    if growth > 0.1 or facts.camera == "zoom":
        tags.add("near")
    if growth < -0.1 or facts.camera == "zoom":
        tags.add("far")
    if turn > 20:
        tags.add("spin")
    if path.script == "circle":
        tags.add("circle")
    tags |= {name for name in ("enter", "leave", "return") if _pattern(facts, index, name)}
    if _hides(facts, index, 0.8):
        tags.add("hide")
    return tags


def _pattern(facts: ComposedFacts, index: int, name: str) -> bool:
    """Visibility as in entering (0 then 1), leaving (1 then 0) or returning (1, 0, 1)."""
    seen = facts.visible[:, index].astype(int)
    changes = seen[np.insert(np.diff(seen) != 0, 0, True)].tolist()
    return changes == {"enter": [0, 1], "leave": [1, 0], "return": [1, 0, 1]}[name]


def _hides(facts: ComposedFacts, index: int, share: float) -> bool:
    """At some time less than `share` of it is seen, before and after nearly all of it."""
    whole = facts.covered[:, index] >= VISIBLE_SHARE * facts.width * facts.height
    seen = np.where(whole, facts.pixels[:, index] / np.maximum(facts.covered[:, index], 1), 1.0)
    low = int(np.argmin(seen))
    return bool(seen[low] < share and seen[:low + 1].max() > 0.9 and seen[low:].max() > 0.9)
