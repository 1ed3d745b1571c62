"""Densities: exact, bounded, and known up to a constant; three names for three kinds of number."""

import abc
import math
from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from torch import Tensor

from likely import rng
from likely.contract.codes import Decoder
from likely.contract.model import Model, repeated

MAX_ROWS_AT_ONCE = 8192
"""How many (sample, row) pairs a bound decodes at once: its memory, whatever the number of samples."""


class Density(Model):
    """What exact and bounded densities share: the measure their numbers are taken against."""

    @property
    def discrete(self) -> bool:
        """True when x is whole values and the number is the log of a probability, not of a density."""
        return False


class ExactDensity(Density):
    """Knows log p(x) exactly."""

    @final
    def log_prob(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The exact log p(x) of each row.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch,), nats.
        """
        self._check("x", x, self.x_shape, condition)
        return self._log_prob(x, condition)

    @abc.abstractmethod
    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor: ...


class BoundedDensity(Density):
    """Knows a random lower bound of log p(x)."""

    @final
    def log_prob_bound(self, x: Tensor, condition: Tensor | None = None, *, n_samples: int = 1) -> Tensor:
        """A draw of a number that is in mean at most log p(x), for each row.

        All rows share the noise, so that the answer for a row does not depend on its neighbours.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.
            n_samples: more samples, tighter in mean.

        Returns:
            (batch,), nats.

        Raises:
            ValueError: if `n_samples` is smaller than 1, or a shape is wrong.
        """
        self._check("x", x, self.x_shape, condition)
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}")
        return self._log_prob_bound(x, condition, n_samples)

    @abc.abstractmethod
    def _log_prob_bound(self, x: Tensor, condition: Tensor | None, n_samples: int) -> Tensor: ...


EstimateMethod = Literal["exact trace", "Hutchinson"]
"""How a density by a change of variables knows the trace of the field's derivative: in full, or along random lines."""


@dataclass(frozen=True)
class DensityEstimate:
    """An estimate of log p(x), row by row.

    Attributes:
        value: (batch,), nats.
        error: (batch,), its standard error over the noise, nats; zeros where nothing is random, NaN where a single
            sample tells nothing of it.
        method: how it came about.
    """

    value: Tensor
    error: Tensor
    method: EstimateMethod


class EstimatedDensity(BoundedDensity):
    """Knows log p(x) to the tolerance of a solver, and up to noise of mean zero where x has many values.

    As a bound it is one in mean, with nothing to spare: no number it gives is exact.
    """

    @property
    @abc.abstractmethod
    def method(self) -> EstimateMethod:
        """How `estimate` does it, for all rows of this shape."""

    @final
    def estimate(self, x: Tensor, condition: Tensor | None = None, *, n_samples: int = 1) -> DensityEstimate:
        """log p(x) of each row, as near as it can be known.

        All rows share the noise, so that the answer for a row does not depend on its neighbours.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.
            n_samples: where it is random, how many draws it is the mean of; two or more tell its error.

        Returns:
            The estimate, its standard error, and how it came about.

        Raises:
            ValueError: if `n_samples` is smaller than 1, or a shape is wrong.
        """
        self._check("x", x, self.x_shape, condition)
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}")
        value, error = self._estimate(x, condition, n_samples)
        return DensityEstimate(value, error, self.method)

    @abc.abstractmethod
    def _estimate(self, x: Tensor, condition: Tensor | None, n_samples: int) -> tuple[Tensor, Tensor]: ...

    def _log_prob_bound(self, x: Tensor, condition: Tensor | None, n_samples: int) -> Tensor:
        return self._estimate(x, condition, n_samples)[0]


class Belief(Protocol):
    """q(z | x) for some rows: what x says of its code."""

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes from standard normal noise, reparameterized.

        Args:
            noise: (k, batch, *z_shape), or (k, 1, *z_shape) for the same noise in all rows.

        Returns:
            z (k, batch, *z_shape), and log q(z | x) (k, batch).
        """


class LatentDensity(BoundedDensity, Decoder):
    """p(x) is the integral of p(x | z) p(z) over codes z; a posterior q(z | x) is what its bound samples from.

    The bound of k samples is that of Importance Weighted Autoencoders (Burda et al., 2016), arXiv:1509.00519,
    equation 8.
    """

    @final
    def infer(self, x: Tensor, condition: Tensor | None = None) -> Belief:
        """q(z | x) for each row.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.
        """
        self._check("x", x, self.x_shape, condition)
        return self._infer(x, condition)

    @final
    def log_weights(self, x: Tensor, condition: Tensor | None = None, *, n_samples: int = 1) -> Tensor:
        """log p(x, z) - log q(z | x) for draws z from q; the mean of their exponentials is p(x) in mean.

        All rows share the noise, so that the answer for a row does not depend on its neighbours.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.
            n_samples: draws per row.

        Returns:
            (n_samples, batch), nats.
        """
        belief = self.infer(x, condition)
        like = next(self.parameters())
        noise = rng.normal(n_samples, 1, *self.z_shape, like=like)
        pieces = noise.split(max(1, MAX_ROWS_AT_ONCE // len(x)))
        return torch.cat([self._log_weights(x, condition, *belief.draw(piece)) for piece in pieces])

    @final
    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) of each code: z (batch, *z_shape), returns (batch,) nats."""
        return self._log_prior(z)

    @final
    def log_likelihood(self, x: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(x | z) of each row with its code: x (batch, *x_shape), z (batch, *z_shape), returns (batch,) nats."""
        self._check("z", z, self.z_shape, condition)
        return self._log_likelihood(x, z, condition)

    @final
    @torch.no_grad()
    def draw_prior(self, n: int) -> Tensor:
        """Codes from p(z): (n, *z_shape)."""
        return self._draw_prior(n)

    def _log_weights(self, x: Tensor, condition: Tensor | None, z: Tensor, log_q: Tensor) -> Tensor:
        k = len(z)
        codes = z.flatten(0, 1)
        log_joint = self._log_likelihood(repeated(x, k), codes, repeated(condition, k)) + self._log_prior(codes)
        return log_joint.view(k, -1) - log_q

    def _log_prob_bound(self, x: Tensor, condition: Tensor | None, n_samples: int) -> Tensor:
        return self.log_weights(x, condition, n_samples=n_samples).logsumexp(0) - math.log(n_samples)

    @abc.abstractmethod
    def _infer(self, x: Tensor, condition: Tensor | None) -> Belief: ...

    @abc.abstractmethod
    def _log_prior(self, z: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _log_likelihood(self, x: Tensor, z: Tensor, condition: Tensor | None) -> Tensor: ...

    @abc.abstractmethod
    def _draw_prior(self, n: int) -> Tensor: ...


class Energy(Model):
    """Knows -log p(x) up to a constant that nobody knows: good for ranking, for nothing else."""

    @final
    def energy(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """-log p(x) up to a constant, for each row.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch,), larger is less likely.
        """
        self._check("x", x, self.x_shape, condition)
        return self._energy(x, condition)

    @abc.abstractmethod
    def _energy(self, x: Tensor, condition: Tensor | None) -> Tensor: ...
