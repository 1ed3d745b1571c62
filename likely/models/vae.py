"""Variational autoencoder."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions import Independent

from likely import rng
from likely.contract import Batch, Shape, repeated
from likely.likelihoods import Gaussian as GaussianLikelihood
from likely.likelihoods import Likelihood, observed_log_prob, split_missing
from likely.networks import Network, choose_z_size, default_network
from likely.variational import (
    ELBO,
    Bound,
    CodeDensity,
    Diagonal,
    DiagonalNormal,
    Gaussian,
    Inference,
    ManyDraws,
    OneDraw,
    Posterior,
    Prior,
    Standard,
    StandardNormal,
    Transported,
    total_correlation,
)
from likely.variational.linear_start import start_as_probabilistic_pca
from likely.variational.model import VariationalModel


@final
class VAE(VariationalModel):
    """Variational autoencoder: p(x) = integral of p(z) likelihood(x; decoder(z)) dz, with q(z | x) by an encoder.

    With a Gaussian likelihood and a linear path in its network it starts as probabilistic PCA, whose bound is
    exact, and learns what that leaves. The encoder sees a missing value as zero. With a posterior that has no
    formula for its mean, `encode` gives where the mean of its base goes.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default chosen by the shape.
        network: encoder and decoder; by default chosen by the shape.
        likelihood: of x given z; `likely.fit` chooses it by the data's domain.
        posterior: the family of q(z | x); by default normals with independent values.
        prior: p(z); by default N(0, I).
        bound: what training raises; by default the ELBO.
        beta: weight of the rate (Higgins et al., 2017); only beta = 1 makes the objective a bound.
        condition_shape: of a condition that encoder and decoder see, or None.

    Raises:
        ValueError: if posterior, prior, bound and condition do not go together; names what does.

    Reference: Auto-Encoding Variational Bayes (Kingma & Welling, 2014), arXiv:1312.6114
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        posterior: Posterior | None = None,
        prior: Prior | None = None,
        bound: Bound | None = None,
        beta: float = 1.0,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.z_size = choose_z_size(z_size, network, self.x_shape)
        self.z_shape = (self.z_size,)
        self.likelihood = GaussianLikelihood() if likelihood is None else likelihood
        linear_path = isinstance(self.likelihood, GaussianLikelihood)
        self.network = default_network(self.x_shape, linear_path=linear_path) if network is None else network
        self.posterior = DiagonalNormal() if posterior is None else posterior
        self.prior = StandardNormal() if prior is None else prior
        self.bound = ELBO() if bound is None else bound
        self.beta = beta
        self.prior.check(self.posterior, self.condition_shape)
        self.head = self.posterior.build(self.z_size)
        self.codec = self.network.build(
            self.x_shape,
            code_size=self.head.code_size,
            z_size=self.z_size,
            raw_channels=self.likelihood.raw_channels,
            condition_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
        )
        self.code_prior = self.prior.build(self.z_size, self.x_shape)
        self.objective = self.bound.build(self.beta, self.posterior)
        self.observation = self.likelihood.build(self.x_shape)

    def initialize(self, batch: Batch) -> None:
        """Starts a linear path as the probabilistic PCA of the rows, missing values taken as zero."""
        known = batch._replace(x=batch.x.nan_to_num())
        self.code_prior.start(known.x)
        start_as_probabilistic_pca(self.codec, self.likelihood, known, self.z_size)

    def observe(self, z: Tensor, condition: Tensor | None = None) -> Independent:
        """p(x | z) of each code (batch, z_size): batch shape (batch,), event shape x_shape."""
        observation: Independent = self.observation(self.codec.decode(z, condition))
        return observation

    def _belief(self, x: Tensor, condition: Tensor | None) -> Gaussian | Transported:
        """q(z | x) of rows without NaN, in float32 at least."""
        code = self.codec.encode(x, condition)
        belief: Gaussian | Transported = self.head(code.float() if code.dtype == torch.bfloat16 else code)
        return belief

    def _code_density(self) -> CodeDensity:
        return self.code_prior.given(lambda rows: self._belief(rows, None))

    def _inference(self, x: Tensor, condition: Tensor | None) -> Inference:
        return _Rows(self, x, condition)

    def _infer(self, x: Tensor, condition: Tensor | None) -> Gaussian | Transported:
        return self._belief(split_missing(x)[0], condition)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._infer(x, condition).loc


class _Rows(Inference):
    """What the bound asks a VAE about a batch, whose rows are encoded once."""

    def __init__(self, model: VAE, x: Tensor, condition: Tensor | None) -> None:
        self.model, self.condition = model, condition
        self.x, self.present = split_missing(x)
        self.belief = model._belief(self.x, condition)

    def draw_one(self) -> OneDraw:
        draws, log_q = self.belief.draw(self._noise(1))
        z, prior = draws.squeeze(0), self.model._code_density()
        distortion = -observed_log_prob(self.model.observe(z, self.condition), self.x, self.present)
        if isinstance(prior, Standard) and isinstance(self.belief, Gaussian):
            return OneDraw(z, distortion, self.belief.rates())
        return OneDraw(z, distortion, (log_q.squeeze(0) - prior.log_prob(z)).unsqueeze(1))

    def draw_many(self, n: int, *, path_only: bool) -> ManyDraws:
        z, log_q = self.belief.draw(self._noise(n))
        if path_only:
            assert isinstance(self.belief, Gaussian)
            log_q = self.belief.detached().log_prob(z)
        codes = z.flatten(0, 1)
        observation = self.model.observe(codes, repeated(self.condition, n))
        log_likelihood = observed_log_prob(observation, repeated(self.x, n), repeated(self.present, n))
        log_p = self.model._code_density().log_prob(codes)
        return ManyDraws(z, log_likelihood.view(n, -1), log_q - log_p.view(n, -1))

    def total_correlation(self, z: Tensor) -> Tensor:
        assert isinstance(self.belief, Diagonal)
        return total_correlation(self.belief, z)

    def _noise(self, n: int) -> Tensor:
        loc = self.belief.base.loc if isinstance(self.belief, Transported) else self.belief.loc
        return rng.normal(n, *loc.shape, like=loc)
