"""Generative adversarial network whose codes mean something."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely import rng
from likely.adversarial import STARTING_ITERATIONS, Game, iterate
from likely.adversarial.collapse import remarks_on
from likely.adversarial.play import critic_turn, generator_turn
from likely.adversarial.rows import RowScale
from likely.contract import Batch, Encoder, NoHeldOutObjective, Objective, Player, Sampler, Shape
from likely.networks.critics import build_critic, build_features
from likely.networks.generators import build_generator, default_game, default_learning_rate, default_noise_size

BETAS = (0.0, 0.99)
"""Of Adam: an adversary moves on, so that momentum would point at where it has been."""

MIN_SCALE = 0.05
"""Of what is read of a continuous code: without a floor it would be read as a point."""


@final
class InfoGAN(NoHeldOutObjective, Encoder, Sampler):
    """A GAN that is told a code beside its noise, and whose rows must tell the code again.

    The code is `categories` one-hot choices, each as likely as the others, and `n_continuous` numbers uniform on
    [-1, 1]. A network that reads codes from rows is taught with the generator to raise a lower bound of the mutual
    information of code and row, so that codes become what rows visibly differ in. `encode` gives what is read: the
    probability of each category, and the mean of each number. `sample_given` draws rows of a code; there is no
    decoder, since a code leaves the noise open.

    Args:
        x_shape: of one row.
        categories: how many there are to choose from, choice by choice.
        n_continuous: how many continuous codes.
        noise_size: size of the noise; by default chosen by the shape.
        weight: nats of the game's loss that a nat of information is worth.
        game: as for `GAN`.
        bounds: as for `GAN`.
        width: as for `GAN`.
        learning_rate: as for `GAN`.

    Raises:
        ValueError: if there is no code at all.

    Reference: InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets
        (Chen et al., 2016), arXiv:1606.03657, equation 6
    """

    def __init__(
        self,
        x_shape: Shape,
        *,
        categories: tuple[int, ...] = (10,),
        n_continuous: int = 2,
        noise_size: int | None = None,
        weight: float = 1.0,
        game: Game | None = None,
        bounds: tuple[float, float] | None = None,
        width: int | None = None,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(x_shape)
        self.categories, self.n_continuous, self.weight = tuple(categories), n_continuous, weight
        if n_continuous < 0 or min(self.categories, default=2) < 2 or not (self.categories or n_continuous):
            raise ValueError(
                f"InfoGAN takes choices of at least 2 categories and continuous codes, one of them at least; got "
                f"categories={self.categories}, n_continuous={n_continuous}"
            )
        n_code = sum(self.categories) + n_continuous
        self.z_shape = (n_code,)
        self.noise_size = default_noise_size(self.x_shape) if noise_size is None else noise_size
        self.game = default_game(self.x_shape) if game is None else game
        self.bounds = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        self.width, self.learning_rate = width, learning_rate
        self.rows = RowScale(self.x_shape, self.bounds)
        self.generator = build_generator(self.x_shape, self.noise_size, n_code, width=width)
        self.critic = build_critic(self.x_shape, spectral=self.game.spectral, width=width)
        features, n_features = build_features(self.x_shape, width)
        # Of each choice the logits, of each number its mean and its scale.
        self.reader = nn.Sequential(features, nn.Linear(n_features, n_code + n_continuous))

    def players(self) -> Mapping[str, Player]:
        """The critic, and then the generator together with the reader of codes."""
        rate = default_learning_rate(self.x_shape, self.width) if self.learning_rate is None else self.learning_rate
        settings = {"lr": rate, "betas": BETAS}
        makers = (*self.generator.parameters(), *self.reader.parameters())
        return {
            "critic": Player(tuple(self.critic.parameters()), self.game.critic_steps, settings),
            "generator": Player(makers, optimizer=settings),
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

    @torch.no_grad()
    def sample_given(self, z: Tensor) -> Tensor:
        """Draws from p(x | code): (n, *x_shape) for codes z (n, *z_shape), one-hot choices beside numbers.

        Raises:
            ValueError: if z is of another shape.
        """
        if z.shape[1:] != self.z_shape:
            raise ValueError(f"InfoGAN: z must have shape (batch, {self.z_shape[0]}), got {tuple(z.shape)}")
        return self.rows.outside(self._make(z))

    def draw_codes(self, n: int) -> Tensor:
        """Codes as they are drawn in training: (n, *z_shape)."""
        like = next(self.parameters())
        choices = [torch.eye(k, dtype=like.dtype, device=like.device) for k in self.categories]
        choices = [rows[rng.integers(len(rows), n, like=like)] for rows in choices]
        numbers = 2 * rng.uniform(n, self.n_continuous, like=like) - 1
        return torch.cat([*choices, numbers], 1)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        real, learns, judged = self.rows.inside(x), player == "generator", not self.training
        codes = self.draw_codes(len(x))
        with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
            fake = self._make(codes)
        if not learns:
            return critic_turn(self.game, self._scores, real, fake, judged=judged)
        turn = generator_turn(self.game, self._scores, real, fake, judged=judged)
        information = self._information(fake, codes)
        return Objective(turn.total - self.weight * information, {**turn.terms, "information": information})

    def _information(self, made: Tensor, codes: Tensor) -> Tensor:
        """log q(code | row) - log p(code), (batch,) nats: in mean at most the mutual information of code and row."""
        choices, loc, scale = self._read(made)
        *chosen, numbers = codes.split([*self.categories, self.n_continuous], 1)
        log_q = -(0.5 * ((numbers - loc) / scale).square() + scale.log() + 0.5 * math.log(2 * math.pi)).sum(1)
        for logits, one_hot in zip(choices, chosen, strict=True):
            log_q = log_q + (logits.log_softmax(1) * one_hot).sum(1)
        # Choices are equally likely, and numbers have the density 1 / 2.
        return log_q + sum(math.log(k) for k in self.categories) + self.n_continuous * math.log(2)

    def _read(self, rows: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """q(code | row): logits of each choice, and location and scale of the numbers; in float32 at least."""
        raw: Tensor = self.reader(rows)
        raw = raw.float() if raw.dtype == torch.bfloat16 else raw
        *choices, loc, scale = raw.split([*self.categories, self.n_continuous, self.n_continuous], 1)
        return choices, loc, MIN_SCALE + F.softplus(scale)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        choices, loc, _ = self._read(self.rows.inside(x))
        return torch.cat([*(logits.softmax(1) for logits in choices), loc], 1)

    def _scores(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.critic(rows)[0]
        return scores

    def _make(self, codes: Tensor) -> Tensor:
        """Rows in the networks' scale (batch, *x_shape), each of its code and noise of its own."""
        noise = rng.normal(len(codes), self.noise_size, like=codes)
        return self.rows.made(self.generator(noise, codes))

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self.rows.outside(self._make(self.draw_codes(n)))
