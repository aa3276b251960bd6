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
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, stack_text
from samwise_ros.streaming.commands import (
    PlannedTarget,
    TargetPlan,
    check_sentence,
    parse_command,
)
from samwise_ros.streaming.frame_step import Fill, fetch
from samwise_ros.streaming.image_ops import InputSize, input_size, prepare_frame
from samwise_ros.streaming.steps import EagerSteps, Step, StepShape, StepSourceFactory
from samwise_ros.streaming.stream_state import start_state
from samwise_ros.streaming.target_tracker import TargetTracker, TrackSettings
from samwise_ros.streaming.targets import FrameMemory, SessionMemory, Target
from samwise_ros.structures import (
    Box,
    Command,
    CommandKind,
    FrameError,
    FrameResult,
    TargetResult,
)

# Of what is kept of a frame, by precision.
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
                overlong expression, unknown id, too many targets. Nothing changes then.
        """
        if not isinstance(command, Command):
            command = parse_command(command)
        if command.kind is CommandKind.ADD:
            check_sentence(command)
            self.model.tokenizer([command.expression])  # raises when it has too many tokens
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
        texts = sum(target.text.hidden.nbytes for target in self._targets.values())
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
        self._frames = FrameMemory(ages=(0,) * len(self._frames.ages))
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
        self._apply_commands()
        frames = self._frames
        if size != frames.size:
            frames = FrameMemory(size, ages=(0,) * len(frames.ages))
        with self._computing():
            results, after = self._answer(pixels, size, frames)
        if frames is not self._frames and self._frames.size is not None:
            self.reset()
        self._frames = after
        self._index += 1
        return FrameResult(self._index - 1, stamp, size.camera, tuple(map(self._judge, results)))

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
    def _apply_commands(self) -> None:
        """Make the targets what is planned. New sentences are encoded before anything changes."""
        targets = {}
        for name, planned in self._plan.targets.items():
            target = self._targets.get(name)
            if target is None or target.command != planned.command:
                target = self._new_target(name, planned)
            targets[name] = target
        known = {target.command: row for row, target in enumerate(self._targets.values())}
        rows = [known.get(target.command) for target in targets.values()]
        if rows == list(range(len(self._targets))):
            return
        text = None
        if texts := [target.text for target in targets.values()]:
            count, tokens = self._steps.room(
                len(texts), max(text.mask.shape[1] for text in texts))
            text = stack_text(texts, count, tokens)
            rows += [None] * (count - len(rows))
        frames = self._frames.arranged(rows)
        self._targets, self._text, self._frames = targets, text, frames

    def _new_target(self, name: str, planned: PlannedTarget) -> Target:
        tokens = self.model.tokenizer([planned.expression]).to(self.model.device)
        return Target(name, planned.expression, planned.command, self.model.encode_text(tokens))

    def _answer(self, pixels: Tensor, size: InputSize,
                frames: FrameMemory) -> tuple[tuple[TargetResult, ...], FrameMemory]:
        """Results of all targets on one frame, and what is remembered after it."""
        if self._text is None:
            _, earlier = self.model.pair_frames(pixels[None, None], frames.earlier)
            return (), FrameMemory(size, earlier=earlier)
        state = frames.state
        if state is None:
            state = start_state(self.model, pixels, len(frames.ages), self.config.context_frames,
                                _DTYPES[self._precision])
            if frames.earlier is not None:
                state = replace(state, earlier=frames.earlier)
        self._step = self._steps.step(StepShape(size, *self._text.mask.shape))
        fill = Fill(frames.clock, min(frames.ages))
        answer, state = self._step(pixels, self._text, state, fill)
        results = self._to_results(fetch(answer, self.config.mask_logits), frames.ages)
        return results, FrameMemory(size, state, frames.clock + 1,
                                    tuple(age + 1 for age in frames.ages), state.earlier)

    def _to_results(self, found: Mapping[str, np.ndarray],
                    ages: tuple[int, ...]) -> tuple[TargetResult, ...]:
        """Records of an answer; the states are those of the last frame.

        Raises FrameError for an answer or a memory that would spoil this or later frames.
        """
        if not found["finite"][: len(self._targets)].all():
            raise FrameError("the network's answer is not finite: the weights are damaged, or "
                             f"precision {self._precision} overflows; use fp32")
        logits = found.get("low_res")
        return tuple(TargetResult(
            target.target_id, target.expression, target.command, target.tracker.state,
            float(found["scores"][row]), found["masks"][row],
            Box(*map(int, found["boxes"][row])) if found["areas"][row] else None,
            int(found["areas"][row]), bool(found["switched"][row]), ages[row],
            None if logits is None else logits[row])
            for row, target in enumerate(self._targets.values()))
