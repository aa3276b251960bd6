"""Small packed data and recipes for training tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SIDE, FRAMES = 64, 6
OBJECTS = [{"class": "mug", "colour": "red", "anno_id": 0, "tags": ["moves", "right"]},
           {"class": "ball", "colour": "blue", "anno_id": 1, "tags": ["still"]}]
EXPRESSIONS = [["the red one", "colour", [1]], ["the blue ball", "colour_class", [2]],
               ["the red mug", "colour_class", [1]], ["the green duck", "absent", []]]


def write_packed(folder: Path, clips: int = 4) -> Path:
    """A packed folder: a red square that moves right, a blue square that stands still."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    frames = np.full((clips, FRAMES, SIDE, SIDE, 3), 120, np.uint8)
    labels = np.zeros((clips, FRAMES, SIDE, SIDE), np.uint8)
    for clip in range(clips):
        frames[clip] += rng.integers(0, 12, frames[clip].shape, dtype=np.uint8)
        top = 4 + 4 * (clip % 4)
        for t in range(FRAMES):
            place = slice(top, top + 18), slice(2 + 4 * t, 20 + 4 * t)
            frames[clip, t][place], labels[clip, t][place] = (210, 30, 30), 1
            place = slice(42, 60), slice(40 - 3 * clip, 58 - 3 * clip)
            frames[clip, t][place], labels[clip, t][place] = (30, 30, 210), 2
    np.save(folder / "frames.npy", frames.reshape(-1, SIDE, SIDE, 3))
    np.save(folder / "labels.npy", labels.reshape(-1, SIDE, SIDE))
    entries = [{"source": "drawn", "video": f"clip{clip}", "start": clip * FRAMES,
                "length": FRAMES, "expressions": EXPRESSIONS, "objects": OBJECTS}
               for clip in range(clips)]
    (folder / "index.json").write_text(json.dumps(
        {"format": 1, "size": [SIDE, SIDE], "clips": entries}))
    return folder


def recipe(packed: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A recipe for a very small nano on drawn clips; `changes` replace whole groups."""
    small = {
        "image_size": 64, "hidden_dim": 32,
        "hiera": {"embed_dim": 16, "stages": [1, 1, 1, 1], "global_att_blocks": []},
        "text": {"vocab_size": 1024, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64},
        "cmt": {"dim": 32}, "decoder": {"feedforward": 64, "iou_hidden": 32},
        "memory": {"dim": 32, "attention_layers": 1, "feedforward": 64},
    }
    return {
        "name": "test", "out": str(out), "steps": 6, "causal": True, "threads": 1,
        "log_every": 2, "save_every": 3,
        "model": {"name": "nano", "changes": small, "trainable": "all", "dropout": False},
        "data": {"kind": "packed", "roots": [str(packed)], "val_roots": [str(packed)],
                 "frames": 2, "clips": 2, "expressions": 3, "flip": True},
        "loss": {"focal": 0.0, "cme": 0.0, "bce": 5.0, "dice": 1.0, "per_frame": True,
                 "absent": 0.2, "score": 0.5, "deep": 0.5, "dense": 0.5, "flow": 0.5,
                 "tags": 0.5},
        "optim": {"lr": 1e-3, "schedule": "cosine", "warmup": 2, "ema": 0.9},
        **changes,
    }


def write_recipe(path: Path, values: dict[str, Any]) -> Path:
    """Write a recipe as YAML."""
    path.write_text(yaml.safe_dump(values))
    return path
