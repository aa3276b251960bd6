"""Streams with commands midway whose answers were recorded once, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from mini_builders import MICRO_MINI, make_mini
from model_builders import MICRO, TINY, make_frames, make_model, set_cme, set_object_score

from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.sizes import model_config
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import FrameResult

COMMANDS: Mapping[int, tuple[str, ...]] = {  # by the frame before which they come
    1: ("add:a: the red mug",),
    4: ("add:b: the small blue ball on the left side of the table",),
    9: ("add:c: duck",), 12: ("add:b: the green duck",), 23: ("remove:a",)}
SIZES = ((96, 128),) * 26 + ((64, 96),) * 4  # of the frames


def _nano(tokenizer: ExpressionTokenizer) -> SamwiseModel:
    return _visible(make_model(model_config("nano"), tokenizer, seed=4))


def _tiny(tokenizer: ExpressionTokenizer) -> SamwiseModel:
    return _visible(make_model(TINY, tokenizer, seed=3))


def _visible(model: SamwiseModel) -> SamwiseModel:
    model.sam.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.add_(1.0)
    return model


def _switching(tokenizer: ExpressionTokenizer) -> SamwiseModel:
    model = make_model(MICRO.replace(cme={"decision_window": 3}), tokenizer, seed=1)
    set_object_score(model, 1.0)
    set_cme(model, switch=True)
    return model


def _mini(_: ExpressionTokenizer) -> SamwiseModel:
    model = make_mini(seed=2, config=MICRO_MINI.replace(
        grounding={"regions": True, "coarse": True, "in_mask": 0.7}))
    set_object_score(model, 1.0)
    return model


MODELS: Mapping[str, Callable[[ExpressionTokenizer], SamwiseModel]] = {
    "tiny": _tiny, "switching": _switching, "mini": _mini, "nano": _nano}


def record(model: SamwiseModel) -> list[FrameResult]:
    """Answers of a new session to the recorded frames and commands."""
    session, results = StreamingSession(model), []
    for t, size in enumerate(SIZES):
        for command in COMMANDS.get(t, ()):
            session.submit(command)
        results.append(session.step(make_frames(len(SIZES), *size, seed=5)[t]))
    return results


def summary(results: list[FrameResult]) -> dict[str, np.ndarray]:
    """What is recorded: every number of every answer, and every fourth mask logit."""
    answers = [(t, target) for t, result in enumerate(results) for target in result.targets]
    logits = [target.mask_logits[::4, ::4].ravel() for _, target in answers]
    return {
        "frame": np.array([t for t, _ in answers]),
        "target": np.array([target.target_id for _, target in answers]),
        "score": np.array([target.object_score for _, target in answers], np.float32),
        "area": np.array([target.area for _, target in answers]),
        "switched": np.array([target.switched for _, target in answers]),
        "age": np.array([target.age for _, target in answers]),
        "state": np.array([target.state.value for _, target in answers]),
        "logits": np.concatenate(logits).astype(np.float32),
    }
