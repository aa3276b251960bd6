"""`samwise bench orin`: a projection of the time of a frame on Jetson Orin. Nothing is measured."""

from __future__ import annotations

from itertools import product
from typing import Annotated

import typer

_SIZES = ("tiny", "base_plus")
_SIDES = (512, 768, 1024)


def bench_orin(
    size: Annotated[list[str] | None, typer.Option(
        help="Model size; may be repeated. Default: tiny and base_plus.",
        show_default=False)] = None,
    side: Annotated[list[int] | None, typer.Option(
        help="Input side; may be repeated. Default: 512, 768, 1024.", show_default=False)] = None,
) -> None:
    """Print projected times of one target on two Orin boards, from FLOPs and bytes of the step.

    A PROJECTION: no Orin was at hand. Shares of the peak are those that SAM 2 has been shown to
    reach on an Orin NX (21 to 24 %); 40 % is printed beside them and is unproven.
    """
    from samwise_ros.evaluation.orin import projection

    cases = [(*case, fit) for case in product(size or _SIZES, side or _SIDES)
             for fit in ("pad", "rectangle")]
    typer.echo("PROJECTION, nothing measured on an Orin; one target, 1280x720, half precision")
    typer.echo(projection(cases))
