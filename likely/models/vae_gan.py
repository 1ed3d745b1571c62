"""Variational autoencoder whose distortion a critic measures."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from likely import rng
from likely.adversarial import STARTING_ITERATIONS, Game, NonSaturating, iterate
from likely.adversarial.collapse import remarks_on, told_apart, variety
from likely.adversarial.play import alongside
from likely.adversarial.rows import RowScale
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
from likely.networks import default_z_size
from likely.networks.critics import build_critic
from likely.networks.generators import build_generator, default_learning_rate
from likely.networks.row_encoder import build_row_encoder
from likely.variational import Diagonal, DiagonalNormal


@final
class VAEGAN(NoHeldOutObjective, Encoder, Decoder, Reconstructor, Sampler):
    """A VAE and a GAN that share the decoder: how far a reconstruction is from its row, the critic's features say.

    Where a VAE compares values one by one, and answers what it is not sure of with their mean, the features of a
    critic that tells rows from made ones do not mind where an edge lies by a pixel, but do mind that there is one.

    With f the critic's features, z a draw of q(z | x) and z' one of N(0, I): the encoder lowers
    KL(q(z | x) || N(0, I)) + ||f(x) - f(decoder(z))||^2 / 2; the decoder lowers `similarity` times the latter, and
    what the game has it lower of decoder(z) and of decoder(z'), in mean; the critic tells rows from both, which
    together count as much as the rows. Nobody moves but whose turn it is: the critic does not learn to make features
    alike, and the encoder does not play.

    A code makes one row, so that `decode` is what `sample` draws; there is no density.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default chosen by the shape.
        game: that decoder and critic play; by default non-saturating with a zero-centered penalty.
        similarity: weight of the features' distance for the decoder, beside the game.
        bounds: (low, high) that all values lie between, which what is decoded then does, too; None for numbers
            without bounds. `likely.fit` fills it in for pixels.
        width: of dense layers, or channels of the largest maps; by default chosen by the shape.
        learning_rate: of all players, at its highest; by default chosen by the shape.
        condition_shape: of a condition that encoder and decoder see and the critic judges by projection, or None.

    Reference: Autoencoding beyond pixels using a learned similarity metric (Larsen et al., 2016), arXiv:1512.09300,
        algorithm 1
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        game: Game | None = None,
        similarity: float = 0.1,
        bounds: tuple[float, float] | None = None,
        width: int | None = None,
        learning_rate: float | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        if not similarity > 0:
            raise ValueError(f"VAEGAN: similarity must be positive, got {similarity}; without it, fit gan")
        self.z_size = default_z_size(self.x_shape) if z_size is None else z_size
        self.z_shape = (self.z_size,)
        self.game = NonSaturating() if game is None else game
        self.similarity, self.width, self.learning_rate = similarity, width, learning_rate
        self.bounds = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        n = 0 if self.condition_shape is None else math.prod(self.condition_shape)
        self.rows = RowScale(self.x_shape, self.bounds)
        self.head = DiagonalNormal().build(self.z_size)
        self.encoder = build_row_encoder(self.x_shape, self.head.code_size, n, width=width)
        self.decoder = build_generator(self.x_shape, self.z_size, n, width=width)
        self.critic = build_critic(self.x_shape, n, spectral=self.game.spectral, width=width)

    def players(self) -> Mapping[str, Player]:
        """Critic, decoder and encoder, each with what is its own."""
        rate = default_learning_rate(self.x_shape) if self.learning_rate is None else self.learning_rate
        settings = {"lr": rate, "betas": (0.5, 0.99), "weight_decay": 0.0}
        return {
            "critic": Player(tuple(self.critic.parameters()), self.game.critic_steps, settings),
            "decoder": Player(tuple(self.decoder.parameters()), 1, settings),
            "encoder": Player(tuple(self.encoder.parameters()), 1, settings),
        }

    def initialize(self, batch: Batch) -> None:
        """Learns the scale of the rows, and the norms of the critic's weights."""
        self.rows.start(batch.x)
        iterate(self.critic, STARTING_ITERATIONS)

    def after_step(self) -> None:
        """Follows the norms of the critic's weights."""
        if self.game.spectral:
            iterate(self.critic)

    def remarks(self, history: Sequence[Mapping[str, float]]) -> list[str]:
        """Says when the decoder has collapsed, or the critic has won."""
        return remarks_on(history, "critic", "decoder")

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        context = None if condition is None else condition.flatten(1)
        real = self.rows.inside(x)
        match player:
            case "critic":
                return self._critic_objective(real, context)
            case "decoder":
                return self._decoder_objective(real, context)
        belief = self._belief(real, context)
        rate, unlike = belief.rates().sum(1), self._unlike(real, self._again(belief, context), context)[0]
        return Objective(rate + unlike, {"rate": rate, "unlike": unlike})

    def _critic_objective(self, real: Tensor, context: Tensor | None) -> Objective:
        with torch.no_grad():
            again, drawn = self._again(self._belief(real, context), context), self._drawn(len(real), context)
        of_real, of_again, of_drawn = self._scores(torch.cat([real, again, drawn]), context).split(len(real))
        loss = 0.5 * (self.game.critic_loss(of_real, of_again) + self.game.critic_loss(of_real, of_drawn))
        coin = rng.uniform(len(real), *[1] * (real.ndim - 1), like=real) < 0.5
        mixed = torch.where(coin, again, drawn)
        penalty = self.game.penalty_of(lambda rows: self._scores(rows, context), real, mixed)
        judged = {} if self.training else told_apart(of_real, of_drawn)
        return Objective(loss + penalty, {"loss": loss, "penalty": penalty, **judged})

    def _decoder_objective(self, real: Tensor, context: Tensor | None) -> Objective:
        with torch.no_grad():
            belief = self._belief(real, context)
        again, drawn = self._again(belief, context), self._drawn(len(real), context)
        unlike, of_again, of_real = self._unlike(real, again, context)
        of_drawn = self._scores(drawn, context)
        loss = 0.5 * (self.game.generator_loss(of_again, of_real) + self.game.generator_loss(of_drawn, of_real))
        judged = {} if self.training else variety(real, drawn)
        return Objective(self.similarity * unlike + loss, {"unlike": unlike, "loss": loss, **judged})

    def _scores(self, rows: Tensor, context: Tensor | None) -> Tensor:
        scores: Tensor = self.critic(rows, alongside(context, len(rows)))[0]
        return scores

    def _unlike(self, real: Tensor, again: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Half the squared distance of the features of reconstructions and of rows; scores of both: all (batch,)."""
        with torch.no_grad():
            of_real, wanted = self.critic(real, context)
        of_again, found = self.critic(again, context)
        return 0.5 * (found - wanted).float().square().sum(1), of_again, of_real

    # In the scale of the networks.

    def _belief(self, real: Tensor, context: Tensor | None) -> Diagonal:
        code = self.encoder(real, context)
        belief: Diagonal = self.head(code.float() if code.dtype == torch.bfloat16 else code)
        return belief

    def _again(self, belief: Diagonal, context: Tensor | None) -> Tensor:
        return self._made(belief.draw(rng.normal_like(belief.loc).unsqueeze(0))[0].squeeze(0), context)

    def _drawn(self, n: int, context: Tensor | None) -> Tensor:
        return self._made(rng.normal(n, self.z_size, like=next(self.parameters())), context)

    def _made(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self.rows.made(self.decoder(z, context))

    # What is asked of it.

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._belief(self.rows.inside(x), None if condition is None else condition.flatten(1)).loc

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.rows.outside(self._made(z, None if condition is None else condition.flatten(1)))

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._decode(self._encode(x, condition), condition)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self.rows.outside(self._drawn(n, None if condition is None else condition.flatten(1)))
