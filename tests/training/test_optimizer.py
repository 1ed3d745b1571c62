"""The guarded, clipped step against the plain one of PyTorch."""

import pytest
import torch
from torch import nn

from likely.contract import GradientFitted, Objective, Player
from likely.training import TrainConfig
from likely.training.optimizer import PlayerOptimizer


class Regression(GradientFitted):
    def __init__(self, x_shape):
        super().__init__(x_shape)
        self.network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

    def _objective(self, x, condition, player):
        return Objective((self.network(x).squeeze(1) - x.sum(1)).square())


def models(dtype):
    torch.manual_seed(0)
    first, second = Regression((3,)).to(dtype), Regression((3,)).to(dtype)
    second.load_state_dict(first.state_dict())
    return first, second


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("max_norm", [1e-3, 0.5, 100.0])
@pytest.mark.parametrize("settings", [{}, {"lr": 1e-2, "betas": (0.5, 0.9)}, {"weight_decay": 0.3, "eps": 1e-4}])
def test_it_steps_as_adamw_on_clipped_gradients(dtype, max_norm, settings):
    ours, theirs = models(dtype)
    config = TrainConfig(learning_rate=0.03, weight_decay=0.1, max_grad_norm=max_norm)
    player = PlayerOptimizer(ours, Player(tuple(ours.parameters()), optimizer=settings), config)
    plain = torch.optim.AdamW(theirs.parameters(), **{"lr": 0.03, "weight_decay": 0.1, **settings})
    rate = plain.param_groups[0]["lr"]
    for step in range(20):
        x, share = 3 * torch.randn(8, 3, dtype=dtype), (step + 1) / 20
        assert player.step(ours(x).total, share) == 0
        plain.param_groups[0]["lr"] = rate * share
        plain.zero_grad()
        theirs(x).total.mean().backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
        plain.step()
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-6}[dtype]
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_a_loss_that_is_not_finite_by_itself_is_skipped():
    model, _ = models(torch.float32)
    player = PlayerOptimizer(model, Player(tuple(model.parameters())), TrainConfig())
    before = [p.detach().clone() for p in model.parameters()]
    objective = model(torch.randn(4, 3)).total
    assert player.step(objective + torch.tensor([0.0, 0.0, float("inf"), 0.0]), 1.0) == 1
    assert all(map(torch.equal, before, model.parameters()))


def test_parameters_that_an_objective_does_not_touch_stay():
    model, _ = models(torch.float32)
    model.idle = nn.Parameter(torch.ones(2))
    player = PlayerOptimizer(model, Player(tuple(model.parameters())), TrainConfig(weight_decay=0.5))
    player.step(model(torch.randn(4, 3)).total, 1.0)
    assert torch.equal(model.idle, torch.ones(2))
