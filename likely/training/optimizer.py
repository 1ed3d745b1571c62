"""One player's optimizer: fused, clipped, and guarded against steps that are not finite, all on the device."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from likely.contract import GradientFitted, Player
from likely.training.config import TrainConfig

SETTINGS = {"betas": (0.9, 0.999), "eps": 1e-8}
"""Of Adam, where neither the run nor the player says otherwise."""


class PlayerOptimizer:
    """AdamW over one player's parameters: PyTorch's fused kernel, without the class around it.

    The class costs tiny networks a fifth of a step, and its first use seconds of imports. The kernel leaves
    everything as it was where `found_inf` is 1, and divides gradients by `grad_scale`, which is how they are
    clipped. The squares of a gradient are summed the moment it is made, while it is still in the cache.

    Reference: Decoupled Weight Decay Regularization (Loshchilov & Hutter, 2019), arXiv:1711.05101
    """

    def __init__(self, model: GradientFitted, player: Player, config: TrainConfig) -> None:
        own = {id(parameter) for parameter in player.parameters}
        self.parameters = {name: p for name, p in model.named_parameters() if id(p) in own and p.requires_grad}
        self.settings = {
            "lr": config.learning_rate,
            "weight_decay": config.weight_decay,
            **SETTINGS,
            **player.optimizer,
        }
        self.highest_rate = self.settings["lr"]
        self.max_norm = config.max_grad_norm
        self.slots = {name: _Slots.of(parameter) for name, parameter in self.parameters.items()}
        self.squares: list[Tensor] = []
        self.hooks = [p.register_post_accumulate_grad_hook(self._note) for p in self.parameters.values()]

    def _note(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        flat = gradient.reshape(-1)
        self.squares.append(flat.dot(flat))

    def step(self, objective: Tensor, share: float) -> Tensor:
        """Moves the parameters down the mean of `objective` (batch,) at `share` of the highest rate.

        Returns:
            (), 1.0 where the step was not finite and nothing moved, else 0.0; on the device.
        """
        self.squares.clear()
        for parameter in self.parameters.values():
            parameter.grad = None
        loss = objective.mean()
        loss.backward()
        squared_norm = torch.stack(self.squares).sum()
        skipped = (~torch.isfinite(squared_norm + loss.detach())).float()
        scale = None if self.max_norm is None else (squared_norm.sqrt() / self.max_norm).clamp_min(1.0).float()
        self._move(self.highest_rate * share, skipped, scale)
        return skipped

    @torch.no_grad()
    def _move(self, rate: float, skipped: Tensor, scale: Tensor | None) -> None:
        moved = [(p, p.grad, self.slots[name]) for name, p in self.parameters.items() if p.grad is not None]
        parameters, gradients, slots = (list(each) for each in zip(*moved, strict=True))
        steps = [slot.step for slot in slots]
        torch._foreach_add_(steps, [1 - skipped] * len(steps))  # one number for all would be fetched by the host
        torch._fused_adamw_(
            parameters,
            gradients,
            [slot.exp_avg for slot in slots],
            [slot.exp_avg_sq for slot in slots],
            [],
            steps,
            lr=rate,
            beta1=self.settings["betas"][0],
            beta2=self.settings["betas"][1],
            weight_decay=self.settings["weight_decay"],
            eps=self.settings["eps"],
            amsgrad=False,
            maximize=False,
            grad_scale=scale,
            found_inf=skipped,
        )

    def release(self) -> None:
        """Takes the hooks off the parameters again."""
        for hook in self.hooks:
            hook.remove()

    def state(self) -> dict[str, Tensor]:
        """The optimizer's tensors by parameter and name."""
        return {f"{name}/{key}": value for name, slots in self.slots.items() for key, value in slots._asdict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave; the tensors given stay the caller's own."""
        for key, value in self.state().items():
            value.copy_(state[key])


class _Slots(NamedTuple):
    """What AdamW keeps of one parameter."""

    step: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor

    @classmethod
    def of(cls, parameter: Tensor) -> "_Slots":
        like = parameter.detach()
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return cls(step, torch.zeros_like(like), torch.zeros_like(like))


def learning_rate_share(step: int, total_steps: int, warmup: int) -> float:
    """The share of the highest rate at a step: up in a line, down as a cosine to zero at the end.

    While the length is not known yet (total_steps = 0) only the warm-up counts.
    """
    if total_steps:
        warmup = min(warmup, max(1, total_steps // 5))  # a short run has to arrive, too
    rise = min(1.0, (step + 1) / max(1, warmup))
    if not total_steps:
        return rise
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total_steps)))


@torch.no_grad()
def average_in(average: Mapping[str, Tensor], model: nn.Module, step: int, decay: float = 0.999) -> None:
    """Moves an exponential moving average of a model's state toward its present one, in place.

    Faster at first, so that the start is forgotten. What is not floating-point is copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)
