"""One player's optimizer: fused, clipped, and guarded against steps that are not finite, all on the device."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from likely.contract import GradientFitted, Player
from likely.training.config import TrainConfig


class PlayerOptimizer:
    """AdamW over one player's parameters.

    Clipping and the guard cost one pass over the gradients: the fused kernel divides them by `grad_scale`
    and leaves everything as it was where `found_inf` is 1.
    """

    def __init__(self, model: GradientFitted, player: Player, config: TrainConfig) -> None:
        own = {id(parameter) for parameter in player.parameters}
        self.parameters = {name: p for name, p in model.named_parameters() if id(p) in own and p.requires_grad}
        settings = {"lr": config.learning_rate, "weight_decay": config.weight_decay, **player.optimizer}
        self.highest_rate = settings["lr"]
        self.max_norm = config.max_grad_norm
        self.optimizer = torch.optim.AdamW(list(self.parameters.values()), fused=True, **settings)

    def step(self, objective: Tensor, share: float) -> Tensor:
        """Moves the parameters down the mean of `objective` (batch,) at `share` of the highest rate.

        Returns:
            (), 1.0 where the step was not finite and nothing moved, else 0.0; on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.highest_rate * share
        self.optimizer.zero_grad(set_to_none=True)
        loss = objective.mean()
        loss.backward()
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        bad = (~torch.isfinite(norm + loss.detach())).float()
        self.optimizer.grad_scale = (norm / self.max_norm).clamp_min(1.0).float()  # type: ignore[attr-defined]
        self.optimizer.found_inf = bad  # type: ignore[attr-defined]
        self.optimizer.step()
        return bad

    def state(self) -> dict[str, Tensor]:
        """The optimizer's tensors by parameter and name."""
        return {
            f"{name}/{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self.optimizer.state[parameter].items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave; the tensors given stay the caller's own."""
        for key, value in state.items():
            name, _, slot = key.rpartition("/")
            parameter = self.parameters[name]
            self.optimizer.state[parameter][slot] = value.to(parameter.device, copy=True)


def learning_rate_share(step: int, total_steps: int, warmup: int) -> float:
    """The share of the highest rate at a step: up in a line, down as a cosine to zero at the end.

    While the length is not known yet (total_steps = 0) only the warm-up counts.
    """
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
