"""Wordings of motions. `{set}` is a phrase without article: "ball", "red object", "green car"."""

from __future__ import annotations

MOTION_TEMPLATES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("moves",): (
        "the moving {set}",
        "the {set} that moves",
        "the {set} that is moving",
        "the {set} moving around",
    ),
    ("still",): (
        "the {set} that stays still",
        "the {set} that does not move",
        "the {set} standing still",
        "the still {set}",
    ),
    ("left",): (
        "the {set} moving to the left",
        "the {set} that moves left",
        "the {set} going left",
    ),
    ("right",): (
        "the {set} moving to the right",
        "the {set} that moves right",
        "the {set} going right",
    ),
    ("near",): (
        "the {set} coming towards the camera",
        "the {set} that moves towards us",
        "the {set} coming closer",
    ),
    ("far",): (
        "the {set} moving away from the camera",
        "the {set} that moves away",
        "the {set} going away from us",
    ),
    ("roll",): ("the rolling {set}", "the {set} that rolls", "the {set} that is rolling"),
    ("roll", "left"): ("the {set} rolling to the left", "the {set} that rolls left"),
    ("roll", "right"): ("the {set} rolling to the right", "the {set} that rolls right"),
    ("slide",): ("the sliding {set}", "the {set} that slides", "the {set} sliding along"),
    ("slide", "left"): ("the {set} sliding to the left", "the {set} that slides left"),
    ("slide", "right"): ("the {set} sliding to the right", "the {set} that slides right"),
    ("drive",): ("the driving {set}", "the {set} that drives", "the {set} driving along"),
    ("drive", "left"): ("the {set} driving to the left", "the {set} that drives left"),
    ("drive", "right"): ("the {set} driving to the right", "the {set} that drives right"),
    ("circle",): (
        "the {set} moving in a circle",
        "the {set} going in circles",
        "the circling {set}",
        "the {set} that goes round and round",
    ),
    ("spin",): ("the spinning {set}", "the {set} that spins", "the {set} turning on the spot"),
    ("lift",): (
        "the {set} the arm lifts",
        "the {set} that is lifted",
        "the {set} being picked up",
        "the {set} going up",
    ),
    ("push",): (
        "the {set} the arm is pushing",
        "the {set} pushed by the arm",
        "the {set} that the arm pushes",
        "the {set} being pushed",
    ),
    ("fall",): (
        "the {set} that falls over",
        "the {set} falling over",
        "the {set} that tips over",
    ),
    ("drop",): (
        "the {set} that falls from above",
        "the {set} dropping from above",
        "the {set} that drops down",
    ),
    ("enter",): (
        "the {set} that comes in",
        "the {set} that enters",
        "the {set} coming into the picture",
    ),
    ("leave",): (
        "the {set} that leaves",
        "the {set} leaving the picture",
        "the {set} that goes out of the picture",
    ),
    ("return",): (
        "the {set} that leaves and comes back",
        "the {set} that goes out and comes back",
    ),
    ("hide",): (
        "the {set} that goes behind another",
        "the {set} moving behind another object",
        "the {set} that hides",
    ),
}

# Only in the test split.
HELD_OUT_MOTION_TEMPLATES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("moves",): ("the {set} that is going around",),
    ("still",): ("the {set} that is standing still",),
    ("left",): ("the {set} that goes to the left",),
    ("right",): ("the {set} that goes to the right",),
    ("roll",): ("the {set} rolling along",),
    ("roll", "left"): ("the {set} that is rolling left",),
    ("roll", "right"): ("the {set} that is rolling right",),
    ("slide",): ("the {set} that is sliding",),
    ("drive",): ("the {set} that is driving",),
    ("circle",): ("the {set} that moves in circles",),
    ("lift",): ("the {set} lifted by the arm",),
    ("push",): ("the {set} that is pushed",),
    ("fall",): ("the {set} tipping over",),
    ("enter",): ("the {set} coming in",),
    ("leave",): ("the {set} that leaves the picture",),
}
