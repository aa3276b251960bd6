"""The client of the demo: several commands one after the other, judged by the truth.

Started by `demo.run_demo`. Masks count for the command whose number they carry (on ~/targets), from
its first answer on.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import Image

from samwise_ros.demos.client import (
    QOS,
    TARGET,
    CommandingClient,
    latency_report,
    mono_to_array,
    run_client,
    stamp_of,
)
from samwise_ros.demos.demo_judge import (
    JudgedFrame,
    Question,
    judge,
    question_report,
    write_overlay,
    write_sheet,
)
from samwise_ros.demos.options import DemoOptions, from_argument
from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.ros.outputs.conversions import TargetArray
from samwise_ros.ros.services.lifecycle_client import LifecycleClient
from samwise_ros.streaming.commands import DEFAULT_ID
from samwise_ros.streaming.image_ops import tight_box
from samwise_ros.streaming.rerun_file import rerun_log
from samwise_ros.structures import TargetState

if TYPE_CHECKING:
    from samwise_ros.demos.demo_rerun import DemoRerun

_KEPT_STAMPS = 60  # frames of which a part is still to come


@dataclass(frozen=True)
class _AnsweredFrame:
    """All that belongs to one answered frame; `latency` in seconds."""

    image: Image
    instance: Image
    mask: Image
    latency: float
    command: int
    state: TargetState
    score: float


_PARTS = frozenset(item.name for item in fields(_AnsweredFrame))


class DemoClient(CommandingClient):
    """Gathers image, truth, mask and command number of each answered frame.

    Attributes:
        answers: Complete frames by command number; 0: before the first command.
        view: For Rerun's viewer; None: none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.view: DemoRerun | None = None
        self.answers: dict[int, list[_AnsweredFrame]] = {}
        self._asked = 0
        self._waiting: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self.create_subscription(Image, f"{TARGET}/mask", self._on_mask, QOS)
        if TargetArray is not None:
            self.create_subscription(TargetArray, f"{TARGET}/targets", self._on_targets, QOS)
        self.create_subscription(Image, "instance", lambda m: self._put(m, "instance"), QOS)
        self.create_subscription(Image, "image", lambda m: self._put(m, "image"), QOS)

    def ask(self, question: Question, frames: int, timeout: float) -> list[JudgedFrame]:
        """Give a command and return the first frames that answer it. Raises DemoError."""
        self._asked += 1
        answers = self.answers.setdefault(self._asked, [])
        self.command(question.expression, timeout)
        # One more for the viewer: then the last one's cloud, which comes after its mask, is there.
        self.wait(lambda: len(answers) >= frames + (self.view is not None), timeout,
                  f"fewer than {frames} frames answered {question.expression!r}")
        for part in answers[:frames]:
            self._show(part, question.expression)
        return [judge(part.latency, image_to_rgb(part.image), mono_to_array(part.mask) > 0,
                      mono_to_array(part.instance), question) for part in answers[:frames]]

    def _show(self, part: _AnsweredFrame, expression: str) -> None:
        if self.view is None:
            return
        from samwise_ros.streaming.rerun_log import ShownTarget

        mask = mono_to_array(part.mask) > 0
        self.view.show(stamp_of(part.image.header), image_to_rgb(part.image), ShownTarget(
            DEFAULT_ID, expression, part.state, part.score, mask, tight_box(mask)), part.latency)

    def _on_mask(self, mask: Image) -> None:
        stamp = stamp_of(mask.header)
        latency = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        self._add(stamp, mask=mask, latency=latency)
        if TargetArray is None:
            # Without our messages the number is known once a second. An image taken after the
            # node had the command cannot be answered for an older one.
            current = stamp > self.health_stamp and self.health_stamp > 0
            seen = bool(mono_to_array(mask).any())
            self._add(stamp, command=int(self.health["command"]) if current else 0,
                      state=TargetState.TRACKING if seen else TargetState.SEARCHING,
                      score=float(seen))

    def _on_targets(self, message: Any) -> None:
        first = message.targets[0] if message.targets else None
        self._add(stamp_of(message.header), command=first.command if first else 0,
                  state=list(TargetState)[first.state if first else 0],
                  score=first.score if first else 0.0)

    def _put(self, image: Image, name: str) -> None:
        self._add(stamp_of(image.header), **{name: image})

    def _add(self, stamp: int, **parts: Any) -> None:
        waiting = self._waiting.setdefault(stamp, {})
        waiting |= parts
        if waiting.keys() == _PARTS:
            answer = _AnsweredFrame(**self._waiting.pop(stamp))
            self.answers.setdefault(answer.command, []).append(answer)
        while len(self._waiting) > _KEPT_STAMPS:
            self._waiting.popitem(last=False)


def summarise(questions: Sequence[Question], frames: Sequence[Sequence[JudgedFrame]],
              health: dict[str, str]) -> dict:
    """The report: means over all frames that count, then each command."""
    commands = [question_report(*pair) for pair in zip(questions, frames, strict=True)]
    everything = list(chain.from_iterable(frames))
    return {
        "frames": len(everything),
        "jf": round(sum(frame.scores.jf for frame in everything) / len(everything), 4),
        **latency_report([frame.latency for frame in everything]),
        "drops": int(health["dropped"]),
        "received": int(health["received"]),
        "frames_with_mask": sum(bool(frame.mask.any()) for frame in everything),
        "model": health["model"],
        "commands": commands,
    }


def _run(client: DemoClient, options: DemoOptions, questions: Sequence[Question]) -> None:
    LifecycleClient(client, TARGET).run("up", options.timeout)
    with rerun_log(options.rerun) as log:
        if log is not None:
            from samwise_ros.demos.demo_rerun import DemoRerun

            client.view = DemoRerun(client, log, options.frames + _KEPT_STAMPS)
        frames = [client.ask(question, options.frames, options.timeout) for question in questions]
    report = summarise(questions, frames, client.fresh_health(options.timeout))
    write_overlay(options.out / "overlay.mp4", questions, frames, options.rate)
    write_sheet(options.out / "contact_sheet.png", questions, frames)
    (options.out / "client.json").write_text(json.dumps(report))


def main() -> int:
    """Bring the node up, command, receive, write `client.json` and pictures; 1 on failure.

    Arguments of the process: DemoOptions, and a JSON list of Question.
    """
    options = from_argument(DemoOptions, sys.argv[1])
    questions = [Question(**item) for item in json.loads(sys.argv[2])]
    return run_client("demo client", DemoClient,
                      lambda client: _run(client, options, questions),
                      [f"{name}:=/camera/{topic}" for name, topic in (
                          ("image", "image_raw"), ("instance", "instance"), ("depth", "depth"),
                          ("camera_info", "camera_info"))])


if __name__ == "__main__":
    raise SystemExit(main())
