"""Families as small as they come: three that are not built yet, and one whose every number is known by formula."""

import math
from collections.abc import Iterable, Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely import rng
from likely.contract import (
    Batch,
    Belief,
    ClosedFormFitted,
    Decoder,
    ExactDensity,
    GradientFitted,
    LatentDensity,
    NoHeldOutObjective,
    Objective,
    Player,
    Sampler,
    Shape,
)


@final
class LittleAutoregressive(GradientFitted, Sampler, ExactDensity):
    """Logistic regressions of each bit on those before it (a fully visible sigmoid belief network)."""

    def __init__(self, x_shape: Shape) -> None:
        super().__init__(x_shape)
        n = math.prod(x_shape)
        self.weight, self.bias = nn.Parameter(0.5 * torch.randn(n, n)), nn.Parameter(torch.randn(n))
        self.register_buffer("mask", torch.ones(n, n).tril(-1))

    @property
    def discrete(self) -> bool:
        return True

    def logits(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight * self.mask, self.bias)

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.logits(x), x.flatten(1), reduction="none").sum(1)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        nll = -self._log_prob(x, condition)
        return Objective(nll, {"nll": nll})

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        x = self.bias.new_zeros(n, len(self.bias))
        for i in range(x.shape[1]):
            x[:, i] = rng.coins(self.logits(x)[:, i].sigmoid()).to(x.dtype)
        return x.view(n, *self.x_shape)


@final
class LittleGAN(NoHeldOutObjective, Decoder, Sampler):
    """The non-saturating game (Goodfellow et al., 2014), two critic steps per generator step."""

    def __init__(self, x_shape: Shape, z_size: int = 4) -> None:
        super().__init__(x_shape)
        self.z_size, self.z_shape, n = z_size, (z_size,), math.prod(x_shape)
        self.generator = nn.Sequential(nn.Linear(z_size, 32), nn.SiLU(), nn.Linear(32, n))
        self.critic = nn.Sequential(nn.Linear(n, 32), nn.SiLU(), nn.Linear(32, 1))

    def players(self) -> Mapping[str, Player]:
        own = {"lr": 1e-3, "betas": (0.5, 0.9)}
        return {
            "critic": Player(tuple(self.critic.parameters()), steps=2, optimizer=own),
            "generator": Player(tuple(self.generator.parameters()), optimizer=own),
        }

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        fake = self._sample(len(x), None).flatten(1)
        if player == "generator":
            return Objective(F.softplus(-self.critic(fake)).squeeze(1))
        real = F.softplus(-self.critic(x.flatten(1))).squeeze(1)
        return Objective(real + F.softplus(self.critic(fake.detach())).squeeze(1), {"real": real})

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.generator(z).view(-1, *self.x_shape)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._decode(rng.normal(n, self.z_size, like=next(self.parameters())), None)


@final
class LittleMixture(ClosedFormFitted, Sampler, ExactDensity):
    """A mixture of normals by expectation maximization (Dempster, Laird & Rubin, 1977)."""

    def __init__(self, x_shape: Shape, components: int = 2, steps: int = 50) -> None:
        super().__init__(x_shape)
        self.components, self.steps, n = components, steps, math.prod(x_shape)
        self.register_buffer("weight", torch.full((components,), 1 / components))
        self.register_buffer("mean", torch.zeros(components, n))
        self.register_buffer("triangle", torch.eye(n).repeat(components, 1, 1))

    def _solve(self, batches: Iterable[Batch]) -> None:
        x = torch.cat([batch.x.flatten(1) for batch in batches])
        self.mean.copy_(x[:: len(x) // self.components][: self.components])
        self.triangle.copy_(torch.linalg.cholesky(x.T.cov()))
        for _ in range(self.steps):
            self._maximize(x, self._joint(x).softmax(1))

    def _maximize(self, x: Tensor, share: Tensor) -> None:
        n_rows = share.sum(0)
        mean = (share.T @ x) / n_rows[:, None]
        second = torch.einsum("rk,ri,rj->kij", share, x, x) / n_rows[:, None, None]
        covariance = second - mean[:, :, None] * mean[:, None, :]
        self.weight.copy_(n_rows / len(x))
        self.mean.copy_(mean)
        self.triangle.copy_(torch.linalg.cholesky(covariance))

    def _joint(self, x: Tensor) -> Tensor:
        """log p(x, component): (batch, components)."""
        centered = (x[:, None] - self.mean).unsqueeze(3)
        u = torch.linalg.solve_triangular(self.triangle, centered, upper=False).squeeze(3)
        log_det = -self.triangle.diagonal(dim1=1, dim2=2).log().sum(1)
        return self.weight.log() + log_det - 0.5 * (u.square() + math.log(2 * math.pi)).sum(2)

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._joint(x.flatten(1)).logsumexp(1)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        which = rng.categories(self.weight[None], n)[0]
        noise = rng.normal(n, self.mean.shape[1], like=self.mean)
        x = self.mean[which] + torch.einsum("nij,nj->ni", self.triangle[which], noise)
        return x.view(n, *self.x_shape)


class LittleBelief:
    """A normal distribution over codes: loc (batch, z_size), triangle (z_size, z_size), the same for all rows."""

    def __init__(self, loc: Tensor, triangle: Tensor) -> None:
        self.q = torch.distributions.MultivariateNormal(loc, scale_tril=triangle)

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = self.q.loc + noise @ self.q.scale_tril[0].T
        return z, self.q.log_prob(z)


@final
class LittleLinear(GradientFitted, LatentDensity):
    """x = W z + noise: everything is known by formula. Its posterior is exact but for `shift` and `stretch`."""

    def __init__(
        self, x_shape: Shape, z_size: int = 3, scale: float = 0.5, shift: float = 0.0, stretch: float = 1.0
    ) -> None:
        super().__init__(x_shape)
        self.z_size, self.z_shape, self.scale, self.shift, self.stretch = z_size, (z_size,), scale, shift, stretch
        self.weight = nn.Parameter(torch.randn(math.prod(x_shape), z_size))

    def exact(self, x: Tensor) -> Tensor:
        """log p(x): (batch,)."""
        covariance = self.weight @ self.weight.T + self.scale**2 * torch.eye(len(self.weight)).to(self.weight)
        return torch.distributions.MultivariateNormal(covariance.new_zeros(len(covariance)), covariance).log_prob(x)

    def _infer(self, x: Tensor, condition: Tensor | None) -> Belief:
        precision = self.weight.T @ self.weight / self.scale**2 + torch.eye(self.z_size).to(self.weight)
        covariance = torch.linalg.inv(precision)
        loc = x @ self.weight @ covariance / self.scale**2
        return LittleBelief(loc + self.shift, self.stretch * torch.linalg.cholesky(covariance))

    def _log_prior(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def _log_likelihood(self, x: Tensor, z: Tensor, condition: Tensor | None) -> Tensor:
        return torch.distributions.Normal(self._decode(z, None), self.scale).log_prob(x).sum(1)

    def _draw_prior(self, n: int) -> Tensor:
        return rng.normal(n, self.z_size, like=self.weight)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return z @ self.weight.T

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        return Objective(-self._log_prob_bound(x, condition, 1))
