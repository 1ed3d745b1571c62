"""What models trained by a variational bound have in common."""

import abc
from typing import final

from torch import Tensor
from torch.distributions import Independent

from likely.contract import (
    Encoder,
    GradientFitted,
    ImputesMissing,
    LatentDensity,
    Objective,
    Operator,
    Reconstructor,
    Sampler,
    TakesMissing,
)
from likely.likelihoods import Likelihood, observed_log_prob, split_missing
from likely.variational.bounds import BoundObjective, Inference
from likely.variational.imputation import draw_missing, impute
from likely.variational.priors import CodeDensity


class VariationalModel(
    GradientFitted, Encoder, Reconstructor, Sampler, LatentDensity, ImputesMissing, TakesMissing, abc.ABC
):
    """p(x | z) p(z) with a posterior q(z | x), all learned by a bound; missing values are masked out of it."""

    likelihood: Likelihood
    objective: BoundObjective

    @property
    def discrete(self) -> bool:
        """As the likelihood says."""
        return self.likelihood.discrete

    @final
    def after_step(self) -> None:
        """Moves the warm-up of the bound."""
        self.objective.after_step()

    @abc.abstractmethod
    def observe(self, z: Tensor, condition: Tensor | None = None) -> Independent:
        """p(x | z) of each code (batch, *z_shape): batch shape (batch,), event shape x_shape."""

    @abc.abstractmethod
    def _inference(self, x: Tensor, condition: Tensor | None) -> Inference:
        """What the bound asks about rows, NaN where something is missing."""

    @abc.abstractmethod
    def _code_density(self) -> CodeDensity:
        """p(z)."""

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        objective: Objective = self.objective(self._inference(x, condition))
        return objective

    def _log_prior(self, z: Tensor) -> Tensor:
        return self._code_density().log_prob(z)

    def _log_likelihood(self, x: Tensor, z: Tensor, condition: Tensor | None) -> Tensor:
        return observed_log_prob(self.observe(z, condition), *split_missing(x))

    def _draw_prior(self, n: int) -> Tensor:
        return self._code_density().draw(n)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.observe(z, condition).mean
        return mean

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._decode(self._encode(x, condition), condition)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        draw: Tensor = self.observe(self._draw_prior(n), condition).sample()
        return draw

    def _restore(self, y: Tensor, operator: Operator, condition: Tensor | None) -> Tensor:
        return impute(self, y, operator, condition)

    def _draw_restorations(self, y: Tensor, operator: Operator, condition: Tensor | None, n_samples: int) -> Tensor:
        return draw_missing(self, y, operator, condition, n_samples)
