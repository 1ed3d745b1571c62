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
    clipped.

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

    def step(self, objective: Tensor, share: float) -> Tensor:
        """Moves the parameters down the mean of `objective` (batch,) at `share` of the highest rate.

        Returns:
            (), 1.0 where the step was not finite and nothing moved, else 0.0; on the device.
        """
        for parameter in self.parameters.values():
            parameter.grad = None
        loss = objective.mean()
        loss.backward()
        return self._move(self.highest_rate * share, loss.detach())

    @torch.no_grad()
    def _move(self, rate: float, loss: Tensor) -> Tensor:
        moved = [(p, p.grad, self.slots[name]) for name, p in self.parameters.items() if p.grad is not None]
        parameters, gradients, slots = (list(each) for each in zip(*moved, strict=True))
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        skipped = (~torch.isfinite(norm + loss)).float()
        scale = None if self.max_norm is None else (norm / self.max_norm).clamp_min(1.0).float()
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
        return skipped

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


class Average:
    """An exponential moving average of a model's state; what is not floating-point is copied.

    From the first step on that was not finite it stays as it is.

    Args:
        average: the tensors that it is kept in, by name.
        model: whose tensors are looked up here, once: they may move, but not be replaced by others.
        decay: how much of the average stays at each step.
    """

    def __init__(self, average: Mapping[str, Tensor], model: nn.Module, decay: float = 0.999) -> None:
        pairs = [(average[name], value) for name, value in model.state_dict().items()]
        moving = [pair for pair in pairs if pair[1].is_floating_point()]
        self.kept, self.values = [own for own, _ in moving], [value for _, value in moving]
        self.copied = [pair for pair in pairs if not pair[1].is_floating_point()]
        self.decay = decay
        self.goes_on: Tensor | None = None

    @torch.no_grad()
    def move(self, step: int, wrong: Tensor) -> None:
        """Toward the model's present state; faster at first, so that the start is forgotten.

        Args:
            step: which, counted from 1.
            wrong: (), 1.0 if it was not finite and the model is as it was before it, else 0.0; on the device.
        """
        self.goes_on = 1 - wrong if self.goes_on is None else self.goes_on * (1 - wrong)
        decay = min(self.decay, (1 + step) / (10 + step))
        apart = torch._foreach_sub(self.values, self.kept)
        torch._foreach_mul_(apart, (1 - decay) * self.goes_on)
        torch._foreach_add_(self.kept, apart)
        for own, value in self.copied:
            own.copy_(torch.where(self.goes_on > 0, value, own))
