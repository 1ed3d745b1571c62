"""A turn of the critic and a turn of the generator, for whatever makes and judges the rows."""

import math

import torch
from torch import Tensor

from likely.adversarial.collapse import told_apart, variety
from likely.adversarial.games import Critic, Game
from likely.contract import Objective, repeated


def critic_turn(game: Game, critic: Critic, real: Tensor, fake: Tensor, *, judged: bool) -> Objective:
    """What the critic lowers, with terms `loss` and `penalty`.

    Args:
        game: what it is after.
        critic: rows (n, ...) to scores (n,), for a batch, the first rows of it, and two with the same conditions one
            after the other.
        real: (batch, ...).
        fake: (batch, ...), made rows, without a gradient.
        judged: adds the term `told_apart`, which training steps need not pay for.
    """
    real_scores, fake_scores = critic(torch.cat([real, fake])).split(len(real))
    loss, penalty = game.critic_loss(real_scores, fake_scores), game.penalty_of(critic, real, fake)
    extra = told_apart(real_scores, fake_scores) if judged else {}
    return Objective(loss + penalty, {"loss": loss, "penalty": penalty, **extra})


def generator_turn(game: Game, critic: Critic, real: Tensor, fake: Tensor, *, judged: bool) -> Objective:
    """What the generator lowers; where it is `judged`, with the terms of `variety`. Arguments as for `critic_turn`."""
    loss = fooling(game, critic, real, fake)
    return Objective(loss, {"loss": loss, **(variety(real, fake) if judged else {})})


def fooling(game: Game, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """The generator's loss (batch,) of made rows, beside as many rows where the game compares them."""
    fake_scores = critic(fake)
    if not game.compares:
        return game.generator_loss(fake_scores)
    with torch.no_grad():
        real_scores = critic(real)
    return game.generator_loss(fake_scores, real_scores)


def alongside(context: Tensor | None, n: int) -> Tensor | None:
    """What stands beside n rows: the first rows of a batch, or the batch time after time; None stays None."""
    return context if context is None else repeated(context, math.ceil(n / len(context)))[:n]
