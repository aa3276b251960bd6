"""A small library of drawn pictures: cut-outs with exact shapes, plain backgrounds, one
photograph."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.compose.catalogue import Catalogue, load_catalogue
from samwise_ros.compose.library import background_file, cut_out_file

COLOURS = {"red": (40, 40, 220), "green": (50, 190, 60), "blue": (220, 70, 40),
           "yellow": (40, 220, 230)}
SHAPES = {"disc": "toy", "box": "toy", "star": "sign", "bar": "tool"}
HELD = {"val_stamps": ("disc", "blue"), "test_stamps": ("box", "blue")}
HELD_NAMES = {"star": "val_names", "bar": "test_names"}


def draw_library(root: Path) -> tuple[Path, Path]:
    """Folder of pictures and folder of lists, drawn below `root`."""
    pictures, lists = root / "pictures", root / "lists"
    lists.mkdir(parents=True)
    cut_outs = [_cut_out(pictures, name, kind, colour) for name, kind in SHAPES.items()
                for colour in COLOURS]
    backgrounds = [_background(pictures, f"{split}{number}.jpg", split, number)
                   for split in ("train", "val", "test") for number in range(2)]
    photograph = {
        "path": "photo.jpg", "split": "train", "contents": [], "objects": [
            {"name": "panel", "kind": None, "colour": "white", "tints": ["white"], "whole": True,
             "outline": [[[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]]}]}
    picture = np.full((200, 240, 3), 60, np.uint8)
    picture[50:150, 60:180] = 235
    cv2.imwrite(str(background_file(pictures, "photo.jpg")), picture)
    panel = np.full((100, 120, 4), 235, np.uint8)
    cv2.imwrite(str(cut_out_file(pictures, "photo.jpg#1")), panel)
    render = _cut_out(pictures, "ring", "toy", "green")
    for name, rows in (("cut_outs", cut_outs), ("renders", [render]),
                       ("backgrounds", backgrounds), ("photographs", [photograph])):
        (lists / f"{name}.json").write_text(json.dumps({"rows": rows}))
    return pictures, lists


def drawn_catalogue(root: Path) -> tuple[Path, Catalogue]:
    """Folder of pictures and the catalogue of what is in it."""
    pictures, lists = draw_library(root)
    return pictures, load_catalogue(lists)


def _cut_out(pictures: Path, name: str, kind: str, colour: str) -> dict:
    path = f"{name}/{colour}.png"
    picture = np.zeros((80, 100, 4), np.uint8)
    picture[..., :3] = COLOURS[colour]
    alpha = np.zeros((80, 100), np.uint8)
    if name == "disc":
        cv2.circle(alpha, (50, 40), 36, 255, -1)
    elif name == "box":
        alpha[8:72, 10:90] = 255
    elif name == "bar":
        alpha[30:50, 4:96] = 255
    else:
        cv2.fillPoly(alpha, [np.array([[50, 4], [90, 70], [10, 70]])], 255)
    picture[..., 3] = alpha
    file = cut_out_file(pictures, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), picture)
    split = HELD_NAMES.get(name, next((split for split, pair in HELD.items()
                                       if pair == (name, colour)), "train"))
    return {"path": path, "name": name, "kind": kind, "colour": colour, "tints": [colour],
            "split": split}


def _background(pictures: Path, path: str, split: str, number: int) -> dict:
    picture = np.full((200, 260, 3), 110 + 40 * number, np.uint8)
    cv2.line(picture, (0, 0), (260, 200), (90, 90, 90), 3)
    file = background_file(pictures, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), picture)
    return {"path": path, "split": split, "photograph": True, "contents": ["tree"]}
