"""Wordings of composed scenes.

`{noun}` and `{anchor}` are phrases without article, `{a}` the article of the target. A noun or
anchor keeps its marks through all wrapping (`mark`), so that its place in the sentence is known.
"""

from __future__ import annotations

SYNONYMS: dict[str, tuple[str, ...]] = {
    "car": ("automobile",), "airplane": ("plane", "aeroplane", "aircraft"),
    "sailboat": ("boat",), "sailing ship": ("ship",), "fighter jet": ("jet", "aircraft"),
    "chimpanzee": ("ape", "chimp"), "gorilla": ("ape",), "rhino": ("rhinoceros",),
    "hippopotamus": ("hippo",), "road sign": ("traffic sign", "sign"), "toilet sign": ("sign",),
    "garbage can": ("trash can", "bin"), "wheelie bin": ("garbage bin", "bin"),
    "compost bin": ("bin",), "teddy bear": ("stuffed bear", "plush bear"),
    "rubber duck": ("toy duck",), "soccer ball": ("ball",), "basketball": ("ball",),
    "tennis ball": ("ball",), "cricket ball": ("ball",), "american football": ("rugby ball",),
    "pepper": ("bell pepper",), "eggplant": ("aubergine",), "corn": ("corn cob",),
    "mandarin orange": ("tangerine",), "rabbit": ("bunny", "hare"), "rooster": ("cock",),
    "chicken": ("hen",), "hen": ("chicken",), "seagull": ("gull",), "moth": ("butterfly",),
    "frog": ("toad",), "lamb": ("young sheep",), "sheep": ("ewe",), "bull": ("ox",),
    "dromedary": ("camel",), "pig": ("hog",), "deer": ("doe",), "elk": ("deer",),
    "caribou": ("reindeer",), "mailbox": ("letter box",), "post box": ("letter box",),
    "drum kit": ("drums", "drum set"), "electric guitar": ("guitar",), "bass guitar": ("guitar",),
    "violin": ("fiddle",), "light bulb": ("bulb", "lamp"), "camera": ("photo camera",),
    "electric kettle": ("kettle",), "teapot": ("pot for tea",), "pitcher": ("jug",),
    "pepper grinder": ("pepper mill",), "measuring tape": ("tape measure",),
    "wrench": ("spanner",), "spade": ("shovel",), "pliers": ("pincers",),
    "paintbrush": ("brush",), "marker pen": ("marker", "felt pen"), "clothespin": ("peg",),
    "fire truck": ("fire engine",), "garbage truck": ("bin lorry",), "dump truck": ("dumper",),
    "pickup truck": ("pickup", "truck"), "sports car": ("car",), "race car": ("racing car",),
    "tank": ("armoured vehicle",), "fireman": ("firefighter", "man", "person"),
    "paratrooper": ("soldier", "person"), "astronaut": ("spaceman", "person"),
    "hot air balloon": ("balloon",), "space probe": ("satellite", "spacecraft"),
    "lunar lander": ("spacecraft",), "gravestone": ("tombstone",), "trophy cup": ("trophy",),
    "christmas tree": ("decorated tree",), "traffic cone": ("cone",), "candy cane": ("candy",),
    "slice of orange": ("orange slice",), "slice of lime": ("lime slice",),
    "chocolate easter egg": ("easter egg", "egg"), "thermometer": ("clinical thermometer",),
    "bandage": ("sticking plaster",), "wild boar": ("boar",), "key": ("door key",),
    "monkey": ("ape",), "hawk": ("bird of prey",), "leopard": ("jaguar",), "kitten": ("cat",),
    "spray bottle": ("sprayer",), "blackboard": ("chalkboard", "slate"), "pan": ("frying pan",),
    "scale": ("weighing scale",), "nail clippers": ("clippers",), "lizard": ("reptile",),
    "wind turbine": ("windmill",), "gosling": ("chick",), "calf": ("young cow",),
    "multimeter": ("measuring device",), "pillow": ("cushion",), "bucket": ("pail",),
    "coin": ("piece of money",), "tricycle": ("trike",), "wheel": ("tractor tyre",),
}
PLURALS = frozenset({
    "cherries", "grapes", "binoculars", "pliers", "pincers", "holly leaves", "drums", "scissors",
    "clippers", "nail clippers", "spoons", "solar panels", "windmills"})
UNCOUNTED = frozenset({"garlic", "corn", "lavender", "thyme", "lettuce", "broccoli", "candy"})

THINGS = ("object", "thing", "item")

WRAPPERS = (
    "{np}", "{np}", "{np}", "{np}", "{np}", "find {np}", "look at {np}", "show me {np}",
    "please find {np}", "{np} please", "{np}, please", "segment {np}", "track {np}",
    "where is {np}?", "point at {np}", "i am looking for {np}", "mark {np}", "follow {np}",
    "can you see {np}?", "watch {np}", "search for {np}", "keep an eye on {np}",
    "move towards {np}", "pick {np}", "{np} in the picture", "{np} over there",
)
HELD_OUT_WRAPPERS = ("locate {np}", "could you show me {np}?", "i want {np}", "go to {np}",
                     "what about {np}?", "select {np} now")

COLOUR = ("{a} {colour} {thing}", "{a} {colour} one", "{a} {thing} that is {colour}",
          "{colour} {thing}", "something {colour}")
COLOUR_NAME = ("{a} {colour} {noun}", "{a} {colour} {noun}", "{a} {colour} {noun}",
               "{a} {noun} that is {colour}", "{colour} {noun}",
               "{a} {noun} with the {colour} colour")
NAME = ("{a} {noun}", "{a} {noun}", "{a} {noun}", "{noun}", "{noun}")
SIZE = {
    "big": ("{a} biggest {noun}", "{a} largest {noun}", "{a} big {noun}", "{a} large {noun}",
            "{a} bigger {noun}", "{a} {noun} that is the biggest"),
    "small": ("{a} smallest {noun}", "{a} small {noun}", "{a} little {noun}",
              "{a} smaller {noun}", "{a} tiniest {noun}"),
}
SIDE = {
    "left": ("{a} {noun} on the left", "{a} left {noun}", "{a} leftmost {noun}",
             "{a} {noun} on the left side", "{a} {noun} furthest to the left"),
    "right": ("{a} {noun} on the right", "{a} right {noun}", "{a} rightmost {noun}",
              "{a} {noun} on the right side", "{a} {noun} furthest to the right"),
    "top": ("{a} {noun} at the top", "{a} upper {noun}", "{a} highest {noun}",
            "{a} topmost {noun}"),
    "bottom": ("{a} {noun} at the bottom", "{a} lower {noun}", "{a} lowest {noun}",
               "{a} bottom {noun}"),
}
PAIR = {
    "left": ("{a} {noun} left of the {anchor}", "{a} {noun} to the left of the {anchor}",
             "{a} {noun} on the left of the {anchor}"),
    "right": ("{a} {noun} right of the {anchor}", "{a} {noun} to the right of the {anchor}",
              "{a} {noun} on the right of the {anchor}"),
    "above": ("{a} {noun} above the {anchor}", "{a} {noun} higher than the {anchor}",
              "{a} {noun} over the {anchor}"),
    "below": ("{a} {noun} below the {anchor}", "{a} {noun} under the {anchor}",
              "{a} {noun} beneath the {anchor}"),
    "beside": ("{a} {noun} next to the {anchor}", "{a} {noun} beside the {anchor}",
               "{a} {noun} closest to the {anchor}", "{a} {noun} near the {anchor}"),
    "in front": ("{a} {noun} in front of the {anchor}", "{a} {noun} that covers the {anchor}",
                 "{a} {noun} that hides part of the {anchor}"),
    "behind": ("{a} {noun} behind the {anchor}", "{a} {noun} covered by the {anchor}"),
}
BETWEEN = ("{a} {noun} between the {anchor} and the {anchor}",
           "{a} {noun} in the middle of the {anchor} and the {anchor}")
MOTION = {
    "moves": ("{a} moving {noun}", "{a} {noun} that moves", "{a} {noun} that is moving",
              "{a} {noun} moving around"),
    "still": ("{a} {noun} that stays still", "{a} {noun} that does not move",
              "{a} {noun} standing still", "{a} {noun} that stays where it is"),
    "left": ("{a} {noun} moving to the left", "{a} {noun} that moves left",
             "{a} {noun} going left"),
    "right": ("{a} {noun} moving to the right", "{a} {noun} that moves right",
              "{a} {noun} going right"),
    "up": ("{a} {noun} moving up", "{a} {noun} that rises", "{a} {noun} going upwards"),
    "down": ("{a} {noun} moving down", "{a} {noun} that sinks", "{a} {noun} going downwards"),
    "near": ("{a} {noun} coming closer", "{a} {noun} coming towards us",
             "{a} {noun} that gets bigger"),
    "far": ("{a} {noun} moving away", "{a} {noun} going away from us",
            "{a} {noun} that gets smaller"),
    "circle": ("{a} {noun} moving in a circle", "{a} {noun} going round in circles",
               "{a} circling {noun}"),
    "spin": ("{a} spinning {noun}", "{a} {noun} that spins", "{a} {noun} turning on the spot"),
    "enter": ("{a} {noun} that comes in", "{a} {noun} that enters",
              "{a} {noun} coming into the picture"),
    "leave": ("{a} {noun} that leaves", "{a} {noun} leaving the picture",
              "{a} {noun} that goes out of the picture"),
    "return": ("{a} {noun} that leaves and comes back", "{a} {noun} that goes out and comes back"),
    "hide": ("{a} {noun} that goes behind another", "{a} {noun} moving behind another object",
             "{a} {noun} that hides"),
}
