"""Flow matching."""

import math
from typing import final

import torch
from torch import Tensor

from likely import rng
from likely.contract import (
    Batch,
    Decoder,
    Encoder,
    EstimatedDensity,
    EstimateMethod,
    GradientFitted,
    Objective,
    Operator,
    Restorer,
    Sampler,
    Shape,
)
from likely.corruptions import LinearOperator, start
from likely.errors import UserError
from likely.networks.residual_mlp import ResidualMLP
from likely.networks.unet import UNet
from likely.networks.velocity import VelocityNetwork
from likely.odes import State, integrate, integrate_in_steps
from likely.transport import GaussianPath, Trace, guided

SMALLEST_MAP = 16
"""Images with a shorter side than this are seen as vectors."""


@final
class FlowMatching(GradientFitted, Encoder, Decoder, Sampler, EstimatedDensity, Restorer):
    """A field that carries normal noise to data along paths that are straight in mean, learned without following any.

    A point between noise and data, w_t = (1 - t) w_0 + t w_1, has the velocity w_1 - w_0; the network learns its mean
    given w_t and t. Samples are noise that is carried to t = 1; a code is the noise that a row comes from; the density
    is that of the code, times how much the way there contracts. Codes, rows and densities are as exact as the solver's
    tolerance; with more than `max_exact_trace` values densities are estimates of mean log p(x), too.

    It starts as the normal distribution with the data's mean and covariance (of images and signals with one mean per
    channel and one variance: their principal axes of little variance would be learned as eagerly as the others, and
    what is seen in an image is in the others), and the network learns what those leave, in units in which all that is
    left is of variance 1.

    Args:
        x_shape: of one row.
        network: by default fully connected residual blocks for vectors and small images, else a U-Net.
        tolerance: the largest error of a step of the adaptive solver, in standard deviations of the data and nats.
        steps: samples are drawn by so many equal steps, of two evaluations each, in place of the adaptive solver: 4 to
            20 are fast and nearly as good. Codes and densities keep to the solver.
        guidance_steps: equal steps on the way to a restoration.
        max_exact_trace: rows of at most so many values have the trace of the field's derivative in full, at the cost of
            one derivative per value; rows of more have Hutchinson's estimate.
        condition_shape: of a condition that the network sees, or None.

    Raises:
        ValueError: if `tolerance` is not positive, `steps` or `guidance_steps` are less than 1, or the network cannot
            take the shape.

    Reference: Flow Matching for Generative Modeling (Lipman et al., 2023), arXiv:2210.02747; Flow Straight and Fast
        (Liu et al., 2023), arXiv:2209.03003; for densities, FFJORD (Grathwohl et al., 2019), arXiv:1810.01367
    """

    def __init__(
        self,
        x_shape: Shape,
        *,
        network: VelocityNetwork | None = None,
        tolerance: float = 1e-4,
        steps: int | None = None,
        guidance_steps: int = 50,
        max_exact_trace: int = 32,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        if not tolerance > 0:
            raise ValueError(f"tolerance must be positive, got {tolerance}")
        if guidance_steps < 1 or (steps is not None and steps < 1):
            raise ValueError(f"steps must be at least 1, got steps={steps}, guidance_steps={guidance_steps}")
        self.network = _default_network(self.x_shape) if network is None else network
        self.tolerance, self.steps, self.guidance_steps = tolerance, steps, guidance_steps
        self.max_exact_trace = max_exact_trace
        self.path = GaussianPath(self.x_shape, rotated=len(self.x_shape) == 1)
        self.z_shape = (self.path.n,)
        context_size = 0 if self.condition_shape is None else math.prod(self.condition_shape)
        self.residual = self.network.build(self.x_shape, context_size)

    @property
    def method(self) -> EstimateMethod:
        """As `EstimatedDensity.method`: by the number of values."""
        return "exact trace" if self.path.n <= self.max_exact_trace else "Hutchinson"

    def initialize(self, batch: Batch) -> None:
        """Starts as the normal distribution with the mean and the covariance of the rows."""
        self.path.start(batch.x)

    def velocity(self, t: Tensor, w: Tensor, context: Tensor | None) -> Tensor:
        """The field at times t (batch,) and coordinates w (batch, n), given a context (batch, c) or None."""
        slope, root, residual = self.path.marginal(t)
        raw = self.residual((w / root).view(-1, *self.x_shape), t, context)
        return slope * w + residual * raw.flatten(1)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        w_1 = self.path.coordinates(x)
        w_0, t = rng.normal_like(w_1), _drawn_times(w_1)
        w_t = (1 - t[:, None]) * w_0 + t[:, None] * w_1
        raw = self.residual((w_t / self.path.marginal(t).root).view_as(x), t, _flat(condition))
        error = (raw.flatten(1) - self.path.residual_target(t, w_0, w_1)).square().sum(1)
        return Objective(error, {"squared error": error})

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._carried(self.path.coordinates(x), 1.0, 0.0, condition)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.path.rows(self._carried(z, 0.0, 1.0, condition))

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        noise = rng.normal(n, self.path.n, like=self.path.scale)
        if self.steps is None:
            return self._decode(noise, condition)
        (w,) = integrate_in_steps(self._field, (noise,), 0.0, 1.0, self.steps, context=_flat(condition))
        return self.path.rows(w)

    def _estimate(self, x: Tensor, condition: Tensor | None, n_samples: int) -> tuple[Tensor, Tensor]:
        exact = self.method == "exact trace"
        with torch.inference_mode(False), torch.no_grad():  # derivatives are taken, of tensors that allow for it
            w = self.path.coordinates(x.clone())
            context = None if condition is None else condition.flatten(1).clone()
            trace = Trace.in_full(w) if exact else Trace.estimated(w, n_samples)

            def field(t: Tensor, state: State, context: Tensor | None) -> State:
                return trace.velocity(self.velocity, t, state[0], context)

            begun = (w, w.new_zeros(len(w), 1 if exact else n_samples))
            z, gained = integrate(field, begun, 1.0, 0.0, context=context, tolerance=self.tolerance)
        log_prob = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1) + self.path.log_det()
        each = log_prob[:, None] + gained
        if exact:
            return each.mean(1), torch.zeros_like(log_prob)
        # One line tells nothing of its error.
        error = each.std(1) / math.sqrt(n_samples) if n_samples > 1 else torch.full_like(log_prob, torch.nan)
        return each.mean(1), error

    def _restore(self, y: Tensor, operator: Operator, condition: Tensor | None) -> Tensor:
        self._check("y", start(y, operator), self.x_shape, condition)
        if not isinstance(operator, LinearOperator):
            raise UserError(
                f"FlowMatching restores what a linear operator left of rows (Erasing, Truncation, Downsampling, "
                f"Grayscale), got {type(operator).__name__}; for noise fit denoising_autoencoder"
            )
        with torch.no_grad(), rng.stream("flow matching", "restoration"):
            # One noise for all rows: a row's restoration must not depend on its neighbours.
            noise = rng.normal(1, self.path.n, like=y).expand(len(y), -1)
            return self.draw_given(y, operator, noise, condition)

    def draw_given(self, y: Tensor, operator: LinearOperator, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """Rows that could have become y, each from its own noise: (batch, n) to (batch, *x_shape)."""
        return guided(self.velocity, self.path, y, operator, noise, self.guidance_steps, _flat(condition))

    def _carried(self, w: Tensor, start: float, stop: float, condition: Tensor | None) -> Tensor:
        """Along the field from one time to another."""
        (w,) = integrate(self._field, (w,), start, stop, context=_flat(condition), tolerance=self.tolerance)
        return w

    def _field(self, t: Tensor, state: State, context: Tensor | None) -> State:
        return (self.velocity(t, state[0], context),)


def _default_network(x_shape: Shape) -> VelocityNetwork:
    return UNet() if len(x_shape) == 3 and min(x_shape[1:]) >= SMALLEST_MAP else ResidualMLP()


def _drawn_times(rows: Tensor) -> Tensor:
    """Times (batch,): of a quarter uniform on [0, 1], else the logistic of a normal, as the middle is hardest to learn.

    Both are spread evenly over the batch: the mean over it is less of a chance.

    Reference: Scaling Rectified Flow Transformers (Esser et al., 2024), arXiv:2403.03206, section 3.1
    """
    n = len(rows)
    places = rng.shuffled(n, like=rows) + rng.uniform(n, like=rows)
    even = places / n
    return torch.where(torch.arange(n, device=rows.device) % 4 == 0, even, torch.special.ndtri(even).sigmoid())


def _flat(condition: Tensor | None) -> Tensor | None:
    return None if condition is None else condition.flatten(1)
