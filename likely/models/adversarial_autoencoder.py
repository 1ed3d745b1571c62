"""Adversarial autoencoder."""

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Independent

from likely.adversarial import Game, NonSaturating, iterate
from likely.adversarial.play import alongside, fooling
from likely.contract import (
    Batch,
    Decoder,
    Encoder,
    NoHeldOutObjective,
    Objective,
    Player,
    Reconstructor,
    Sampler,
    Shape,
)
from likely.likelihoods import Gaussian, Likelihood
from likely.networks import Network, choose_z_size, default_network
from likely.networks.critics import build_critic
from likely.variational import CodeDensity, Prior, ShapedModule, StandardNormal
from likely.variational.linear_start import start_as_probabilistic_pca

GAME_OPTIMIZER: Mapping[str, Any] = {"lr": 3e-3, "betas": (0.5, 0.99), "weight_decay": 0.0}
"""Who plays for the codes moves as fast as who reconstructs: codes that serve the decoder best, such as those that
tell classes apart though the label does, would else be pulled there faster than the game pulls them away."""


@final
class AdversarialAutoencoder(NoHeldOutObjective, Encoder, Decoder, Reconstructor, Sampler):
    """An autoencoder whose codes, all rows' together, are like draws of a prior: a critic sees to that.

    Three players: the autoencoder lowers -log p(x | code of x); the critic tells draws of the prior from codes of
    rows; the encoder, once more, makes codes that the critic takes for draws. So any distribution that can be drawn
    from serves as a prior. A row is drawn as a code from the prior, and x from p(x | code).

    Given a label as condition, decoder and critic see it, so that the codes of each class are like the prior. Where
    the prior has places (`RingOfNormals`, `SwissRoll`), each class takes one of its own, first class first.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default chosen by the shape.
        network: encoder and decoder; by default chosen by the shape.
        likelihood: of x given its code; `likely.fit` chooses it by the data's domain.
        prior: what codes are to be like; by default N(0, I). One that is learned has nothing to learn from here.
        game: that critic and encoder play; by default non-saturating with a zero-centered penalty.
        width: of the critic's layers; by default chosen by the size of the code.
        condition_shape: of a condition that encoder, decoder and critic see, or None.

    Raises:
        ValueError: if the prior has weights to learn, or fewer places than there are classes.

    Reference: Adversarial Autoencoders (Makhzani et al., 2016), arXiv:1511.05644; for labels, sections 2.3 and 4
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        prior: Prior | None = None,
        game: Game | None = None,
        width: int | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.z_size = choose_z_size(z_size, network, self.x_shape)
        self.z_shape = (self.z_size,)
        self.likelihood = Gaussian() if likelihood is None else likelihood
        # Principal components tell classes apart, and what the label says the code would first have to forget.
        linear_path = isinstance(self.likelihood, Gaussian) and condition_shape is None
        self.network = default_network(self.x_shape, linear_path=linear_path) if network is None else network
        self.prior = StandardNormal() if prior is None else prior
        self.game = NonSaturating() if game is None else game
        self.width = width
        n_conditions = 0 if self.condition_shape is None else math.prod(self.condition_shape)
        self.codec = self.network.build(
            self.x_shape,
            code_size=self.z_size,
            z_size=self.z_size,
            raw_channels=self.likelihood.raw_channels,
            condition_size=n_conditions,
        )
        self.observation = self.likelihood.build(self.x_shape)
        self.code_prior = self.prior.build(self.z_size, self.x_shape)
        _check_prior(self.prior, self.code_prior, n_conditions)
        self.critic = build_critic(self.z_shape, n_conditions, spectral=self.game.spectral, width=width)

    def initialize(self, batch: Batch) -> None:
        """Starts a linear path as the probabilistic PCA of the rows, whose codes are near N(0, I)."""
        start_as_probabilistic_pca(self.codec, self.likelihood, batch, self.z_size)

    def players(self) -> Mapping[str, Player]:
        """The autoencoder; the critic of codes; and the encoder again, as the critic's opponent."""
        return {
            "autoencoder": Player(tuple(self.codec.parameters())),
            "critic": Player(tuple(self.critic.parameters()), self.game.critic_steps, GAME_OPTIMIZER),
            "encoder": Player(self.codec.encoder_parameters(), 1, GAME_OPTIMIZER),
        }

    def after_step(self) -> None:
        """Moves the critic's spectral norms, where the game has it normalized."""
        if self.game.spectral:
            iterate(self.critic)

    def observe(self, z: Tensor, condition: Tensor | None = None) -> Independent:
        """p(x | z) of each code (batch, z_size): batch shape (batch,), event shape x_shape."""
        observation: Independent = self.observation(self.codec.decode(z, condition))
        return observation

    def draw_prior(self, n: int, condition: Tensor | None = None) -> Tensor:
        """Codes (n, z_size) from the prior, each from the place of its class where the prior has places."""
        if condition is not None and isinstance(self.code_prior, ShapedModule):
            return self.code_prior.draw_at(condition.flatten(1).argmax(1))
        return self._code_density().draw(n)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        match player:
            case "autoencoder":
                raw = self.codec.through(x, condition, bottleneck=lambda z: z)[1]
                nll = -self.observation(raw).log_prob(x)
                return Objective(nll, {"distortion": nll})
            case "critic":
                return self._critic_objective(x, condition)
        codes, draws = self._encode(x, condition), self.draw_prior(len(x), condition)
        return Objective(fooling(self.game, lambda z: self._scores(z, condition), draws, codes))

    def _critic_objective(self, x: Tensor, condition: Tensor | None) -> Objective:
        with torch.no_grad():
            codes, draws = self._encode(x, condition), self.draw_prior(len(x), condition)
        loss = self.game.critic_loss(self._scores(draws, condition), self._scores(codes, condition))
        penalty = self.game.penalty_of(lambda z: self._scores(z, condition), draws, codes)
        return Objective(loss + penalty, {"loss": loss, "penalty": penalty})

    def _scores(self, z: Tensor, condition: Tensor | None) -> Tensor:
        context = None if condition is None else condition.flatten(1)
        scores: Tensor = self.critic(z, alongside(context, len(z)))[0]
        return scores

    def _code_density(self) -> CodeDensity:
        return self.code_prior.given(_no_posterior)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.codec.encode(x, condition)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.observe(z, condition).mean
        return mean

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        raw = self.codec.through(x, condition, bottleneck=lambda z: z)[1]
        mean: Tensor = self.observation(raw).mean
        return mean

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        draw: Tensor = self.observe(self.draw_prior(n, condition), condition).sample()
        return draw


def _no_posterior(x: Tensor) -> Any:
    raise TypeError("an adversarial autoencoder has no posterior for its prior to be made of")


def _check_prior(part: Prior, prior: torch.nn.Module, n_classes: int) -> None:
    name = type(part).__name__
    if next(prior.parameters(), None) is not None:
        raise ValueError(
            f"{name} is a prior that is learned, and here codes are taught to be like the prior; take StandardNormal, "
            "RingOfNormals or SwissRoll"
        )
    if isinstance(prior, ShapedModule) and n_classes > prior.places:
        raise ValueError(f"{name} has {prior.places} places for {n_classes} classes; set places={n_classes} or more")
