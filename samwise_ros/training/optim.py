"""What is trained, by which optimiser, at which rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from samwise_ros.model.checkpoint import own_state
from samwise_ros.model.frozen_parts import frozen_prefixes
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.structures import ConfigError
from samwise_ros.training.recipe import OptimSetup, Trainable

# What the published recipes train: names that contain one of these (docs/model.md, 6.1).
PUBLISHED_NAMES = ("adapter", "conditional_memory_encoder", "project_text")
_SETS: dict[Trainable, tuple[str, ...]] = {
    "adapters": PUBLISHED_NAMES,
    "memory": ("memory_attention", "sam.memory_encoder", "maskmem_tpos_enc", "obj_ptr_proj"),
    "follow": ("memory_attention", "sam.memory_encoder", "maskmem_tpos_enc", "obj_ptr_proj",
               "no_obj_ptr", "no_mem_embed", "sam_mask_decoder", "image_encoder.neck",
               "prompt_encoder.point_embeddings", "prompt_encoder.not_a_point_embed",
               "prompt_encoder.mask_downscaling", "prompt_encoder.no_mask_embed"),
    "cme": ("conditional_memory_encoder",),
}


def trainable_names(model: nn.Module, trainable: Trainable) -> list[str]:
    """Names of the parameters that a recipe trains."""
    if trainable == "all":
        return [name for name, _ in model.named_parameters()]
    return [name for name, _ in model.named_parameters()
            if any(part in name for part in _SETS[trainable])]


def freeze_rest(model: SamwiseModel, trainable: Trainable, frozen: Sequence[str] = ()) -> int:
    """Let gradients into the trained parameters only; returns how many numbers those hold.

    Args:
        model: Changed in place.
        trainable: Named set of parameters.
        frozen: Parts of names that are taken out of the set.
    """
    names = {name for name in trainable_names(model, trainable)
             if not (any(part in name for part in frozen)
                     or name.startswith(frozen_prefixes(model.config)))}
    if not names:
        raise ConfigError(f"nothing to train: no parameter matches {trainable!r}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def set_train_mode(model: nn.Module, *, dropout: bool, freeze_batchnorm: bool) -> None:
    """`train()` everywhere as published, less what a recipe switches off."""
    model.train()
    for module in model.modules():
        if freeze_batchnorm and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
        if not dropout:
            _switch_dropout_off(module)


def _switch_dropout_off(module: nn.Module) -> None:
    if isinstance(module, nn.Dropout):
        module.p = 0.0
    for name in ("dropout", "dropout_p"):
        if isinstance(getattr(module, name, None), float):
            setattr(module, name, 0.0)


def learning_rate(setup: OptimSetup, step: int, steps: int) -> float:
    """Rate of one optimiser step (0-based) out of `steps`.

    A function of the step alone: torch's schedulers would be a state to keep and restore.
    """
    if step < setup.warmup:
        return setup.lr * (step + 1) / setup.warmup
    if setup.schedule == "multistep":
        return setup.lr * setup.gamma ** sum(step >= milestone for milestone in setup.milestones)
    progress = (step - setup.warmup) / max(1, steps - setup.warmup)
    return setup.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_optimizer(module: nn.Module, setup: OptimSetup) -> torch.optim.AdamW:
    """AdamW over everything trainable.

    One group as published, unless `setup` asks for weight decay (none on vectors then) or for
    slower parts. The key "scale" of a group is its share of the learning rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            scale = setup.slow_rate if any(part in name for part in setup.slow) else 1.0
            decay = setup.weight_decay if parameter.ndim >= 2 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": parameters, "scale": scale, "weight_decay": decay}
         for (scale, decay), parameters in groups.items()], lr=setup.lr)


class WeightAverage:
    """Exponential moving average of a model's floating-point state, frozen parts left out.

    The decay grows as (1 + n) / (10 + n) up to `decay`, so that the start does not linger. torch's
    `swa_utils.AveragedModel` copies frozen parts, too; its `get_ema_multi_avg_fn` has one decay.

    Args:
        model: Source of the first values.
        decay: Limit of the decay.
    """

    def __init__(self, model: SamwiseModel, decay: float) -> None:
        self.decay = decay
        self.restart(model)

    def restart(self, model: SamwiseModel) -> None:
        """Begin anew from the present weights."""
        self.updates = 0
        self.state: dict[str, Tensor] = {name: value.detach().clone()
                                         for name, value in own_state(model).items()}

    @torch.no_grad()
    def update(self, model: SamwiseModel) -> None:
        """Mix the present weights in."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averaged, present = [], []
        for name, value in own_state(model).items():
            if value.is_floating_point():
                averaged.append(self.state[name])
                present.append(value)
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(averaged, present, 1 - decay)
