"""A contact sheet of a composed or simulated folder: frames, outlines of the masks, sentences."""

from __future__ import annotations

import cv2
import numpy as np

from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.reader import VideoRecord
from samwise_ros.data.scene_objects import SceneObject, scene_objects
from samwise_ros.streaming.drawing import colour_of

TEXT_WIDTH, LINE = 430, 12  # [px]


def contact_sheet(source: MevisSource, videos: int = 12, columns: int = 3) -> np.ndarray:
    """uint8 [H, W, 3] RGB: a row per video with `columns` frames, its objects and sentences."""
    rows = [_row(source, video, columns) for video in source.videos[:videos]]
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _row(source: MevisSource, video: VideoRecord, columns: int) -> np.ndarray:
    objects = scene_objects(video)
    chosen = sorted(set(np.linspace(0, len(video.frames) - 1, columns).astype(int).tolist()))
    tracks = [source.track(video, entry.anno_id, chosen) for entry in objects]
    tiles = []
    for column, index in enumerate(chosen):
        frame = np.ascontiguousarray(source.frame(video, index))
        for number, track in enumerate(tracks):
            outlines, _ = cv2.findContours(track[column], cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(frame, outlines, -1, colour_of(number), 1)
        tiles.append(frame)
    return np.hstack([*tiles, _text(video, objects, tiles[0].shape[0])])


def _text(video: VideoRecord, objects: tuple[SceneObject, ...], height: int) -> np.ndarray:
    panel = np.zeros((height, TEXT_WIDTH, 3), np.uint8)
    number = {entry.anno_id: row for row, entry in enumerate(objects)}
    lines = [(f"{video.name} {video.scene.get('camera', '')}", (255, 255, 255))]
    for row, entry in enumerate(objects):
        said = [entry.colour or "", str(entry.class_name), ", ".join(entry.facts.get("tags", ()))]
        lines.append((f"{row}: {' '.join(said)}", colour_of(row)))
    lines += [(f"{[number[key] for key in expression.anno_ids]} {expression.text}",
               (220, 220, 220)) for expression in video.expressions]
    for place, (line, colour) in enumerate(lines[:height // LINE], start=1):
        cv2.putText(panel, line, (4, place * LINE - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.34, colour, 1)
    return panel
