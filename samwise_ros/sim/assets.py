"""What the simulated robot can see: object classes, their meshes, colours and textures.

Every mesh comes with `pybullet_data`; nothing is downloaded. An asset is brought into one common
frame: origin at the middle of its footprint, on the ground, z up, metres, the front along +y. One
number, the *size*, is its largest extent in metres, so that objects of all classes are comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]

HALF_PI = float(np.pi / 2)


@dataclass(frozen=True)
class Asset:
    """One object class.

    Args:
        name: class name as stored in the scene facts.
        source: file inside `pybullet_data`: a mesh (.obj) or a multi-part .urdf.
        low, high: bounding box [m] in the file's own frame, *after* `roll`.
        roll: rotation about x [rad] that puts the model upright.
        plain_links: for a .urdf, links that keep their own colour (wheels, head).
        round: True where turning about any axis leaves the outline unchanged.
        proportion: how large this class is beside the others of one scene.
    """

    name: str
    source: str
    low: Vector
    high: Vector
    roll: float = 0.0
    plain_links: tuple[int, ...] = ()
    round: bool = False
    proportion: float = 1.0

    @property
    def extent(self) -> np.ndarray:
        """Bounding box sides [m], float64 [3], in the file's own scale."""
        return np.subtract(self.high, self.low)

    @property
    def foot(self) -> np.ndarray:
        """Middle of the footprint [m], float64 [3], in the file's own scale."""
        middle = np.add(self.high, self.low) / 2
        return np.array([middle[0], middle[1], self.low[2]])

    def scale(self, size: float) -> float:
        """Factor that makes the largest side `size` metres."""
        return float(size / self.extent.max())

    def box(self, size: float) -> np.ndarray:
        """Sides of the bounding box [m], float64 [3], of an instance of `size`."""
        return self.extent * self.scale(size)


ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset("ball", "soccerball.obj", (-0.5, -0.5, -0.5), (0.5, 0.5, 0.5), round=True),
        Asset("cube", "cube.urdf", (-0.5, -0.5, -0.5), (0.5, 0.5, 0.5), proportion=0.8),
        Asset(
            "duck",
            "duck.obj",
            (-0.962, -0.613, 0.099),
            (0.693, 0.539, 1.64),
            roll=HALF_PI,
            proportion=1.15,
        ),
        Asset("mug", "objects/mug.obj", (-0.041, -0.041, 0.0), (0.041, 0.081, 0.1), proportion=1.1),
        Asset(
            "teddy",
            "teddy2_VHACD_CHs.obj",
            (0.298, -0.637, 0.195),
            (1.059, -0.009, 1.127),
            roll=HALF_PI,
            proportion=1.2,
        ),
        Asset(
            "car",
            "racecar/racecar.urdf",
            (-0.08, -0.15, 0.0),
            (0.41, 0.15, 0.175),
            plain_links=(1, 2, 3, 4, 5, 6, 7, 8, 10, 11),
            proportion=1.5,
        ),
        Asset(
            "robot",
            "r2d2.urdf",
            (-0.272, -0.2, -0.472),
            (0.272, 0.2, 0.461),
            plain_links=(2, 3, 6, 7, 8, 9, 10, 11, 12, 13),
            proportion=1.3,
        ),
        Asset("lego", "lego/lego.obj", (0.0, 0.0, 0.0), (0.317, 0.318, 0.23), roll=HALF_PI),
    )
}

CLASS_NAMES: tuple[str, ...] = tuple(ASSETS)

# A lego brick and a cube differ by four studs. It appears more rarely, and never beside a cube.
CLASS_WEIGHTS: dict[str, float] = {name: 0.5 if name == "lego" else 1.0 for name in ASSETS}
EXCLUSIVE_CLASSES: tuple[frozenset[str], ...] = (frozenset({"cube", "lego"}),)

# sRGB 0..1, far apart in hue or brightness; instances are jittered slightly around them.
COLOURS: dict[str, Vector] = {
    "red": (0.80, 0.07, 0.07),
    "orange": (0.98, 0.48, 0.04),
    "yellow": (0.96, 0.86, 0.08),
    "green": (0.10, 0.58, 0.14),
    "blue": (0.08, 0.20, 0.82),
    "purple": (0.50, 0.12, 0.62),
    "white": (0.95, 0.95, 0.95),
    "black": (0.09, 0.09, 0.10),
}
COLOUR_NAMES: tuple[str, ...] = tuple(COLOURS)
