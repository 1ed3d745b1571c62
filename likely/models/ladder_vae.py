"""Ladder variational autoencoder."""

import math
from itertools import pairwise
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from likely import rng
from likely.contract import Batch, Shape, repeated
from likely.likelihoods import Gaussian, Likelihood, observed_log_prob, split_missing
from likely.networks import Network, default_network
from likely.variational import (
    ELBO,
    Bound,
    CodeDensity,
    Diagonal,
    Inference,
    LinearWarmUp,
    ManyDraws,
    OneDraw,
    Standard,
)
from likely.variational.linear_start import start_as_probabilistic_pca
from likely.variational.model import VariationalModel

MAX_LOG_SCALE = 6.0
"""Far from all training rows networks say anything; scales stay where their exponential is a number."""

FAINT_LOG_SCALE = 2.0
"""Where what rows say of higher layers starts: a divergence of a ten-thousandth of a nat, and a gradient."""


class Rung(NamedTuple):
    """What the rows say of one layer of codes: a location and a log-scale, each (batch, size)."""

    loc: Tensor
    log_scale: Tensor


class Descent(NamedTuple):
    """Codes from the highest layer down to the lowest.

    Attributes:
        code: (n, sum of sizes), highest layer first, each in units of its own prior.
        lowest: (n, size), what the decoder takes.
        log_q: (n,), nats; zero where the code was given.
        rates: (n, sum of sizes), the divergence of each value from its prior, given the layers above.
    """

    code: Tensor
    lowest: Tensor
    log_q: Tensor
    rates: Tensor


@final
class LadderVAE(VariationalModel):
    """Variational autoencoder with layers of codes: p(x | z_1) p(z_1 | z_2) ... p(z_L), each a normal but the first.

    The posterior of a layer is its prior given the layers above, sharpened by what the rows say, precision by
    precision. The code holds each layer in units of its prior, u = (z - loc) / scale, the highest first: so the prior
    of the whole code is N(0, I), and what is done with the codes of a VAE can be done with these. With a Gaussian
    likelihood and a linear path in its network it starts as probabilistic PCA, as a VAE does.

    Args:
        x_shape: of one row.
        z_sizes: sizes of the layers of codes, from x up; at least two.
        width: of the layers between them.
        network: between x and the lowest layer; by default chosen by the shape.
        likelihood: of x given z_1; `likely.fit` chooses it by the data's domain.
        bound: what training raises; by default the ELBO, where there is no linear path to start from with the
            rate's weight growing over 1,000 steps, lest codes fall silent before they are of use.
        beta: weight of the rate.
        condition_shape: of a condition that encoder and decoder see, or None.

    Raises:
        ValueError: if there are fewer than two layers, or the bound needs a posterior with a formula.

    Reference: Ladder Variational Autoencoders (Sonderby et al., 2016), arXiv:1602.02282, equations 17 to 19, with the
        highest layer treated as the others
    """

    def __init__(
        self,
        x_shape: Shape,
        z_sizes: tuple[int, ...] = (32, 16),
        *,
        width: int = 256,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        bound: Bound | None = None,
        beta: float = 1.0,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        if len(z_sizes) < 2 or min(z_sizes) < 1:
            raise ValueError(f"LadderVAE: z_sizes must be two sizes or more, got {z_sizes}; for one layer take vae")
        self.z_sizes, self.width = tuple(z_sizes), width
        self.z_shape = (sum(z_sizes),)
        self.likelihood = Gaussian() if likelihood is None else likelihood
        linear_path = isinstance(self.likelihood, Gaussian)
        self.network = default_network(self.x_shape, linear_path=linear_path) if network is None else network
        self.bound = ELBO(warm_up=None if linear_path else LinearWarmUp(1000)) if bound is None else bound
        self.beta = beta
        self.codec = self.network.build(
            self.x_shape,
            code_size=2 * z_sizes[0] + width,
            z_size=z_sizes[0],
            raw_channels=self.likelihood.raw_channels,
            condition_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
        )
        self.ups = nn.ModuleList(_layer(width, width) for _ in z_sizes[1:])
        self.heads = nn.ModuleList(_faint_head(width, size) for size in z_sizes[1:])
        self.downs = nn.ModuleList(
            nn.Sequential(_layer(above, width), _standard_head(width, size)) for size, above in pairwise(z_sizes)
        )
        self.code_prior = Standard(sum(z_sizes))
        self.objective = self.bound.build(beta, None)
        self.observation = self.likelihood.build(self.x_shape)

    def initialize(self, batch: Batch) -> None:
        """Starts a linear path as the probabilistic PCA of the rows; the layers above say nothing yet."""
        known = batch._replace(x=batch.x.nan_to_num())
        start_as_probabilistic_pca(self.codec, self.likelihood, known, self.z_sizes[0], beside_prior=True)

    def observe(self, z: Tensor, condition: Tensor | None = None) -> Independent:
        """p(x | z) of each code (batch, sum of sizes): batch shape (batch,), event shape x_shape."""
        return self._observe_lowest(self.descend(z, None).lowest, condition)

    def climb(self, x: Tensor, condition: Tensor | None) -> list[Rung]:
        """What rows without NaN say of each layer, from the lowest up."""
        numbers = self.codec.encode(x, condition)
        lowest, features = numbers.split([2 * self.z_sizes[0], self.width], 1)
        rungs = [_rung(lowest)]
        for up, head in zip(self.ups, self.heads, strict=True):
            features = up(features)
            rungs.append(_rung(head(features)))
        return rungs

    def descend(self, noise: Tensor, rungs: list[Rung] | None) -> Descent:
        """Codes of all layers, each given those above.

        Args:
            noise: (n, sum of sizes), the highest layer first: of draws from the posterior, or without `rungs` the
                code itself, which is standard normal noise of draws from the prior.
            rungs: what n rows say, or None.
        """
        above: Tensor | None = None
        codes, log_q, rates = [], noise.new_zeros(len(noise)), []
        for i, own in zip(
            reversed(range(len(self.z_sizes))), noise.split(list(self.z_sizes[::-1]), dim=1), strict=True
        ):
            prior = None if above is None else _rung(self.downs[i](above))
            code = own
            if rungs is not None:
                belief = _sharpened(prior, rungs[i])
                draw, own_log_q = belief.draw(own.unsqueeze(0))
                code, log_q = draw.squeeze(0), log_q + own_log_q.squeeze(0)
                rates.append(belief.rates())
            codes.append(code)
            above = code if prior is None else prior.loc + prior.log_scale.exp() * code
        assert above is not None
        return Descent(torch.cat(codes, 1), above, log_q, torch.cat(rates, 1) if rates else torch.zeros_like(noise))

    def _observe_lowest(self, lowest: Tensor, condition: Tensor | None) -> Independent:
        observation: Independent = self.observation(self.codec.decode(lowest, condition))
        return observation

    def _inference(self, x: Tensor, condition: Tensor | None) -> Inference:
        return _Rows(self, x, condition)

    def _infer(self, x: Tensor, condition: Tensor | None) -> "LadderBelief":
        return LadderBelief(self, self.climb(split_missing(x)[0], condition))

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        rungs = self.climb(split_missing(x)[0], condition)
        return self.descend(rungs[0].loc.new_zeros(len(x), *self.z_shape), rungs).code

    def _code_density(self) -> CodeDensity:
        return self.code_prior


@final
class LadderBelief:
    """q(code | x) of some rows: layer by layer, each given those above."""

    def __init__(self, model: LadderVAE, rungs: list[Rung]) -> None:
        self.model, self.rungs = model, rungs

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `likely.contract.Belief.draw`."""
        found = self.descend(noise)
        shape = (len(noise), len(self.rungs[0].loc))
        return found.code.view(*shape, -1), found.log_q.view(shape)

    def descend(self, noise: Tensor) -> Descent:
        """As `LadderVAE.descend`, for noise (k, batch or 1, sum of sizes); n is k times the batch."""
        k, batch = len(noise), len(self.rungs[0].loc)
        rungs = [Rung(rung.loc.repeat(k, 1), rung.log_scale.repeat(k, 1)) for rung in self.rungs]
        return self.model.descend(noise.expand(k, batch, -1).flatten(0, 1), rungs)


class _Rows(Inference):
    """What the bound asks about a batch, whose rows are encoded once."""

    def __init__(self, model: LadderVAE, x: Tensor, condition: Tensor | None) -> None:
        self.model, self.condition = model, condition
        self.x, self.present = split_missing(x)
        self.belief = LadderBelief(model, model.climb(self.x, condition))

    def draw_one(self) -> OneDraw:
        found, log_likelihood = self._draw(1)
        return OneDraw(found.code, -log_likelihood, found.rates)

    def draw_many(self, n: int, *, path_only: bool) -> ManyDraws:
        found, log_likelihood = self._draw(n)
        log_ratio = found.log_q - self.model.code_prior.log_prob(found.code)
        return ManyDraws(found.code.view(n, len(self.x), -1), log_likelihood.view(n, -1), log_ratio.view(n, -1))

    def total_correlation(self, z: Tensor) -> Tensor:
        raise AssertionError("refused when the bound was built")

    def _draw(self, k: int) -> tuple[Descent, Tensor]:
        loc = self.belief.rungs[0].loc
        noise = rng.normal(k, len(loc), *self.model.z_shape, like=loc)
        found = self.belief.descend(noise)
        observation = self.model._observe_lowest(found.lowest, repeated(self.condition, k))
        return found, observed_log_prob(observation, repeated(self.x, k), repeated(self.present, k))


def _layer(n_in: int, n_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.SiLU())


def _faint_head(n_in: int, size: int) -> nn.Linear:
    """Starts by saying next to nothing: a posterior that is nearly its prior."""
    head = nn.Linear(n_in, 2 * size)
    with torch.no_grad():
        head.bias[size:] += FAINT_LOG_SCALE
    return head


def _standard_head(n_in: int, size: int) -> nn.Linear:
    """Starts as N(0, I), whatever the layer above."""
    head = nn.Linear(n_in, 2 * size)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _rung(numbers: Tensor) -> Rung:
    numbers = numbers.float() if numbers.dtype == torch.bfloat16 else numbers
    loc, log_scale = numbers.chunk(2, dim=1)
    return Rung(loc, log_scale.clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE))


def _sharpened(prior: Rung | None, said: Rung) -> Diagonal:
    """The product of a prior and what rows say, in units of the prior, where it is N(0, 1): precisions add up."""
    loc, log_scale = (
        said
        if prior is None
        else (
            (said.loc - prior.loc) * (-prior.log_scale).exp(),
            said.log_scale - prior.log_scale,
        )
    )
    precision = (-2 * log_scale).exp()
    return Diagonal(loc * precision / (1 + precision), -0.5 * precision.log1p())
