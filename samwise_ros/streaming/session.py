"""Stream mode: one camera, one frame in, one answer out, no look-ahead, bounded memory.

Time. HSA asks from the current frame to itself and at most seven earlier ones. The frames in sight
carry the positions 1..T, the current one the last, as a clip that ends now would. A kept frame therefore changes its code on every step, so projected frames are
kept rather than keys. Their linear maps are kept too, so that new codes cost additions only. The
kept frames of the first adapter equal a re-encoded clip exactly; those of the later adapters were
computed with their own past, which is what makes one frame cost one frame. The first frame equals
a clip of one frame. See docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samwise_ros.config import SessionConfig
from samwise_ros.model.cme import may_switch
from samwise_ros.model.features import CausalContext, SharedFeatures, extend_context
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.padding import PaddedStages
from samwise_ros.model.precision import arithmetic, resolve_precision
from samwise_ros.model.samwise import SamwiseModel, Segmentation
from samwise_ros.model.text_encoder import stack_text
from samwise_ros.streaming.commands import (
    PlannedTarget,
    TargetPlan,
    check_sentence,
    parse_command,
)
from samwise_ros.streaming.image_ops import (
    InputSize,
    logit_threshold,
    prepare_frame,
    restore_logits,
    tight_box,
)
from samwise_ros.streaming.target_tracker import TargetTracker, TrackSettings
from samwise_ros.streaming.targets import SessionMemory, Target, TargetMemory, TargetTable
from samwise_ros.structures import Command, CommandKind, FrameError, FrameResult, TargetResult


@dataclass(frozen=True)
class _RowAnswer:
    """What one step found for one target, still to be committed; the state is the last frame's."""

    target: Target
    memory: TargetMemory
    result: TargetResult


class StreamingSession:
    """Everything that is remembered for one camera. Many sessions may share one model.

    `submit` may be called from any thread; `step` and `reset` from one thread at a time.

    Attributes:
        tracking: When a target counts as there. May be replaced at any time, for the next frame;
            states are kept.

    Raises:
        ConfigError: The precision is not for the model's device.
    """

    def __init__(self, model: SamwiseModel, config: SessionConfig | None = None,
                 tracking: TrackSettings | None = None) -> None:
        self.model = model
        self.config = config or SessionConfig()
        self._precision = resolve_precision(self.config.precision, model.device)
        self.tracking = tracking or TrackSettings()
        self._plan = TargetPlan(self.config.max_targets)
        self._table = TargetTable()
        self._shared = CausalContext.empty(model.config.cmt).shared
        self._earlier: Tensor | None = None  # frames that a motion branch compares with
        self._size: InputSize | None = None
        self._padding: PaddedStages | None = None
        self._padding_size: InputSize | None = None
        self._index = 0

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
        return tuple((t.target_id, t.expression, t.command) for t in self._table.rows())

    @property
    def nbytes(self) -> int:
        """Bytes of tensors that the session keeps."""
        kept = (*self._shared, self._earlier, self._padding)
        held = sum(part.nbytes for part in kept if part is not None)
        return held + sum(t.memory.nbytes + t.text.hidden.nbytes for t in self._table.rows())

    @property
    def memory(self) -> SessionMemory:
        """What is remembered after the last step. Put back later, it undoes all steps since.

        Targets that it does not know keep what they remember.
        """
        return SessionMemory(self._size, self._shared, self._earlier, {
            target.target_id: (target.memory, copy(target.tracker))
            for target in self._table.rows()})

    @memory.setter
    def memory(self, memory: SessionMemory) -> None:
        self._size, self._shared, self._earlier = memory.size, memory.shared, memory.earlier
        for target in self._table.rows():
            if target.target_id in memory.targets:
                target.memory, tracker = memory.targets[target.target_id]
                target.tracker = copy(tracker)

    def reset(self) -> None:
        """Forget all frames; targets stay and are searched for anew."""
        self._shared = CausalContext.empty(self.model.config.cmt).shared
        self._size = self._earlier = None
        for target in self._table.rows():
            target.memory = TargetMemory.empty(self.model.config.cmt)
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
        with self._undone_on_failure():
            if self._size is not None and size != self._size:
                self.reset()
            pairs, earlier = self.model.pair_frames(pixels[None, None], self._earlier)
            with torch.inference_mode(), arithmetic(self.model.device, self._precision):
                shared, answers = self._answer(pairs, size)
        self._size, self._shared, self._earlier = size, shared, earlier
        self._index += 1
        return FrameResult(self._index - 1, stamp, size.camera, tuple(map(self._commit, answers)))

    def _commit(self, answer: _RowAnswer) -> TargetResult:
        """Keep what one target remembers of the frame; its result with the steady state."""
        target = answer.target
        target.memory = answer.memory
        target.tracker.settings = self.tracking
        return target.tracker.judge(answer.result)

    @contextmanager
    def _undone_on_failure(self) -> Iterator[None]:
        """Put memory back when the block raises."""
        kept = self.memory
        try:
            yield
        except BaseException:
            self.memory = kept
            raise

    def _apply_commands(self) -> None:
        """Make the table what is planned. New sentences are encoded before anything changes."""
        targets = {}
        for name, planned in self._plan.targets.items():
            target = self._table.targets.get(name)
            if target is None or target.command != planned.command:
                target = self._new_target(name, planned)
            targets[name] = target
        self._table.targets = targets

    @torch.inference_mode()
    def _new_target(self, name: str, planned: PlannedTarget) -> Target:
        tokens = self.model.tokenizer([planned.expression]).to(self.model.device)
        text = self.model.encode_text(tokens)
        memory = TargetMemory.empty(self.model.config.cmt)
        return Target(name, planned.expression, planned.command, text, memory)

    def _answer(self, pixels: Tensor, size: InputSize,
                ) -> tuple[tuple[Tensor | None, ...], list[_RowAnswer]]:
        """Results of all targets on one frame, and the new context that they share."""
        rows = self._table.rows()
        if not rows:
            return CausalContext.empty(self.model.config.cmt).shared, []
        past = self._shared
        groups = list(self._groups(rows))
        in_sight = [_newest(past, group[0].memory.age) for group in groups]
        longest = max(in_sight, key=_frames)
        shared = self.model.encode_shared(pixels, longest, self._padded_stages(size))
        answers: dict[str, _RowAnswer] = {}
        for group, seen in zip(groups, in_sight, strict=True):
            # A target sees nothing from before its command, whoever else is in the table.
            view = shared if _frames(seen) == _frames(longest) else \
                self.model.encoder.with_past(shared, seen)
            for answer in self._answer_group(group, view, size):
                answers[answer.target.target_id] = answer
        context = extend_context(CausalContext(past, ()), CausalContext(shared.kept, ()),
                                 self.config.context_frames)
        return context.shared, [answers[target.target_id] for target in rows]

    def _padded_stages(self, size: InputSize) -> PaddedStages | None:
        """The constant part of padded inputs, computed when the camera's size changes."""
        if size != self._padding_size:
            self._padding = self.model.encoder.padded_stages(size.resized, size.padded)
            self._padding_size = size
        return self._padding

    def _groups(self, rows: list[Target]) -> Iterator[list[Target]]:
        """Rows that can share a batch: equally many memories and context frames.

        sam2's memory attention takes no mask, so rows of different age cannot be padded to one
        length. After fifteen frames all rows are in one group.
        """
        memory = self.model.config.memory
        full = max(memory.num_spatial, memory.num_pointers, self.config.context_frames)
        groups: dict[int, list[Target]] = {}
        for target in rows:
            groups.setdefault(min(target.memory.age, full), []).append(target)
        yield from groups.values()

    def _answer_group(self, group: list[Target], shared: SharedFeatures,
                      size: InputSize) -> Iterator[_RowAnswer]:
        memories = [target.memory for target in group]
        context = tuple(
            None if parts[0] is None else torch.cat(parts)
            for parts in zip(*(memory.context for memory in memories), strict=True))
        encoded, projected = self.model.encoder.encode_rows(
            shared, stack_text([target.text for target in group]), context)
        features = encoded.frame(0)
        segmentation = self.model.segment_frame(
            features, MemoryBank.stack([memory.bank for memory in memories]),
            self._eligible(memories))
        spatial = self.model.encode_memory(features.vision, segmentation.memorised)
        kept = extend_context(CausalContext((), context), CausalContext((), projected),
                              self.config.context_frames)
        self._check_finite(segmentation, spatial)
        results = self._to_results(group, segmentation, size)
        for row, (target, result) in enumerate(zip(group, results, strict=True)):
            old, at = target.memory, slice(row, row + 1)
            found = segmentation.prediction
            bank = old.bank.append(spatial[at], found.pointer[at], self.model.config.memory,
                                   None if found.peak is None else found.peak[at])
            memory = TargetMemory(
                bank, tuple(None if c is None else c[at] for c in kept.rows),
                old.age if result.switched else old.last_switch, old.age + 1)
            yield _RowAnswer(target, memory, result)

    def _eligible(self, memories: list[TargetMemory]) -> Tensor | None:
        """bool [N] rows on which the CME may switch, None when it need not run."""
        flags = [may_switch(m.age, m.last_switch, self.model.config.cme) for m in memories]
        return torch.tensor(flags, device=self.model.device) if any(flags) else None

    def _check_finite(self, segmentation: Segmentation, spatial: Tensor) -> None:
        """Raise FrameError for an answer or a memory that would spoil this or later frames."""
        found = segmentation.prediction
        sums = [part.float().sum() for part in (found.low_res, found.object_score, found.pointer,
                                                spatial)]
        if not bool(torch.stack(sums).isfinite().all()):
            raise FrameError("the network's answer is not finite: the weights are damaged, or "
                             f"precision {self._precision} overflows; use fp32")

    def _to_results(self, group: list[Target], segmentation: Segmentation,
                    size: InputSize) -> Iterator[TargetResult]:
        """Bring masks to camera size and to the CPU, once for all rows."""
        logits = restore_logits(segmentation.high_res, size)
        masks = (logits > logit_threshold(self.model.config.mask_threshold)).cpu().numpy()
        scores = segmentation.prediction.object_score.float().cpu().numpy()
        switched = segmentation.switched.cpu().numpy()
        low_res = segmentation.prediction.low_res.float().cpu().numpy()
        for row, target in enumerate(group):
            yield TargetResult(
                target.target_id, target.expression, target.command, target.tracker.state,
                float(scores[row]), masks[row], tight_box(masks[row]), int(masks[row].sum()),
                bool(switched[row]), target.memory.age, low_res[row])


def _newest(past: tuple[Tensor | None, ...], count: int) -> tuple[Tensor | None, ...]:
    """The newest `count` frames of each [B, K, ...], None where there are none."""
    return tuple(None if part is None or count == 0 else part[:, -count:] for part in past)


def _frames(past: tuple[Tensor | None, ...]) -> int:
    return 0 if not past or past[0] is None else past[0].shape[1]
