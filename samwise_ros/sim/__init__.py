"""A simulated robot camera (PyBullet) and the data sets made with it."""

from samwise_ros.sim.clip_renderer import SimClip, live_expressions, simulate_clip
from samwise_ros.sim.errors import SimulationError
from samwise_ros.sim.expressions import KINDS, Expression
from samwise_ros.sim.generate import DatasetRequest, generate
from samwise_ros.sim.held_out import HELD_OUT_PAIRS, HELD_OUT_TEMPLATES
from samwise_ros.sim.language import iterate_phrases
from samwise_ros.sim.plan import ScenePlan, SceneSettings, plan_scene
from samwise_ros.sim.scene import SimFrame, SimulatedCamera

__all__ = [
    "HELD_OUT_PAIRS",
    "HELD_OUT_TEMPLATES",
    "KINDS",
    "DatasetRequest",
    "Expression",
    "ScenePlan",
    "SceneSettings",
    "SimClip",
    "SimFrame",
    "SimulatedCamera",
    "SimulationError",
    "generate",
    "iterate_phrases",
    "live_expressions",
    "plan_scene",
    "simulate_clip",
]
