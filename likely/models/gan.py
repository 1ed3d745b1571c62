"""Generative adversarial network."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from likely import rng
from likely.adversarial import STARTING_ITERATIONS, Game, iterate
from likely.adversarial.collapse import remarks_on
from likely.adversarial.play import alongside, critic_turn, generator_turn
from likely.adversarial.rows import RowScale
from likely.contract import Batch, Decoder, NoHeldOutObjective, Objective, Player, Sampler, Shape
from likely.networks.critics import build_critic
from likely.networks.generators import build_generator, default_game, default_learning_rate, default_noise_size

BETAS = (0.0, 0.99)
"""Of Adam: an adversary moves on, so that momentum would point at where it has been."""


@final
class GAN(NoHeldOutObjective, Decoder, Sampler):
    """Generative adversarial network: x = generator(z), z ~ N(0, I), taught by a critic that tells it from rows.

    A code z makes one row, so that `decode` is what `sample` draws; there is no way back from rows to codes. What
    training ends with is an average of the weights. It has no density: nothing can be scored.

    Args:
        x_shape: of one row.
        z_size: size of the noise; by default chosen by the shape.
        game: what the two are after; by default chosen by the shape, with a zero-centered penalty.
        bounds: (low, high) that all values lie between, which what is made then does, too; None for numbers without
            bounds. `likely.fit` fills it in for pixels.
        width: of dense layers, or channels of the largest maps; by default chosen by the shape.
        learning_rate: of both players, at its highest; by default chosen by the shape.
        condition_shape: of a condition that the generator sees and the critic judges by projection, or None.

    Reference: Generative Adversarial Nets (Goodfellow et al., 2014), arXiv:1406.2661
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        game: Game | None = None,
        bounds: tuple[float, float] | None = None,
        width: int | None = None,
        learning_rate: float | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.z_size = default_noise_size(self.x_shape) if z_size is None else z_size
        self.z_shape = (self.z_size,)
        self.game = default_game(self.x_shape) if game is None else game
        self.bounds = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        self.width, self.learning_rate = width, learning_rate
        context_size = 0 if self.condition_shape is None else math.prod(self.condition_shape)
        self.rows = RowScale(self.x_shape, self.bounds)
        self.generator = build_generator(self.x_shape, self.z_size, context_size, width=width)
        self.critic = build_critic(self.x_shape, context_size, spectral=self.game.spectral, width=width)

    def players(self) -> Mapping[str, Player]:
        """The critic, several steps if the game says so, and then the generator."""
        rate = default_learning_rate(self.x_shape, self.width) if self.learning_rate is None else self.learning_rate
        settings = {"lr": rate, "betas": BETAS}
        return {
            "critic": Player(tuple(self.critic.parameters()), self.game.critic_steps, settings),
            "generator": Player(tuple(self.generator.parameters()), optimizer=settings),
        }

    def initialize(self, batch: Batch) -> None:
        """Learns the scale of the rows, and the norms of the critic's weights."""
        self.rows.start(batch.x)
        iterate(self.critic, STARTING_ITERATIONS)

    def after_step(self) -> None:
        """Follows the norms of the critic's weights."""
        iterate(self.critic)

    def remarks(self, history: Sequence[Mapping[str, float]]) -> list[str]:
        """Says when the generator has collapsed, or the critic has won."""
        return remarks_on(history)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        context = None if condition is None else condition.flatten(1)
        real, learns = self.rows.inside(x), player == "generator"
        with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
            fake = self._make(self._noise(len(x)), context)

        def critic(rows: Tensor) -> Tensor:
            scores: Tensor = self.critic(rows, alongside(context, len(rows)))[0]
            return scores

        turn = generator_turn if learns else critic_turn
        return turn(self.game, critic, real, fake, judged=not self.training)

    def _make(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Rows in the networks' scale, (batch, *x_shape)."""
        return self.rows.made(self.generator(z, context))

    def _noise(self, n: int) -> Tensor:
        return rng.normal(n, self.z_size, like=next(self.parameters()))

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.rows.outside(self._make(z, None if condition is None else condition.flatten(1)))

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._decode(self._noise(n), condition)
