"""Games: what a critic that tells rows from made ones, and a generator that makes them, are each after.

A critic gives one score per row, higher for rows it takes for real. Losses are per row and unreduced; gradients of
the critic are taken with respect to rows as it is given them.
"""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from likely import rng

Critic = Callable[[Tensor], Tensor]
"""Rows (batch, ...) to scores (batch,), each row by itself."""


class Game(abc.ABC):
    """Who wins when. Its subclasses are frozen dataclasses.

    Attributes:
        critic_steps: how often the critic moves, each time on rows of its own, before the generator does once.
        spectral: whether critics are to be built with spectral normalization.
    """

    compares: ClassVar[bool] = False
    """Whether the generator's loss sets made rows beside rows: its scores of these are needed, too."""

    critic_steps: int
    spectral: bool

    @abc.abstractmethod
    def critic_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """What the critic lowers: scores (batch,) of rows and of made rows, returns (batch,)."""

    @abc.abstractmethod
    def generator_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        """What the generator lowers, (batch,): of scores of what it made and, if it `compares`, of rows."""

    def penalty_of(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """What the critic pays for being steep, (batch,), weighted; zeros where the game has no such penalty.

        Under `torch.no_grad` it is the same number, without a graph behind it.

        Args:
            critic: rows to scores, of the batch or of the first rows of it.
            real: (batch, ...).
            fake: (batch, ...), made rows; no gradient goes back into them.
        """
        return real.new_zeros(len(real), dtype=_precise(real).dtype)


@dataclass(frozen=True)
class _ZeroCentered(Game):
    """Games whose critic pays for being steep at rows and at made rows.

    Attributes:
        penalty: weight g of the zero-centered penalty g / 2 ||grad critic||^2, at rows (R1) and at made rows (R2).
        critic_steps, spectral: as `Game`.
        penalized: the share of a batch whose slopes are taken, of images a third of the cost of a step: the first
            rows pay for the others, so that the mean over the batch is right in mean.
    """

    penalty: float = 0.1
    critic_steps: int = 1
    spectral: bool = False
    penalized: float = 1.0

    def __post_init__(self) -> None:
        _check(self, self.penalty, self.critic_steps)
        if not 0 < self.penalized <= 1:
            raise ValueError(f"{type(self).__name__}: penalized must be above 0, at most 1, got {self.penalized}")

    def penalty_of(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """As `Game.penalty_of`; zero for the rows of the batch that others pay for."""
        if self.penalty == 0:
            return super().penalty_of(critic, real, fake)
        n = math.ceil(self.penalized * len(real))
        squares = squared_slopes(critic, real[:n]) + squared_slopes(critic, fake[:n])
        paid = 0.5 * self.penalty * len(real) / n * squares
        return F.pad(paid, (0, len(real) - n))


@dataclass(frozen=True)
class NonSaturating(_ZeroCentered):
    """The critic classifies; the generator raises the log-odds of what it made being taken for real.

    Attributes:
        penalty: weight g of the zero-centered penalty g / 2 ||grad critic||^2, at rows (R1) and at made rows (R2):
            with it training converges where it would circle without. Zero for the game as it was first played.
        critic_steps, spectral: as `Game`.
        penalized: the share of a batch whose slopes are taken; the others' are paid for by these.

    Reference: Generative Adversarial Nets (Goodfellow et al., 2014), arXiv:1406.2661, section 3; for the penalty,
        Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018), arXiv:1801.04406, equation 9
    """

    def critic_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """softplus(-real) + softplus(fake)."""
        return F.softplus(-_precise(real_scores)) + F.softplus(_precise(fake_scores))

    def generator_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        """softplus(-fake)."""
        return F.softplus(-_precise(fake_scores))


@dataclass(frozen=True)
class Relativistic(_ZeroCentered):
    """The critic tells which of two is the row; the generator raises the log-odds of its own being taken for it.

    What is made is judged beside rows and not by itself, so that no score is reached by making one good row again and
    again: generators keep their variety where the critic is far ahead.

    Attributes:
        penalty, penalized: as those of `NonSaturating`.
        critic_steps, spectral: as `Game`.

    Reference: The relativistic discriminator: a key element missing from standard GAN (Jolicoeur-Martineau, 2019),
        arXiv:1807.00734, equation 3, in pairs; with both penalties, The GAN is dead; long live the GAN! A Modern GAN
        Baseline (Huang et al., 2024), arXiv:2501.05441, section 2
    """

    compares: ClassVar[bool] = True

    def critic_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """softplus(fake - real)."""
        return F.softplus(_precise(fake_scores) - _precise(real_scores))

    def generator_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        """softplus(real - fake)."""
        assert real_scores is not None
        return F.softplus(_precise(real_scores) - _precise(fake_scores))


@dataclass(frozen=True)
class LeastSquares(_ZeroCentered):
    """Scores of rows are drawn to 1, of made rows to 0; the generator draws those of what it made to 1.

    Attributes:
        penalty, penalized: as those of `NonSaturating`; the paper has none.
        critic_steps, spectral: as `Game`.

    Reference: Least Squares Generative Adversarial Networks (Mao et al., 2017), arXiv:1611.04076, equation 9
    """

    def critic_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """((real - 1)^2 + fake^2) / 2."""
        return 0.5 * ((_precise(real_scores) - 1).square() + _precise(fake_scores).square())

    def generator_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        """(fake - 1)^2 / 2."""
        return 0.5 * (_precise(fake_scores) - 1).square()


@dataclass(frozen=True)
class Wasserstein(Game):
    """The critic's advantage estimates how far made rows lie from rows, if its slope is 1: the penalty sees to that.

    Attributes:
        penalty: weight of (||grad critic|| - 1)^2 at points drawn between rows and made rows.
        critic_steps, spectral: as `Game`.

    Reference: Improved Training of Wasserstein GANs (Gulrajani et al., 2017), arXiv:1704.00028, equation 3
    """

    penalty: float = 10.0
    critic_steps: int = 5
    spectral: bool = False

    def __post_init__(self) -> None:
        _check(self, self.penalty, self.critic_steps)

    def critic_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """fake - real."""
        return _precise(fake_scores) - _precise(real_scores)

    def generator_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        """-fake."""
        return -_precise(fake_scores)

    def penalty_of(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """As `Game.penalty_of`; draws one point per row."""
        if self.penalty == 0:
            return super().penalty_of(critic, real, fake)
        share = rng.uniform(len(real), *[1] * (real.ndim - 1), like=real)
        between = fake.detach() + share * (real - fake.detach())
        # The root has no slope at zero, where a critic may well start.
        slopes = (squared_slopes(critic, between) + 1e-12).sqrt()
        return self.penalty * (slopes - 1).square()


@dataclass(frozen=True)
class Hinge(Game):
    """The critic is content with a margin of 1 on either side; spectral normalization bounds its slope.

    Attributes:
        critic_steps, spectral: as `Game`.

    Reference: Geometric GAN (Lim & Ye, 2017), arXiv:1705.02894; Spectral Normalization for Generative Adversarial
        Networks (Miyato et al., 2018), arXiv:1802.05957, equations 16 and 17
    """

    critic_steps: int = 2
    spectral: bool = True

    def __post_init__(self) -> None:
        _check(self, 0.0, self.critic_steps)

    def critic_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """max(0, 1 - real) + max(0, 1 + fake)."""
        return F.relu(1 - _precise(real_scores)) + F.relu(1 + _precise(fake_scores))

    def generator_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        """-fake."""
        return -_precise(fake_scores)


def squared_slopes(critic: Critic, x: Tensor) -> Tensor:
    """||grad critic(x)||^2 of each row, (batch,); the critic can be taught by it where gradients are on."""
    learning = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        # Rows are strangers to the critic: the gradient of the sum holds that of each row.
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=learning)
    squares = _precise(slope).square().flatten(1).sum(1)
    return squares if learning else squares.detach()


def _precise(value: Tensor) -> Tensor:
    """In float32 at least: networks may run in bfloat16, losses and sums over a row may not."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def _check(game: Game, penalty: float, critic_steps: int) -> None:
    name = type(game).__name__
    if not penalty >= 0:
        raise ValueError(f"{name}: penalty must be zero or positive, got {penalty}")
    if critic_steps < 1:
        raise ValueError(f"{name}: critic_steps must be at least 1, got {critic_steps}")
