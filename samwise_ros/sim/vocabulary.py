"""Words and sentence templates of the expressions, and which of them only the test split uses.

A template has the slots `{colour}`, `{noun}` (a synonym of a class), `{thing}` (a word for any
object) and `{a}` ("a" or "an" before the next word). A *noun phrase* always begins with "the", so
that a wrapper such as "follow {np}" can carry it.
"""

from __future__ import annotations

NOUNS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "ball", "sphere", "toy ball"),
    "cube": ("cube", "box", "block", "cube"),
    "duck": ("duck", "duck", "rubber duck", "toy duck"),
    "mug": ("mug", "cup", "coffee mug", "mug"),
    "teddy": ("teddy", "teddy bear", "bear", "toy bear"),
    "car": ("car", "toy car", "racecar", "racing car"),
    "robot": ("robot", "robot", "droid", "toy robot"),
    "lego": ("lego", "lego brick", "brick", "lego piece"),
}

PLURALS: dict[str, tuple[str, ...]] = {
    "ball": ("balls", "spheres"),
    "cube": ("cubes", "boxes", "blocks"),
    "duck": ("ducks", "rubber ducks"),
    "mug": ("mugs", "cups"),
    "teddy": ("teddies", "teddy bears", "bears"),
    "car": ("cars", "toy cars", "racecars"),
    "robot": ("robots", "droids"),
    "lego": ("legos", "lego bricks", "bricks"),
}

THINGS: tuple[str, ...] = ("object", "thing", "item", "object", "toy")

WRAPPERS: tuple[str, ...] = (
    "follow {np}",
    "find {np}",
    "track {np}",
    "show me {np}",
    "look at {np}",
    "segment {np}",
    "where is {np}",
    "please find {np}",
    "i am looking for {np}",
    "watch {np}",
)

COLOUR_TEMPLATES: tuple[str, ...] = (
    "the {colour} one",
    "the {colour} {thing}",
    "the {colour} {thing}",
    "the {thing} that is {colour}",
    "the {colour} coloured {thing}",
    "the one in {colour}",
)

CLASS_TEMPLATES: tuple[str, ...] = (
    "the {noun}",
    "the {noun}",
    "the {noun}",
    "{a} {noun}",
    "the {thing} that is {a} {noun}",
    "the {noun} in the picture",
)

COLOUR_CLASS_TEMPLATES: tuple[str, ...] = (
    "the {colour} {noun}",
    "the {colour} {noun}",
    "the {colour} {noun}",
    "the {noun} that is {colour}",
    "{a} {colour} {noun}",
    "the {colour} coloured {noun}",
    "the {noun} in {colour}",
)

# Sentences never used in train or val. Their words do occur there, in other sentences.
HELD_OUT_WRAPPERS: tuple[str, ...] = (
    "please track {np}",
    "i am looking at {np}",
    "please show me where {np} is",
)
HELD_OUT_COLOUR_TEMPLATES: tuple[str, ...] = (
    "the {thing} in {colour}",
    "the one that is {colour}",
)
HELD_OUT_CLASS_TEMPLATES: tuple[str, ...] = (
    "the one that is {a} {noun}",
    "{a} {noun} in the picture",
)
HELD_OUT_COLOUR_CLASS_TEMPLATES: tuple[str, ...] = (
    "the {noun} coloured {colour}",
    "the {colour} {noun} in the picture",
    "the {thing} that is {a} {colour} {noun}",
)
# Relations. {set} is a phrase without article for the candidates ("mug", "red object"); {other}
# is the noun phrase of the reference object.
EXTREME_TEMPLATES: dict[str, tuple[str, ...]] = {
    "left": ("the leftmost {set}", "the {set} on the left", "the {set} furthest to the left"),
    "right": ("the rightmost {set}", "the {set} on the right", "the {set} furthest to the right"),
    "near": ("the {set} closest to the camera", "the nearest {set}", "the {set} in the front"),
    "far": (
        "the {set} farthest from the camera",
        "the most distant {set}",
        "the {set} at the back",
    ),
    "big": ("the biggest {set}", "the largest {set}", "the {set} that is the biggest"),
    "small": ("the smallest {set}", "the tiniest {set}", "the {set} that is the smallest"),
}
PAIR_TEMPLATES: dict[str, tuple[str, ...]] = {
    "left": (
        "the {set} left of {other}",
        "the {set} to the left of {other}",
        "the {set} on the left side of {other}",
    ),
    "right": (
        "the {set} right of {other}",
        "the {set} to the right of {other}",
        "the {set} on the right side of {other}",
    ),
    "near": ("the {set} in front of {other}", "the {set} closer to the camera than {other}"),
    "far": ("the {set} behind {other}", "the {set} farther from the camera than {other}"),
    "beside": (
        "the {set} next to {other}",
        "the {set} closest to {other}",
        "the {set} near {other}",
    ),
}
BETWEEN_TEMPLATES: tuple[str, ...] = (
    "the {set} between {other} and {second}",
    "the {set} in the middle of {other} and {second}",
)

HELD_OUT_EXTREME_TEMPLATES: dict[str, tuple[str, ...]] = {
    "left": ("the {set} that is furthest to the left",),
    "right": ("the {set} that is furthest to the right",),
    "near": ("the {set} that is closest to the camera",),
    "far": ("the {set} that is farthest from the camera",),
    "big": ("the {set} that is the largest",),
    "small": ("the {set} that is the tiniest",),
}
HELD_OUT_PAIR_TEMPLATES: dict[str, tuple[str, ...]] = {
    "left": ("the {set} that is left of {other}",),
    "right": ("the {set} that is right of {other}",),
    "near": ("the {set} that is in front of {other}",),
    "far": ("the {set} that is behind {other}",),
    "beside": ("the {set} that is next to {other}",),
}

UNION_COLOUR_TEMPLATES: tuple[str, ...] = (
    "all {colour} {things}",
    "all the {colour} {things}",
    "everything {colour}",
)
UNION_CLASS_TEMPLATES: tuple[str, ...] = ("all {nouns}", "all the {nouns}", "every {noun}")
