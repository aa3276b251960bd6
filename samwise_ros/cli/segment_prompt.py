"""`samwise segment --point, --box, --mask, --frame`: a target that is shown on one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from samwise_ros.structures import Command, CommandError, CommandKind, Prompt

PointOption = Annotated[list[str] | None, typer.Option(
    "--point", metavar="X,Y", help="A pixel on the target. Repeat it for several.",
    show_default=False)]
BoxOption = Annotated[str | None, typer.Option(
    "--box", metavar="X0,Y0,X1,Y1", help="A box around the target, in pixels.",
    show_default=False)]
MaskOption = Annotated[Path | None, typer.Option(
    "--mask", help="A picture of the frame's size that is not black on the target.",
    show_default=False)]
FrameOption = Annotated[int, typer.Option(
    "--frame", min=0, help="The frame, from 0, that points, box and mask belong to; frames before "
    "it are not searched.")]


@dataclass(frozen=True)
class Wanted:
    """What is looked for, and from which frame on.

    Attributes:
        commands: One per target.
        first: Number of the first frame that is searched, from 0.
    """

    commands: Sequence[Command]
    first: int = 0

    def __bool__(self) -> bool:
        return bool(self.commands)


def prompt_of(points: Sequence[str] | None, box: str | None, mask: Path | None) -> Prompt | None:
    """What the options show, or None. Raises typer.BadParameter and FrameError."""
    if not points and box is None and mask is None:
        return None
    from samwise_ros.streaming.pictures import read_picture
    from samwise_ros.streaming.prompts import check_prompt

    corners = None
    if box is not None:
        x0, y0, x1, y1 = _numbers(box, 4, "--box")
        corners = x0, y0, x1, y1
    prompt = Prompt(
        points=tuple((x, y) for x, y in (_numbers(point, 2, "--point") for point in points or ())),
        box=corners, mask=None if mask is None else np.any(read_picture(mask), axis=2))
    try:
        check_prompt(prompt)
    except CommandError as error:
        raise typer.BadParameter(str(error), param_hint="--point, --box, --mask") from None
    return prompt


def wanted(expressions: Sequence[str], prompt: Prompt | None, first: int) -> Wanted:
    """The commands that say it. Raises typer.BadParameter where they cannot be told apart."""
    if prompt is None:
        if first:
            raise typer.BadParameter("goes with --point, --box or --mask", param_hint="--frame")
        return Wanted([Command(CommandKind.ADD, str(index), text)
                       for index, text in enumerate(expressions)])
    if len(expressions) > 1:
        raise typer.BadParameter("one target is shown at a time: give one sentence, or none",
                                 param_hint="--expression")
    return Wanted([Command(CommandKind.ADD, "0" if expressions else "shown",
                           next(iter(expressions), None), prompt=prompt)], first)


def _numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise typer.BadParameter(f"expected {count} numbers with commas between them, got {text!r}",
                                 param_hint=option)
    return numbers
