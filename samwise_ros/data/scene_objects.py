"""The objects of a video: from the simulator's facts, or else from what expressions refer to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samwise_ros.data.reader import VideoRecord
from samwise_ros.structures import DataError


@dataclass(frozen=True)
class SceneObject:
    """One object of a video.

    Attributes:
        anno_id: Key of its mask track.
        facts: What the simulator knows of it (`class`, `colour`, ...), with `anno_id`; in recorded
            videos only `anno_id`.
    """

    anno_id: str
    facts: dict[str, Any]

    @property
    def class_name(self) -> str | None:
        """Class of a simulated object, else None."""
        return self.facts.get("class")

    @property
    def colour(self) -> str | None:
        """Name of the colour of a simulated object, else None."""
        return self.facts.get("colour")


def scene_objects(video: VideoRecord) -> tuple[SceneObject, ...]:
    """Objects of one video in a fixed order: by object id, without facts by rising mask key.

    Raises DataError when an expression refers to an object that the scene does not list.
    """
    referred = {anno_id for expression in video.expressions for anno_id in expression.anno_ids}
    listed = video.scene.get("objects")
    if not listed:
        return tuple(SceneObject(anno_id, {"anno_id": anno_id})
                     for anno_id in sorted(referred, key=lambda key: (len(key), key)))
    objects = tuple(SceneObject(str(listed[key]["anno_id"]), dict(listed[key]))
                    for key in sorted(listed, key=int))
    unknown = referred - {entry.anno_id for entry in objects}
    if unknown:
        raise DataError(f"video {video.name}: expressions refer to mask track(s) "
                        f"{', '.join(sorted(unknown))} that the scene does not list. "
                        "Simulate this split again.")
    return objects
