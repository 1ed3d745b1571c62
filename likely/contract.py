"""The contract every model keeps, and every other floor relies on.

A model declares what it can do by the classes it inherits; nothing else is asked of it. Public methods are
final: they check shapes, dtype and condition once, and hold the documentation. A model writes the private
methods, the mathematics. Shapes: `batch` is always the first axis and always there. Densities are natural
logarithms, in nats, of x as the model is given it. Values (NaN, range) are checked where data enters, by
`likely.fitted`, not here.
"""

import abc
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar, final

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Rows = TypeVar("Rows", Tensor, Tensor | None)

N_SEEN_CONDITIONS = 1024
"""How many training conditions a conditional model remembers, to sample from when it is given none."""


MAX_ROWS_AT_ONCE = 8192
"""How many (sample, row) pairs a bound decodes at once: its memory, whatever the number of samples."""


class Batch(NamedTuple):
    """Some rows: x (batch, *x_shape) and, for conditional models, condition (batch, *condition_shape)."""

    x: Tensor
    condition: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """What one step minimizes, row by row: `total` (batch,) and its named addends, each (batch,).

    Nothing is reduced over the batch here. Terms named `distortion`, `rate` and `nll` are nats; other terms
    are what their names say.
    """

    total: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Player:
    """One optimizer's share of a model: its parameters, its steps per batch, and its own optimizer settings."""

    parameters: tuple[nn.Parameter, ...]
    steps: int = 1
    optimizer: Mapping[str, Any] = field(default_factory=dict)


class Operator(Protocol):
    """What became of x on its way to y = apply(x); it holds its randomness, so it gives the same y twice."""

    def apply(self, x: Tensor) -> Tensor: ...


class Model(nn.Module, abc.ABC):
    """A model of x, given a condition where `condition_shape` says so.

    Every argument of a subclass's constructor is kept under its own name, so that `config()` can rebuild it.
    """

    def __init__(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        super().__init__()
        self.x_shape: Shape = tuple(x_shape)
        self.condition_shape: Shape | None = None if condition_shape is None else tuple(condition_shape)
        if self.condition_shape is not None:
            self.register_buffer("seen_conditions", torch.zeros(N_SEEN_CONDITIONS, *self.condition_shape))

    @final
    def config(self) -> dict[str, Any]:
        """The constructor's arguments by name: all that persistence needs besides the weights."""
        return {name: getattr(self, name) for name in list(inspect.signature(type(self).__init__).parameters)[1:]}

    @final
    def remember_conditions(self, conditions: Tensor) -> None:
        """Keeps (batch, *condition_shape) training conditions to draw from, repeated to fill the memory."""
        rows = torch.arange(N_SEEN_CONDITIONS, device=conditions.device) % len(conditions)
        self.get_buffer("seen_conditions").copy_(conditions[rows])

    @final
    def draw_conditions(self, n: int) -> Tensor | None:
        """Conditions (n, *condition_shape) as often as they were seen in training; None where the model takes none."""
        if self.condition_shape is None:
            return None
        seen = self.get_buffer("seen_conditions")
        return seen[torch.randint(len(seen), (n,), device=seen.device)]

    @final
    def _check(self, name: str, value: Tensor, shape: Shape, condition: Tensor | None) -> None:
        model = type(self).__name__
        if value.ndim != len(shape) + 1 or value.shape[1:] != shape:
            wanted = ", ".join(["batch", *map(str, shape)])
            raise ValueError(f"{model}: {name} must have shape ({wanted}), got {tuple(value.shape)}")
        own = next(itertools.chain(self.parameters(), self.buffers()), value)
        if value.dtype != own.dtype:
            raise ValueError(f"{model}: {name} must be {own.dtype}, as the model is, got {value.dtype}")
        self._check_condition(condition, len(value))

    @final
    def _check_condition(self, condition: Tensor | None, n_rows: int) -> None:
        model = type(self).__name__
        if self.condition_shape is None:
            if condition is not None:
                raise ValueError(f"{model} takes no condition, got one of shape {tuple(condition.shape)}")
        elif condition is None:
            raise ValueError(f"{model} needs a condition of shape {(n_rows, *self.condition_shape)}, got none")
        elif condition.shape != (n_rows, *self.condition_shape):
            wanted, got = (n_rows, *self.condition_shape), tuple(condition.shape)
            raise ValueError(f"{model}: condition must have shape {wanted}, got {got}")


# How a model is fitted: exactly one of the next two.


class GradientFitted(Model):
    """Fitted by stochastic gradients. `forward` is the objective: what data-parallel wrappers and hooks see."""

    @final  # type: ignore[misc]
    def forward(self, x: Tensor, condition: Tensor | None = None, player: str = "") -> Objective:
        """The objective of one player.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.
            player: a name from `players()`.

        Returns:
            The objective row by row.

        Raises:
            ValueError: if a shape, the dtype or the condition is not what the model was built for.
        """
        self._check("x", x, self.x_shape, condition)
        return self._objective(x, condition, player)

    def players(self) -> Mapping[str, Player]:
        """Who moves, in order, at each step. One player with every parameter unless a model says otherwise."""
        return {"": Player(tuple(self.parameters()))}

    def initialize(self, batch: Batch) -> None:
        """Sets starting values from some training rows, once, before the first step. Does nothing by default."""

    def after_step(self) -> None:
        """Moves what moves without a gradient (codebooks, averages), after a training step only."""

    @abc.abstractmethod
    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective: ...


class Layered(GradientFitted):
    """Made of layers that can be trained one by one, each on the codes of those below, before the whole is."""

    pretraining: Any
    """How (`likely.pretraining.Greedy`), or None to train the whole at once."""
    measure: Any
    """A module that says how far raw numbers over x are from x, (batch,): what the lowest layer lowers."""

    @abc.abstractmethod
    def layers(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """From x to the code: pairs of modules, up to a layer's code and down again, that share the model's weights.

        Raises:
            ValueError: if the model's network cannot be cut into layers.
        """


class NoHeldOutObjective(GradientFitted):
    """Its objective on held-out rows chooses nothing (a game, contrastive divergence).

    Training then neither stops early nor picks a best step, and keeps an average of the weights instead.
    """


class ClosedFormFitted(Model):
    """Fitted at once, in one or a few passes over the rows."""

    @final
    def solve(self, batches: Iterable[Batch]) -> None:
        """Fits the model.

        Args:
            batches: the training rows in pieces; may be gone through more than once.

        Raises:
            ValueError: if a shape or the condition is wrong, or there are too few rows.
        """
        self._solve(batches)

    @abc.abstractmethod
    def _solve(self, batches: Iterable[Batch]) -> None: ...


# What a fitted model can do: any of the following.


class Encoder(Model):
    """Maps rows to codes of shape `z_shape`."""

    z_shape: Shape

    @final
    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The code of each row, deterministic: the posterior mean where there is a posterior.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *z_shape).
        """
        self._check("x", x, self.x_shape, condition)
        return self._encode(x, condition)

    @abc.abstractmethod
    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor: ...


class Decoder(Model):
    """Maps codes of shape `z_shape` to rows."""

    z_shape: Shape

    @final
    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The mean of x given each code.

        Args:
            z: (batch, *z_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *x_shape).
        """
        self._check("z", z, self.z_shape, condition)
        return self._decode(z, condition)

    @abc.abstractmethod
    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor: ...


class Reconstructor(Model):
    """Sends rows through the code and back."""

    @final
    def reconstruct(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Each row as the model sees it again: through the code and back.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *x_shape).
        """
        self._check("x", x, self.x_shape, condition)
        return self._reconstruct(x, condition)

    @abc.abstractmethod
    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor: ...


class Sampler(Model):
    """Draws new rows."""

    @final
    @torch.no_grad()
    def sample(self, n: int, condition: Tensor | None = None) -> Tensor:
        """Draws from p(x), or from p(x | condition): real draws, not decoder means.

        Args:
            n: how many rows.
            condition: (n, *condition_shape), or None. A conditional model that is given none draws from the
                conditions it saw in training.

        Returns:
            (n, *x_shape).
        """
        condition = self.draw_conditions(n) if condition is None else condition
        self._check_condition(condition, n)
        return self._sample(n, condition)

    @abc.abstractmethod
    def _sample(self, n: int, condition: Tensor | None) -> Tensor: ...


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
        noise = torch.randn(n_samples, 1, *self.z_shape, dtype=like.dtype, device=like.device)
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


class Restorer(Model):
    """Finds x from what an operator left of it."""

    corruption: Any = None
    """What it learned to undo (`likely.corruptions.Corruption`); None where it was taught no operator of its own."""

    @final
    def restore(self, y: Tensor, operator: Operator, condition: Tensor | None = None) -> Tensor:
        """What x was before `operator` turned it into y.

        Args:
            y: (batch, *y_shape), the operator's output.
            operator: what became of x.
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *x_shape).
        """
        self._check_condition(condition, len(y))
        return self._restore(y, operator, condition)

    @abc.abstractmethod
    def _restore(self, y: Tensor, operator: Operator, condition: Tensor | None) -> Tensor: ...


class DrawsMissing(Restorer):
    """Draws what could stand where values are missing, so that a restoration has its uncertainty."""

    @final
    @torch.no_grad()
    def draw_restorations(
        self, y: Tensor, operator: Operator, condition: Tensor | None = None, *, n_samples: int = 1
    ) -> Tensor:
        """Draws of x given y = operator(x): of p(x_missing | x_observed), beside what was observed.

        Args:
            y: (batch, *x_shape), NaN where something is missing.
            operator: what became of x.
            condition: (batch, *condition_shape), or None.
            n_samples: draws per row.

        Returns:
            (n_samples, batch, *x_shape).
        """
        self._check_condition(condition, len(y))
        return self._draw_restorations(y, operator, condition, n_samples)

    @abc.abstractmethod
    def _draw_restorations(self, y: Tensor, operator: Operator, condition: Tensor | None, n_samples: int) -> Tensor: ...


class ImputesMissing(DrawsMissing):
    """Fills in by `restore` the mean of what it could draw where values are missing."""


class Sequential(Sampler, DrawsMissing):
    """Knows each value given those before it, so that it draws one after another and goes on from any beginning.

    `restore` gives one draw, the same whenever it is asked the same; what is missing must come last.
    """

    @final
    @torch.no_grad()
    def complete(
        self,
        y: Tensor,
        noise: Tensor,
        condition: Tensor | None = None,
        *,
        temperature: float = 1.0,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Rows of which a beginning is known, gone on with: exact draws of p(rest | beginning).

        Args:
            y: (batch, *x_shape), NaN where a value is to be drawn: wherever it likes to be in a row's order, as long
                as all after it is NaN as well.
            noise: (batch, *x_shape), uniform on [0, 1): each value is where its distribution function reaches it.
            condition: (batch, *condition_shape), or None.
            temperature: below 1 likelier draws, above 1 more various ones; only 1 draws from the model.
            on_step: told after each place how many are done, of how many.

        Returns:
            (batch, *x_shape).

        Raises:
            ValueError: if a shape is wrong, `temperature` is not positive, or a known value comes after a missing one.
        """
        self._check("y", y, self.x_shape, condition)
        if noise.shape != y.shape:
            raise ValueError(f"noise must have the shape of y, {tuple(y.shape)}, got {tuple(noise.shape)}")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        return self._complete(y, noise, condition, temperature, on_step or (lambda done, total: None))

    @abc.abstractmethod
    def _complete(
        self,
        y: Tensor,
        noise: Tensor,
        condition: Tensor | None,
        temperature: float,
        on_step: Callable[[int, int], None],
    ) -> Tensor: ...


class TakesMissing(Model):
    """NaN in x means missing: masked out of the objective and of the density, never invented."""


def repeated(rows: Rows, k: int) -> Rows:
    """Rows (batch, ...) k times, (k * batch, ...), so that each stands beside each of its k draws; None stays None."""
    return rows if rows is None else rows.repeat(k, *[1] * (rows.ndim - 1))


CAPABILITIES: tuple[type[Model], ...] = (
    Encoder,
    Decoder,
    Reconstructor,
    Sampler,
    ExactDensity,
    BoundedDensity,
    Energy,
    Restorer,
    TakesMissing,
)
"""Every capability, in the order tables print them."""
