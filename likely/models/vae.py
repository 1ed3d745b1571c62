"""Variational autoencoder."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from likely.contract import (
    Batch,
    BoundedDensity,
    Decoder,
    Encoder,
    GradientFitted,
    Objective,
    Reconstructor,
    Sampler,
    Shape,
    TakesMissing,
)
from likely.likelihoods import Gaussian, Likelihood, observed_log_prob, split_missing
from likely.networks import DeepCodec, Network, choose_z_size, default_network
from likely.principal import principal

LOG_SCALE_RANGE = (-12.0, 6.0)
"""Far from all training rows an encoder says anything; its scales stay where their exponential is a number."""

MAX_ROWS_AT_ONCE = 8192
"""How many (sample, row) pairs the bound decodes at once: its memory, whatever the number of samples."""


@final
class VAE(GradientFitted, Encoder, Decoder, Reconstructor, Sampler, BoundedDensity, TakesMissing):
    """Variational autoencoder: p(z) = N(0, I), p(x | z) = likelihood(decoder(z)), q(z | x) a diagonal Gaussian.

    With a Gaussian likelihood and a linear path in its network it starts as probabilistic PCA, whose bound is
    exact, and learns what that leaves. The encoder sees a missing value as zero.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default chosen by the shape.
        network: encoder and decoder; by default chosen by the shape.
        likelihood: of x given z; `likely.fit` chooses it by the data's domain.
        beta: weight of the rate (Higgins et al., 2017); only beta = 1 makes the objective a bound.
        condition_shape: of a condition that encoder and decoder see, or None.

    Reference: Auto-Encoding Variational Bayes (Kingma & Welling, 2014), arXiv:1312.6114; the bound of several
        samples is that of Importance Weighted Autoencoders (Burda et al., 2016), arXiv:1509.00519, equation 8
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        beta: float = 1.0,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.z_size = choose_z_size(z_size, network, self.x_shape)
        self.z_shape = (self.z_size,)
        self.likelihood = Gaussian() if likelihood is None else likelihood
        linear_path = isinstance(self.likelihood, Gaussian)
        self.network = default_network(self.x_shape, linear_path=linear_path) if network is None else network
        self.beta = beta
        self.codec = self.network.build(
            self.x_shape,
            code_size=2 * self.z_size,
            z_size=self.z_size,
            raw_channels=self.likelihood.raw_channels,
            condition_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
        )
        self.observation = self.likelihood.build(self.x_shape)

    @property
    def discrete(self) -> bool:
        """As the likelihood says."""
        return self.likelihood.discrete

    def initialize(self, batch: Batch) -> None:
        """Starts a linear path as the probabilistic PCA of the rows, missing values taken as zero."""
        codec = self.codec
        if not isinstance(codec, DeepCodec) or codec.linear_encoder is None:
            return
        if not isinstance(self.likelihood, Gaussian):
            return
        found = principal([batch._replace(x=batch.x.nan_to_num())], self.z_size)
        noise = max(found.noise_variance, self.likelihood.min_scale**2)
        variances = found.variances.clamp_min(noise)
        gain = (variances - noise).sqrt() / variances
        encoder = nn.Linear(len(found.mean), 2 * self.z_size)
        decoder = nn.Linear(self.z_size, self.likelihood.raw_channels * len(found.mean))
        raw_scale = float(self.likelihood.raw_scale(torch.tensor(math.sqrt(noise), dtype=torch.float64)))
        with torch.no_grad():
            for parameter in (*encoder.parameters(), *decoder.parameters()):
                parameter.zero_()
            encoder.weight[: self.z_size] = gain[:, None] * found.components
            encoder.bias[: self.z_size] = -gain * (found.components @ found.mean)
            encoder.bias[self.z_size :] = 0.5 * (noise / variances).log()
            decoder.weight[: len(found.mean)] = found.components.T * (variances - noise).sqrt()
            decoder.bias[: len(found.mean)] = found.mean
            decoder.bias[len(found.mean) :] = raw_scale
        codec.start_linear(encoder, decoder)

    def _posterior(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Location and log-scale of q(z | x), each (batch, z_size), in float32 at least; x without NaN."""
        code = self.codec.encode(x, condition)
        code = code.float() if code.dtype == torch.bfloat16 else code
        loc, log_scale = code.chunk(2, dim=1)
        return loc, log_scale.clamp(*LOG_SCALE_RANGE)

    def _observe(self, z: Tensor, condition: Tensor | None) -> Independent:
        observation: Independent = self.observation(self.codec.decode(z, condition))
        return observation

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        x, present = split_missing(x)
        loc, log_scale = self._posterior(x, condition)
        z = loc + log_scale.exp() * torch.randn_like(loc)
        distortion = -observed_log_prob(self._observe(z, condition), x, present)
        rate = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
        return Objective(distortion + self.beta * rate, {"distortion": distortion, "rate": rate})

    def _log_prob_bound(self, x: Tensor, condition: Tensor | None, n_samples: int) -> Tensor:
        loc, log_scale = self._posterior(split_missing(x)[0], condition)
        # One noise for all rows: a row's number must not depend on its neighbors.
        noise = torch.randn(n_samples, self.z_size, dtype=loc.dtype, device=loc.device)
        pieces = noise.split(max(1, MAX_ROWS_AT_ONCE // len(x)))
        weights = [self._log_weights(x, condition, loc, log_scale, piece) for piece in pieces]
        return torch.cat(weights).logsumexp(0) - math.log(n_samples)

    def _log_weights(
        self, x: Tensor, condition: Tensor | None, loc: Tensor, log_scale: Tensor, noise: Tensor
    ) -> Tensor:
        """log p(x, z) - log q(z | x) at z = loc + scale * noise; noise (k, z_size), returns (k, batch)."""
        k = len(noise)
        z = loc + log_scale.exp() * noise[:, None]  # (k, batch, z_size)
        repeated = None if condition is None else condition.repeat(k, *[1] * (condition.ndim - 1))
        observation = self._observe(z.flatten(0, 1), repeated)
        log_px = observed_log_prob(observation, *split_missing(x.repeat(k, *[1] * (x.ndim - 1)))).view(k, -1)
        # The normalizing constants of p(z) and q(z | x) cancel.
        return log_px + 0.5 * (noise.square()[:, None] - z.square() + 2 * log_scale).sum(2)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._posterior(split_missing(x)[0], condition)[0]

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self._observe(z, condition).mean
        return mean

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._decode(self._encode(x, condition), condition)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        like = next(self.parameters())
        z = torch.randn(n, self.z_size, dtype=like.dtype, device=like.device)
        draw: Tensor = self._observe(z, condition).sample()
        return draw
