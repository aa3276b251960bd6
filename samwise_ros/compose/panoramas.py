"""Indoor backgrounds: views into panoramas of npm's `@pmndrs/assets` (Poly Haven, CC0).

The package holds EXR files as text in JavaScript modules. A background's path
`npm:hdri/lobby.exr.js@60,-20` is the view to 60 degrees, 20 below the horizon.
"""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.compose.errors import ComposeError
from samwise_ros.structures import MissingDependencyError

PACKAGE = "@pmndrs/assets@1.7.0"
FIELD = 95.0  # degrees across: more pixels of these small panoramas
SIZE = (640, 480)  # of a view [px]
MIDDLE, SHOULDER = 0.22, 0.35  # of the tone curve: where the median goes, how fast light saturates


def read_view(root: Path, path: str) -> np.ndarray:
    """uint8 [H, W, 3] BGR: the view `path` out of the package unpacked in `root`.

    Raises ComposeError when the file is missing, MissingDependencyError without OpenEXR.
    """
    name, _, angles = path.removeprefix("npm:").partition("@")
    yaw, pitch = (float(angle) for angle in angles.split(","))
    try:
        text = (root / name).read_text(encoding="ascii")
    except OSError as error:
        raise ComposeError(f"cannot read {root / name}: {error}; {PACKAGE} has it") from error
    return perspective(_panorama(text), yaw, pitch)[..., ::-1]


def perspective(panorama: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """uint8 [H, W, 3] RGB of SIZE, tone mapped, from a float [h, 2h, 3] equirectangular picture.

    Args:
        panorama: RGB in linear light; column 0 is `yaw` 0, row 0 the zenith.
        yaw, pitch: degrees to the right, and above (below: negative) the horizon.
    """
    width, height = SIZE
    across, down = np.meshgrid(np.arange(width) + 0.5 - width / 2,
                               np.arange(height) + 0.5 - height / 2)
    ahead = np.full_like(across, width / 2 / np.tan(np.deg2rad(FIELD) / 2))
    lift, turn = np.deg2rad(pitch), np.deg2rad(yaw)
    down, ahead = (down * np.cos(lift) - ahead * np.sin(lift),
                   down * np.sin(lift) + ahead * np.cos(lift))
    longitude = np.arctan2(across, ahead) + turn
    latitude = np.arctan2(down, np.hypot(across, ahead))
    rows, columns = panorama.shape[:2]
    seen = cv2.remap(np.maximum(panorama, 0).astype(np.float32),
                     (longitude / (2 * np.pi) % 1 * columns - 0.5).astype(np.float32),
                     ((latitude / np.pi + 0.5) * rows - 0.5).astype(np.float32),
                     cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    light = seen * (MIDDLE / max(float(np.median(seen.mean(-1))), 1e-4))
    return np.round(np.clip(light / (1 + SHOULDER * light), 0, 1) ** (1 / 2.2) * 255
                    ).astype(np.uint8)


def _panorama(text: str) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingDependencyError("indoor backgrounds are EXR files: pip install "
                                     "'samwise_ros[compose]' (OpenEXR)") from error
    found = re.search(r"base64,([A-Za-z0-9+/=]+)", text)
    if found is None:
        raise ComposeError(f"{PACKAGE}: no picture in a file of it; another version?")
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(found[1]))
        file.flush()
        return np.asarray(OpenEXR.File(file.name).channels()["RGB"].pixels, np.float32)
