"""Games: penalties against gradients known by formula, losses against their equations."""

import pytest
import torch
from torch import Tensor

from likely.adversarial import Game, Hinge, LeastSquares, NonSaturating, Relativistic, Wasserstein
from likely.adversarial.play import alongside

A = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
B = torch.tensor([0.5, -2.0], dtype=torch.float64)


def critic(x: Tensor) -> Tensor:
    """x'Ax / 2 + b'x, whose gradient is Ax + b."""
    return 0.5 * (x @ A * x).sum(1) + x @ B


def rows() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)


@pytest.mark.parametrize("kind", [NonSaturating, Relativistic, LeastSquares])
def test_zero_centered_penalty_is_that_of_the_known_gradient(kind: type[NonSaturating]) -> None:
    game, (real, fake) = kind(penalty=0.7), rows()
    expected = 0.35 * ((real @ A + B).square().sum(1) + (fake @ A + B).square().sum(1))
    torch.testing.assert_close(game.penalty_of(critic, real, fake), expected)


@pytest.mark.parametrize("game", [NonSaturating(penalty=0.7, penalized=0.5), LeastSquares(penalty=0.7, penalized=0.4)])
def test_the_first_rows_of_a_batch_pay_for_the_others(game: Game) -> None:
    real, fake = rows()
    expected = 2 * 0.35 * ((real[:3] @ A + B).square().sum(1) + (fake[:3] @ A + B).square().sum(1))
    paid = game.penalty_of(critic, real, fake)
    torch.testing.assert_close(paid[:3], expected)
    assert paid.shape == (6,)
    assert not paid[3:].any()


@pytest.mark.parametrize("penalized", [0.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(penalized: float) -> None:
    with pytest.raises(ValueError, match="penalized must be above 0, at most 1"):
        NonSaturating(penalized=penalized)


def test_what_stands_beside_rows_follows_them() -> None:
    context = torch.arange(4.0)[:, None]
    assert alongside(None, 3) is None
    for n, expected in ((3, [0, 1, 2]), (4, [0, 1, 2, 3]), (8, [0, 1, 2, 3, 0, 1, 2, 3])):
        assert alongside(context, n).flatten().tolist() == expected


def test_one_centered_penalty_is_that_of_the_known_gradient_between_the_rows() -> None:
    real, fake = rows()
    torch.manual_seed(5)
    share = torch.rand(6, 1, dtype=torch.float64)
    expected = 10 * (((share * real + (1 - share) * fake) @ A + B).norm(dim=1) - 1).square()
    torch.manual_seed(5)
    torch.testing.assert_close(Wasserstein().penalty_of(critic, real, fake), expected)


def test_a_critic_of_slope_one_pays_nothing_and_a_flat_one_the_weight() -> None:
    real, fake = rows()
    unit = torch.tensor([0.6, 0.8], dtype=torch.float64)
    assert Wasserstein().penalty_of(lambda x: x @ unit, real, fake).abs().max() < 1e-9
    torch.testing.assert_close(
        Wasserstein().penalty_of(lambda x: 0 * x.sum(1), real, fake),
        torch.full((6,), 10.0, dtype=torch.float64),
        rtol=1e-5,
        atol=0,
    )


@pytest.mark.parametrize("game", [NonSaturating(), LeastSquares(), Wasserstein()], ids=repr)
def test_a_penalty_teaches_the_critic_by_its_exact_gradient(game: Game) -> None:
    real, fake = rows()

    def pay(weight: Tensor) -> Tensor:
        torch.manual_seed(5)
        return game.penalty_of(lambda x: (x @ weight).tanh().sum(1), real, fake).sum()

    weight = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pay, weight)


@pytest.mark.parametrize("game", [NonSaturating(), LeastSquares(), Wasserstein(), Hinge()], ids=repr)
def test_a_penalty_is_the_same_number_without_gradients_and_leaves_made_rows_alone(game: Game) -> None:
    real, fake = rows()
    weight = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def pay() -> Tensor:
        torch.manual_seed(5)
        return game.penalty_of(lambda x: (x @ weight).tanh().sum(1), real, fake)

    fake.requires_grad_()
    with_graph = pay()
    with torch.no_grad():
        without = pay()
    assert not without.requires_grad
    torch.testing.assert_close(with_graph, without, rtol=0, atol=0)
    if with_graph.requires_grad:
        with_graph.sum().backward()
    assert fake.grad is None


def test_losses_are_those_of_the_equations() -> None:
    real, fake = torch.tensor([2.0, -0.5]), torch.tensor([-3.0, 0.25])
    s = torch.sigmoid
    pairs: list[tuple[Game, Tensor, Tensor]] = [
        (NonSaturating(), -s(real).log() - (1 - s(fake)).log(), -s(fake).log()),
        (Relativistic(), -s(real - fake).log(), -s(fake - real).log()),
        (LeastSquares(), ((real - 1) ** 2 + fake**2) / 2, (fake - 1) ** 2 / 2),
        (Wasserstein(), fake - real, -fake),
        (Hinge(), torch.tensor([0.0, 1.5 + 1.25]), -fake),
    ]
    for game, critic_loss, generator_loss in pairs:
        torch.testing.assert_close(game.critic_loss(real, fake), critic_loss)
        torch.testing.assert_close(game.generator_loss(fake, real if game.compares else None), generator_loss)


def test_a_game_that_cannot_be_played_is_refused() -> None:
    with pytest.raises(ValueError, match="Wasserstein: penalty must be zero or positive, got -1"):
        Wasserstein(penalty=-1)
    with pytest.raises(ValueError, match="Hinge: critic_steps must be at least 1, got 0"):
        Hinge(critic_steps=0)
