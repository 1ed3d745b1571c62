"""What a likelihood is, and what is asked of its distributions where values are missing."""

import abc
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from likely.contract import Shape
from likely.errors import DataError


class Observation(nn.Module, abc.ABC):
    """Reads raw numbers (batch, raw_channels * c, ...) as a distribution with batch shape (batch,), event x_shape."""

    def forward(self, raw: Tensor) -> Independent:
        values = self.values(precise(raw))
        return Independent(values, len(values.batch_shape) - 1, validate_args=False)

    @abc.abstractmethod
    def values(self, raw: Tensor) -> Distribution:
        """The distribution of every value of x, (batch, *x_shape), independent given raw."""

    @abc.abstractmethod
    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """A draw that noise decides: one uniform number for each value.

        Args:
            raw: (batch, raw_channels * c, ...).
            noise: (batch, c, ...), uniform on [0, 1).
            temperature: below 1 likelier values, above 1 more various ones; each likelihood says how.

        Returns:
            x, shaped and typed as the noise.
        """


class Likelihood(abc.ABC):
    """p(x | raw). Its subclasses are frozen dataclasses."""

    domains: frozenset[str]
    """What x may be: of "binary", "unit", "levels", "real"."""

    @property
    @abc.abstractmethod
    def discrete(self) -> bool:
        """Whether it gives probabilities of whole values rather than densities."""

    @property
    @abc.abstractmethod
    def raw_channels(self) -> int:
        """How many raw numbers it reads per value of x."""

    @abc.abstractmethod
    def build(self, x_shape: Shape) -> Observation:
        """The module that reads raw numbers as a distribution over x of this shape."""

    def blocks(self, n: int) -> tuple[int, ...]:
        """How many values of a vector belong together, block after block: what is drawn at once, and missing at once.

        Args:
            n: the length of the vector.

        Returns:
            Widths that sum to n.
        """
        return (1,) * n

    def observations(self, places: Sequence[slice]) -> list[Observation]:
        """The module that reads the raw numbers of each place by themselves, (batch, raw_channels * its values).

        Args:
            places: parts of x flattened; of a vector, whole blocks.
        """
        # Values are alike: whoever reads one reads any, and any number of them.
        return [self.build((1,))] * len(places)

    def check(self, domain: str, levels: int) -> None:
        """Refuses data that this is no likelihood of.

        Raises:
            DataError: naming the likelihoods that fit.
        """
        if domain not in self.domains:
            fits = ", ".join(sorted(name for name, kind in LIKELIHOODS.items() if domain in kind.domains))
            raise DataError(f"{type(self).__name__} is no likelihood of {domain} data; these are: {fits}")
        own = getattr(self, "levels", levels)
        if self.discrete and own != levels:
            raise DataError(f"{type(self).__name__} has {own} levels, the data has {levels}; set levels={levels}")


LIKELIHOODS: dict[str, type[Likelihood]] = {}
"""Every likelihood of the package by its name."""


class AllowsOutliers(Distribution, abc.ABC):
    """A distribution in which a share of the values is taken for outliers."""

    @abc.abstractmethod
    def ordinary_sample(self) -> Tensor:
        """A draw, (*batch_shape), in which nothing is an outlier."""


def precise(raw: Tensor) -> Tensor:
    """In float32 at least: networks may run in bfloat16, probabilities may not."""
    return raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw


def split_missing(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Rows whose missing values are zero, and ones where there is a value: for `observed_log_prob`.

    Args:
        x: (batch, ...), NaN where missing.

    Returns:
        Both shaped as x; None in place of the ones where it is known that nothing is missing.
    """
    if x.device.type == "cpu" and not x.sum().isnan():  # a look that costs nothing here, and a wait on a GPU
        return x, None
    # Arithmetic instead of boolean masks: several times faster on a CPU, forth and back.
    return x.nan_to_num(nan=0.0), (x * 0 + 1).nan_to_num(nan=0.0)


def observed_log_prob(observation: Independent, x: Tensor, present: Tensor | None) -> Tensor:
    """log p of what is there in each row: what is missing counts for nothing.

    Args:
        observation: of batch shape (batch,) and event shape x_shape.
        x: (batch, *x_shape), from `split_missing`.
        present: the same, from there.

    Returns:
        (batch,), nats.
    """
    if present is None:
        return observation.log_prob(x)
    return (observation.base_dist.log_prob(x) * present).flatten(1).sum(1)


def ordinary_draw(observation: Independent) -> Tensor:
    """A draw of each row in which nothing is an outlier.

    What a likelihood allows for outliers keeps a few strange values from steering a fit. Its share is a setting and
    no finding: among draws of what is missing it would be all that their spread tells of.

    Args:
        observation: of batch shape (batch,) and event shape x_shape.

    Returns:
        (batch, *x_shape).
    """
    return ordinary_values(observation.base_dist)


def ordinary_values(values: Distribution) -> Tensor:
    """As `ordinary_draw`, of values by themselves: (*batch_shape)."""
    draw: Tensor = values.ordinary_sample() if isinstance(values, AllowsOutliers) else values.sample()
    return draw
