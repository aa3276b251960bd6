"""The training loop, on Lightning Fabric: devices, precision and processes are its business."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import TensorBoardLogger

from samwise_ros.data.packed import PackedClips
from samwise_ros.model.checkpoint import own_state
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.structures import SamwiseError
from samwise_ros.training.auxiliary import AuxiliaryHeads
from samwise_ros.training.batches import TrainBatch
from samwise_ros.training.build import load_heads, make_batches, make_model
from samwise_ros.training.checkpointing import (
    SUFFIX,
    Progress,
    put_own_state,
    read_state,
    restore_state,
    save_state,
)
from samwise_ros.training.follow_validation import FollowValidation
from samwise_ros.training.history import History
from samwise_ros.training.optim import (
    WeightAverage,
    freeze_rest,
    learning_rate,
    make_optimizer,
    set_train_mode,
)
from samwise_ros.training.recipe import TrainConfig
from samwise_ros.training.seeded_start import start_decoder
from samwise_ros.training.unit import LossUnit
from samwise_ros.training.validation import QuickValidation, mean_j
from samwise_ros.training.validation_sheet import write_sheet

LAST, BEST = f"last{SUFFIX}", f"best{SUFFIX}"

_log = logging.getLogger(__name__)


class Trainer:
    """One stage of training.

    Args:
        config: The recipe.
        resume: Continue from `<out>/last.safetensors`.

    Every batch depends on (seed, step) and the checkpoint holds all state, so that a resumed run
    computes the same numbers as one that was never stopped.
    """

    def __init__(self, config: TrainConfig, resume: bool = False) -> None:
        self.config = config
        self.out = Path(config.out)
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32
        self.fabric = self._make_fabric()
        self.fabric.launch()
        self.fabric.seed_everything(config.seed + self.fabric.global_rank, verbose=False)
        self.batches = make_batches(config, self.fabric.global_rank, self.fabric.world_size)
        self.steps = config.steps or self.batches.steps_per_epoch * config.epochs
        self.model = make_model(config)
        self._setup()
        self.progress = Progress()
        self.history = History(self.out / "history.csv")
        if resume:
            self._resume()

    def _make_fabric(self) -> Fabric:
        strategy = "auto" if self.config.devices == 1 else "ddp_find_unused_parameters_true"
        logger = TensorBoardLogger(self.out / "tensorboard", name=None, version="")
        return Fabric(accelerator=self.config.accelerator, devices=self.config.devices,
                      strategy=strategy, precision=self.config.precision, loggers=logger)

    def _setup(self) -> None:
        config = self.config
        self.trained = freeze_rest(self.model, config.model.trainable, config.model.frozen)
        if config.model.trainable == "follow" and config.model.init is None:
            start_decoder(self.model, self.batches.batch(0).pixels)
        heads = None
        loss = config.loss
        if loss.deep + loss.dense + loss.flow + loss.tags > 0:
            heads = AuxiliaryHeads(self.model, self.batches.vocabulary)
            load_heads(heads, config.model.init)
        unit = LossUnit(self.model, heads, config)
        if config.devices > 1 and self.fabric.device.type == "cuda":  # torch has it there only
            unit = torch.nn.SyncBatchNorm.convert_sync_batchnorm(unit)
        self.heads = heads
        self.optimizer = make_optimizer(unit, config.optim)
        self.unit, self.optimizer = self.fabric.setup(unit, self.optimizer)
        self.average = (WeightAverage(self.model, config.optim.ema) if config.optim.ema else None)
        self.validation = None
        if config.val_every and config.data.val_roots:
            packs = [PackedClips(root) for root in config.data.val_roots]
            kind = FollowValidation if config.data.prompts else QuickValidation
            self.validation = kind(packs, config.data.frames, config.val_expressions)

    def _resume(self) -> None:
        state = read_state(self.out / LAST)
        self.progress = restore_state(state, self.model, self.heads, self.optimizer, self.average)
        if self.fabric.is_global_zero:
            self.history.cut(self.progress.step)
        _log.info("resumed at step %d", self.progress.step)

    def run(self, max_minutes: float | None = None,
            on_step: Callable[[int, int, dict[str, float]], None] | None = None) -> Progress:
        """Train until the last step, or for a time.

        Args:
            max_minutes: Save and return after this long.
            on_step: Called with (step, steps, losses) after every optimiser step.

        Raises SamwiseError when the loss is no longer finite.
        """
        begin, before = time.monotonic(), self.progress.seconds
        while self.progress.step < min(self.steps, self.config.stop or self.steps):
            losses = self._step()
            self.progress.step += 1
            self.progress.seconds = before + time.monotonic() - begin
            self._after_step(losses)
            if on_step is not None:
                on_step(self.progress.step, self.steps, losses)
            if max_minutes is not None and self._is_over(begin + 60 * max_minutes):
                break
        self.save(LAST)
        self.fabric.barrier()  # whoever goes on may read the file
        return self.progress

    def _is_over(self, deadline: float) -> bool:
        """Whether it is later than `deadline`, by the clock of the first process."""
        return bool(self.fabric.broadcast(time.monotonic() > deadline))

    def _step(self) -> dict[str, float]:
        step, setup = self.progress.step, self.config.optim
        set_train_mode(self.unit, dropout=self.config.model.dropout,
                       freeze_batchnorm=self.config.model.freeze_batchnorm)
        rate = learning_rate(setup, step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        sums: dict[str, float] = {}
        for part in range(setup.accumulate):
            losses = self._backward(step * setup.accumulate + part, part + 1 == setup.accumulate)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value / setup.accumulate
        norm = self.fabric.clip_gradients(self.unit, self.optimizer, max_norm=setup.clip_norm,
                                          error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model)
        assert norm is not None  # `max_norm` was given
        return {**sums, "gradient": float(norm), "lr": rate}

    def _backward(self, number: int, last: bool) -> dict[str, float]:
        batch: TrainBatch = self.batches.batch(number)
        device = self.fabric.device
        tokens = self.model.tokenizer(batch.expressions).to(device) if batch.expressions else None
        with self.fabric.no_backward_sync(self.unit, enabled=not last):
            losses = self.unit(batch.to(device), tokens)
            total = losses["total"]
            if not torch.isfinite(total):
                parts = {name: float(value.detach()) for name, value in losses.items()}
                raise SamwiseError(f"loss at step {self.progress.step} is not finite: {parts}; "
                                   "lower the learning rate or look at the data")
            if total.requires_grad:
                self.fabric.backward(total / self.config.optim.accumulate)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _after_step(self, losses: dict[str, float]) -> None:
        """Log, score and save: for the first process alone; nobody has to wait for it."""
        if not self.fabric.is_global_zero:
            return
        step, config = self.progress.step, self.config
        self.history.add(step, self.progress.seconds, losses)
        if step % config.log_every == 0 or step == self.steps:
            means = self.history.flush()
            self.fabric.log_dict(means, step)
        if self.validation is not None and (step % config.val_every == 0 or step == self.steps):
            self._validate()
        if step % config.save_every == 0:
            self.save(LAST)

    def _validate(self) -> None:
        assert self.validation is not None
        with self.averaged_weights() as model:
            scores = self.validation.score(model)
            if isinstance(self.validation, QuickValidation):
                sheets = (batch for batch, _ in self.validation.batches())
                write_sheet(self.out / "pictures" / f"{self.progress.step:06d}.png", model, sheets)
        measures = {f"val_{kind}": score.j for kind, score in scores.items()}
        chance = {f"val_{kind}_random": score.random_object for kind, score in scores.items()}
        self.fabric.log_dict(measures | chance, self.progress.step)
        self.history.note(self.progress.step, self.progress.seconds, measures | chance)
        mean = mean_j(scores, Path(self.config.data.val_roots[-1]).name)
        if self.progress.best is None or mean > self.progress.best:
            self.progress = replace(self.progress, best=mean)
            self.save(BEST)

    def averaged_weights(self) -> _Averaged:
        """Context manager: the model in eval mode, holding the averaged weights if there are."""
        return _Averaged(self.model, self.average)

    def save(self, name: str) -> Path:
        """Write a checkpoint into the run's folder (first process only)."""
        if self.fabric.is_global_zero:
            save_state(self.out / name, self.config, self.model, self.heads, self.optimizer,
                       self.average, self.progress)
        return self.out / name


class _Averaged:
    def __init__(self, model: SamwiseModel, average: WeightAverage | None) -> None:
        self._model, self._average = model, average

    def __enter__(self) -> SamwiseModel:
        self._kept = {name: value.clone() for name, value in own_state(self._model).items()}
        if self._average is not None:
            put_own_state(self._model, self._average.state)
        return self._model.eval()

    def __exit__(self, *error: object) -> None:
        put_own_state(self._model, self._kept)
