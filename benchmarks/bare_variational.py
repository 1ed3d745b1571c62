"""Variational autoencoders as one would write them by hand, each with one option: no library, no checks.

Each takes x (batch, 784), a condition or None and the number of the step, and gives minus the bound of each row.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.networks.masked import autoregressive_masks

HIDDEN, Z_SIZE, N_VALUES = 200, 50, 784
LOG_TWO_PI = math.log(2 * math.pi)


def deep(n_in: int, n_out: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(n_in, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, n_out)
    )


def distortion(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x | z), summed over values."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def standard(z: Tensor) -> Tensor:
    """log N(z; 0, I)."""
    return -0.5 * (z.square() + LOG_TWO_PI).sum(-1)


class BareVAE(nn.Module):
    """With a weight of the rate, free bits and a condition."""

    def __init__(
        self,
        *,
        code_size: int = 2 * Z_SIZE,
        weight: Callable[[int], float] = lambda step: 1.0,
        free_bits: float = 0.0,
        condition_size: int = 0,
    ) -> None:
        super().__init__()
        self.weight, self.free_bits = weight, free_bits
        self.features = deep(N_VALUES, HIDDEN)[:-1]
        self.head = nn.Linear(HIDDEN + condition_size, code_size)
        self.decoder = deep(Z_SIZE + condition_size, N_VALUES)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The numbers of the code."""
        features = self.features(x)
        return self.head(features if condition is None else torch.cat([features, condition], 1))

    def draw(self, code: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A draw, its noise, and the location and log-scale behind it."""
        loc, log_scale = code.chunk(2, 1)
        log_scale = log_scale.clamp(-12, 6)
        noise = torch.randn_like(loc)
        return loc + log_scale.exp() * noise, noise, loc, log_scale

    def forward(self, x: Tensor, condition: Tensor | None, step: int) -> Tensor:
        """Minus the bound."""
        z, _, loc, log_scale = self.draw(self.encode(x, condition))
        logits = self.decoder(z if condition is None else torch.cat([z, condition], 1))
        rates = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale)
        total = distortion(logits, x) + self.weight(step) * rates.sum(1)
        return total + (self.free_bits - rates.mean(0)).clamp_min(0).sum() if self.free_bits else total


class ImportanceSamples(BareVAE):
    """k samples, with the doubly reparameterized gradient."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x: Tensor, condition: Tensor | None, step: int) -> Tensor:
        """Minus the bound, by its surrogate."""
        loc, log_scale = self.encode(x).chunk(2, 1)
        log_scale = log_scale.clamp(-12, 6)
        z = loc + log_scale.exp() * torch.randn(self.k, *loc.shape)
        fixed_loc, fixed = loc.detach(), log_scale.detach()
        log_q = (-0.5 * (((z - fixed_loc) / fixed.exp()).square() + LOG_TWO_PI) - fixed).sum(-1)
        logits = self.decoder(z.flatten(0, 1))
        log_px = -distortion(logits, x.repeat(self.k, 1)).view(self.k, -1)
        log_weight = log_px + standard(z) - log_q
        share = log_weight.detach().softmax(0)
        z.register_hook(lambda gradient: share.unsqueeze(-1) * gradient)
        return -(share * log_weight).sum(0)


class TotalCorrelation(BareVAE):
    """With the total correlation over the batch."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, x: Tensor, condition: Tensor | None, step: int) -> Tensor:
        """Minus the bound, and the penalty."""
        z, _, loc, log_scale = self.draw(self.encode(x))
        rate = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
        each = -0.5 * (((z[:, None] - loc) / log_scale.exp()).square() + LOG_TWO_PI) - log_scale
        log_n = math.log(len(x))
        correlation = (each.sum(2).logsumexp(1) - log_n - (each.logsumexp(1) - log_n).sum(1)).mean()
        return distortion(self.decoder(z), x) + rate + self.strength * correlation


class Full(BareVAE):
    """With a Cholesky factor."""

    def __init__(self) -> None:
        super().__init__(code_size=2 * Z_SIZE + Z_SIZE * (Z_SIZE - 1) // 2)
        self.row, self.column = torch.tril_indices(Z_SIZE, Z_SIZE, -1)

    def forward(self, x: Tensor, condition: Tensor | None, step: int) -> Tensor:
        """Minus the bound."""
        loc, log_scale, below = self.encode(x).split([Z_SIZE, Z_SIZE, Z_SIZE * (Z_SIZE - 1) // 2], 1)
        log_scale = log_scale.clamp(-12, 6)
        scale = log_scale.exp()
        triangle = torch.diag_embed(scale)
        triangle[:, self.row, self.column] = below * scale[:, self.row]
        z = loc + (triangle @ torch.randn_like(loc).unsqueeze(-1)).squeeze(-1)
        rate = 0.5 * (loc.square().sum(1) + triangle.square().sum((1, 2)) - Z_SIZE) - log_scale.sum(1)
        return distortion(self.decoder(z), x) + rate


class IAF(BareVAE):
    """Two masked affine steps after the normal."""

    def __init__(self, hidden: int = 128, context_size: int = 32) -> None:
        super().__init__(code_size=2 * Z_SIZE + context_size)
        masks = autoregressive_masks(range(Z_SIZE), (hidden,), 2, context_size=context_size)
        self.masks = masks
        self.layers = nn.ModuleList(nn.Linear(mask.shape[1], mask.shape[0]) for mask in masks * 2)

    def forward(self, x: Tensor, condition: Tensor | None, step: int) -> Tensor:
        """Minus the bound."""
        code = self.encode(x)
        z, noise, _, log_scale = self.draw(code[:, : 2 * Z_SIZE])
        context, log_q = code[:, 2 * Z_SIZE :], standard(noise) - log_scale.sum(1)
        for i in (0, 2):
            z = z.flip(1) if i else z
            first, second = self.layers[i], self.layers[i + 1]
            h = F.silu(F.linear(torch.cat([z, context], 1), first.weight * self.masks[0], first.bias))
            raw, shift = F.linear(h, second.weight * self.masks[1], second.bias).chunk(2, 1)
            stretch = 3 * torch.tanh(raw / 3)
            z, log_q = z * stretch.exp() + shift, log_q - stretch.sum(1)
        return distortion(self.decoder(z), x) + log_q - standard(z)


class LearnedPrior(BareVAE):
    """With log p(z) of a subclass, at the draw."""

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z)."""
        raise NotImplementedError

    def forward(self, x: Tensor, condition: Tensor | None, step: int) -> Tensor:
        """Minus the bound."""
        z, noise, _, log_scale = self.draw(self.encode(x))
        return distortion(self.decoder(z), x) + standard(noise) - log_scale.sum(1) - self.log_prior(z)


def mixture(z: Tensor, loc: Tensor, log_scale: Tensor, log_weight: Tensor) -> Tensor:
    """log of a mixture of normals, by matrix products."""
    log_scale = log_scale.clamp_min(-4)
    center, precision = loc.detach().mean(0), (-2 * log_scale).exp()
    z, loc = z - center, loc - center
    squares = z.square() @ precision.T - 2 * z @ (loc * precision).T + (loc.square() * precision).sum(1)
    constant = log_scale.sum(1) + 0.5 * LOG_TWO_PI * Z_SIZE
    return (log_weight - constant - 0.5 * squares).logsumexp(1)


class Mixture(LearnedPrior):
    """A mixture of normals."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.randn(components, Z_SIZE))
        self.log_scale = nn.Parameter(torch.zeros(components, Z_SIZE))
        self.logits = nn.Parameter(torch.zeros(components))

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z)."""
        return mixture(z, self.loc, self.log_scale, self.logits.log_softmax(0))


class Vamp(LearnedPrior):
    """The mixture of the posteriors of pseudo-inputs."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.pseudo = nn.Parameter(torch.rand(components, N_VALUES))

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z)."""
        loc, log_scale = self.encode(self.pseudo).chunk(2, 1)
        return mixture(z, loc, log_scale.clamp(-12, 6), torch.full((len(loc),), -math.log(len(loc))))


class Flow(LearnedPrior):
    """Coupling layers to a standard normal."""

    def __init__(self, n_layers: int, hidden: int = 128) -> None:
        super().__init__()
        half = Z_SIZE // 2
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(half, hidden), nn.SiLU(), nn.Linear(hidden, 2 * half)) for _ in range(n_layers)
        )

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z)."""
        first, second = z.chunk(2, 1)
        log_det = z.new_zeros(len(z))
        for layer in self.layers:
            raw, shift = layer(first).chunk(2, 1)
            stretch = 3 * torch.tanh(raw / 3)
            first, second = second * stretch.exp() + shift, first
            log_det = log_det + stretch.sum(1)
        return standard(torch.cat([first, second], 1)) + log_det


class BareLadder(BareVAE):
    """Two layers of codes, each sharpened by what the rows say."""

    def __init__(self, top: int, width: int) -> None:
        super().__init__(code_size=2 * Z_SIZE + width)
        self.top = top
        self.up = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, 2 * top))
        self.down = nn.Sequential(nn.Linear(top, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, 2 * Z_SIZE))

    def sharpened(self, loc: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
        """A draw from the product with N(0, I), and its rate."""
        precision = (-2 * log_scale).exp()
        loc, log_scale = loc * precision / (1 + precision), -0.5 * precision.log1p()
        rate = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
        return loc + log_scale.exp() * torch.randn_like(loc), rate

    def forward(self, x: Tensor, condition: Tensor | None, step: int) -> Tensor:
        """Minus the bound."""
        low, features = self.encode(x).split([2 * Z_SIZE, self.head.out_features - 2 * Z_SIZE], 1)
        loc, log_scale = self.up(features).chunk(2, 1)
        above, rate = self.sharpened(loc, log_scale.clamp(-6, 6))
        prior_loc, prior_scale = self.down(above).chunk(2, 1)
        prior_scale = prior_scale.clamp(-6, 6)
        loc, log_scale = low.chunk(2, 1)
        own, own_rate = self.sharpened((loc - prior_loc) * (-prior_scale).exp(), log_scale.clamp(-6, 6) - prior_scale)
        z = prior_loc + prior_scale.exp() * own
        return distortion(self.decoder(z), x) + rate + own_rate
