"""Stream mode: one camera, one frame in, one answer out, no look-ahead, bounded memory.

Time. HSA asks from the current frame to itself and at most seven earlier ones. The frames in sight
carry the positions 1..T, the current one the last, as a clip that ends now would. The kept frames
of the first adapter equal a re-encoded clip exactly; those of the later adapters were computed with
their own past, which is what makes one frame cost one frame. The first frame equals a clip of one
frame. See docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from samwise_ros.config import SessionConfig
from samwise_ros.model.precision import arithmetic, resolve_precision
from samwise_ros.model.prompts import VisualPrompt
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, stack_text
from samwise_ros.streaming.commands import (
    PlannedTarget,
    TargetPlan,
    check_add,
    parse_command,
)
from samwise_ros.streaming.frame_step import Fill, FrameStep, Part, fetch_rows
from samwise_ros.streaming.image_ops import InputSize, input_size, prepare_frame
from samwise_ros.streaming.prompts import (
    check_age,
    check_prompt,
    check_trained,
    is_early,
    seconds_of,
    to_input,
)
from samwise_ros.streaming.shown_step import absent_row, shown_step
from samwise_ros.streaming.steps import EagerSteps, Step, StepShape, StepSourceFactory
from samwise_ros.streaming.stream_state import STATE_DTYPES, start_state
from samwise_ros.streaming.target_tracker import TargetTracker, TrackSettings
from samwise_ros.streaming.targets import FrameMemory, SessionMemory, Target
from samwise_ros.structures import (
    Box,
    Command,
    CommandError,
    CommandKind,
    FrameError,
    FrameResult,
    TargetResult,
)


class StreamingSession:
    """Everything that is remembered for one camera. Many sessions may share one model.

    `submit` may be called from any thread; `step` and `reset` from one thread at a time.

    Attributes:
        tracking: When a target counts as there. May be replaced at any time, for the next frame;
            states are kept.

    Args:
        steps: Makes what runs the frames; other engines: `engines.sessions.SessionMaker`.

    Raises:
        ConfigError: The precision is not for the model's device.
    """

    def __init__(self, model: SamwiseModel, config: SessionConfig | None = None,
                 tracking: TrackSettings | None = None,
                 steps: StepSourceFactory = EagerSteps) -> None:
        self.model = model
        self.config = config or SessionConfig()
        self._precision = resolve_precision(self.config.precision, model.device)
        self.tracking = tracking or TrackSettings()
        self._plan = TargetPlan(self.config.max_targets)
        self._targets: dict[str, Target] = {}
        self._text: TextState | None = None  # of all targets
        self._frames = FrameMemory()
        self._steps = steps(model, self.config)
        self._step: Step | None = None  # of the last frame
        self._index = 0
        self._newest: float | None = None  # stamp of the last answered frame in seconds
        self._period = 0.0  # seconds between the last two
        self._refused: list[str] = []  # since the last answer

    def prepare(self, camera: tuple[int, int], targets: int = 1) -> None:
        """Make the step for frames of a size before the first of them comes.

        Args:
            camera: (H, W) of the frames.
            targets: How many there will be.

        Raises:
            FrameError: Frames of that size cannot be used.
        """
        size = input_size(camera, self.model.config.image_size, self.model.config.fit)
        with self._computing():
            self._steps.step(StepShape(size, *self._steps.room(targets, 1)))

    def submit(self, command: Command | str) -> int:
        """Queue a command for the next step and return its number (from 1).

        Args:
            command: A record, or text for `parse_command`.

        Raises:
            CommandError: At once, when the command cannot be understood or carried out: empty or
                overlong expression, unknown id, too many targets, a prompt of no use or of a
                picture that is too old. Nothing changes then. What turns out on the picture itself
                (a point outside it) is in its `FrameResult.refused`.
        """
        if not isinstance(command, Command):
            command = parse_command(command)
        if command.kind is CommandKind.ADD:
            check_add(command)
            if command.expression:
                self.model.tokenizer([command.expression])  # raises when it has too many tokens
            if command.prompt is not None:
                check_age(command.prompt, self._newest, self._prompt_age)
                if not command.expression:
                    check_trained(self.model.config.shown, self.model.config.name)
        return self._plan.submit(command)

    @property
    def command(self) -> int:
        """Number of the last accepted command; 0 before the first."""
        return self._plan.newest

    @property
    def targets(self) -> tuple[tuple[str, str, int], ...]:
        """(id, expression, command number) of the targets that the last step answered."""
        return tuple((t.target_id, t.expression, t.command) for t in self._targets.values())

    @property
    def nbytes(self) -> int:
        """Bytes of tensors that the session keeps."""
        texts = sum(target.text.hidden.nbytes for target in self._targets.values()
                    if target.text is not None)
        return self._frames.nbytes + texts + (0 if self._step is None else self._step.nbytes)

    @property
    def memory(self) -> SessionMemory:
        """A copy of what is remembered after the last step. Put back, it undoes all steps since.

        It belongs to the targets that there are now.
        """
        return SessionMemory(self._frames.copied(), {
            name: copy(target.tracker) for name, target in self._targets.items()})

    @memory.setter
    def memory(self, memory: SessionMemory) -> None:
        self._frames = memory.frames.copied()
        for name, target in self._targets.items():
            target.tracker = copy(memory.trackers[name])

    def reset(self) -> None:
        """Forget all frames; targets stay and are searched for anew."""
        self._frames = self._frames.restarted()
        for target in self._targets.values():
            target.tracker = TargetTracker()

    def step(self, rgb: np.ndarray, stamp: object = None) -> FrameResult:
        """Answer one frame.

        A frame of another size than the last one restarts the memory, since nothing remembered
        lines up with it any more. A frame that fails changes nothing: memory stays as it was, and
        commands that wait are carried out with the next frame, or stay carried out.

        A mask that the states hold back is empty in the result; `object_score` and `mask_logits`
        say what the network found.

        Args:
            rgb: uint8 [H, W, 3]; not changed.
            stamp: Handed back in the result.

        Raises:
            FrameError: The frame cannot be used, or the network's answer is not finite.
        """
        pixels, size = prepare_frame(rgb, self.model.config, fast=self.config.fast_resize,
                                     device=self.model.device)
        now = seconds_of(stamp)
        self._apply_commands(size.camera, now)
        frames = self._frames
        if size != frames.size:
            frames = frames.restarted(size)
        with self._computing():
            results, after = self._answer(rgb, pixels, size, frames)
        if frames is not self._frames and self._frames.size is not None:
            self.reset()
        if now is not None and self._newest is not None:
            self._period = max(0.0, now - self._newest)
        self._frames, self._newest = after, now
        self._index += 1
        refused, self._refused = tuple(self._refused), []
        return FrameResult(self._index - 1, stamp, size.camera, tuple(map(self._judge, results)),
                           refused)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with torch.inference_mode(), arithmetic(self.model.device, self._precision):
            yield

    def _judge(self, result: TargetResult) -> TargetResult:
        """The result with the steady state."""
        tracker = self._targets[result.target_id].tracker
        tracker.settings = self.tracking
        return tracker.judge(result)

    @torch.inference_mode()
    def _apply_commands(self, size: tuple[int, int] | None = None, now: float | None = None
                        ) -> None:
        """Make the targets what is planned. New sentences are encoded before anything changes.

        Args:
            size: (H, W) of the frame that comes next.
            now: Its stamp in seconds, where it has one.
        """
        targets = {}
        for name, planned in self._plan.targets.items():
            target = self._targets.get(name)
            if (target is None or target.command != planned.command) \
                    and self._is_due(name, planned, size, now):
                target = self._new_target(name, planned)
            if target is not None:  # else it waits for its picture
                targets[name] = target
        numbers = [target.command for target in targets.values()]
        if numbers == [target.command for target in self._targets.values()]:
            return
        text, frames = self._arranged({target.command: target.text for target in targets.values()
                                       if target.text is not None})
        self._targets, self._text, self._frames = targets, text, frames.of_commands(numbers)

    def _arranged(self, texts: Mapping[int, TextState]) -> tuple[TextState | None, FrameMemory]:
        """Text and memory of the rows, where these texts are wanted, by command number."""
        known = {target.command: row for row, target in enumerate(self._said)}
        if list(texts) == list(known):
            return self._text, self._frames
        rows, text = [known.get(number) for number in texts], None
        if texts:
            count, tokens = self._steps.room(
                len(texts), max(text.mask.shape[1] for text in texts.values()))
            text = stack_text(list(texts.values()), count, tokens)
            rows += [None] * (count - len(rows))
        return text, self._frames.arranged(rows)

    def _is_due(self, name: str, planned: PlannedTarget, size: tuple[int, int] | None,
                now: float | None) -> bool:
        """Whether a new target can begin with the frame that comes; what never can is dropped."""
        prompt = planned.prompt
        if prompt is None:
            return True
        try:
            check_age(prompt, now, self._prompt_age)
            check_prompt(prompt, size)
        except CommandError as error:
            old = self._targets.get(name)
            self._plan.withdraw(name, planned.command, None if old is None else PlannedTarget(
                old.command, old.expression, old.prompt))
            self._refused.append(f"command {planned.command} refused: {error}")
            return False
        return not is_early(prompt, now)

    def _new_target(self, name: str, planned: PlannedTarget) -> Target:
        text = None
        if planned.expression:
            text = self.model.encode_text(self.model.tokenizer([planned.expression]))
        return Target(name, planned.expression, planned.command, text, planned.prompt)

    @property
    def _prompt_age(self) -> float:
        """Seconds; more where frames are few, since nobody sees newer ones to point at."""
        return self.config.prompt_age and max(self.config.prompt_age, 2 * self._period)

    @property
    def _said(self) -> list[Target]:
        """The targets that have a sentence, in the order of their rows."""
        return [target for target in self._targets.values() if target.text is not None]

    def _answer(self, rgb: np.ndarray, pixels: Tensor, size: InputSize, frames: FrameMemory,
                ) -> tuple[tuple[TargetResult, ...], FrameMemory]:
        """Results of all targets on one frame, and what is remembered after it."""
        prompts = {target.command: to_input(target.prompt, rgb, size, self.model.config.shown,
                                             pixels.device)
                   for target in self._targets.values()
                   if target.prompt is not None and target.command not in frames.prompted}
        answers, after = self._answer_said(pixels, size, frames, prompts)
        ages = dict(zip((target.command for target in self._said), frames.ages, strict=False))
        shown = [target for target in self._targets.values() if target.text is None]
        if shown:
            more, banks = shown_step(self.model, size, pixels, {
                target.command: prompts.get(target.command) or frames.shown.get(target.command)
                for target in shown})
            answers += more
            ages |= {number: bank.age - 1 for number, bank in banks.items()}
            after = replace(after, shown=banks)
        # The host waits for the device here, once all is under way.
        rows = fetch_rows([answer for _, answer in answers], self.config.mask_logits)
        found = dict(zip((key for keys, _ in answers for key in keys), rows, strict=True))
        results = tuple(self._to_result(
            target, found.get(target.command) or absent_row(size, self.config.mask_logits),
            ages.get(target.command, 0)) for target in self._targets.values())
        return results, replace(after, prompted=frames.prompted.union(prompts))

    def _answer_said(self, pixels: Tensor, size: InputSize, frames: FrameMemory,
                     prompts: Mapping[int, VisualPrompt]) -> tuple[list[Part], FrameMemory]:
        """The answer for the targets that have a sentence, with the command numbers of its rows."""
        if self._text is None:
            _, earlier = self.model.pair_frames(pixels[None, None], frames.earlier)
            return [], FrameMemory(size, earlier=earlier)
        targets, state = self._said, frames.state
        if state is None:
            state = start_state(self.model, pixels, len(frames.ages), self.config.context_frames,
                                STATE_DTYPES[self._precision])
            if frames.earlier is not None:
                state = replace(state, earlier=frames.earlier)
        self._step = self._steps.step(StepShape(size, *self._text.mask.shape))
        fill = Fill(frames.clock, min(frames.ages))
        shown = {row: prompts[target.command] for row, target in enumerate(targets)
                 if target.command in prompts}
        if shown:  # other engines' graphs take no prompts; the state is the same
            answer, state = FrameStep(self.model, size, self.config)(
                pixels, self._text, state, fill, shown)
        else:
            answer, state = self._step(pixels, self._text, state, fill)
        blank = [None] * (len(frames.ages) - len(targets))
        return [((*(target.command for target in targets), *blank), answer)], FrameMemory(
            size, state, frames.clock + 1, tuple(age + 1 for age in frames.ages), state.earlier)

    def _to_result(self, target: Target, found: Mapping[str, np.ndarray],
                   age: int) -> TargetResult:
        """Record of an answer; the state is that of the last frame.

        Raises FrameError for an answer or a memory that would spoil this or later frames.
        """
        if not found["finite"]:
            raise FrameError("the network's answer is not finite: the weights are damaged, or "
                             f"precision {self._precision} overflows; use fp32")
        area = int(found["areas"])
        return TargetResult(
            target.target_id, target.expression, target.command, target.tracker.state,
            float(found["scores"]), found["masks"],
            Box(*map(int, found["boxes"])) if area else None, area,
            bool(found["switched"]), age, found.get("low_res"))
