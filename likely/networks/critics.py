"""Critics: rows to one score each, and the features that the score is read from.

No layer mixes rows: the score of a row is its own, in training too, so that its slope is.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from likely import rng
from likely.adversarial.spectral import normalize_spectra
from likely.contract import Shape
from likely.networks.context import check_context
from likely.networks.convolutions import ChannelsLast, halved_sizes, keep_variance
from likely.networks.generators import LEAK, check_positive, dense_units, dense_width, is_large_image, map_channels

KINKS = 2.0
"""How far from the mean, in standard deviations, the first units of a dense critic bend at the start."""


class Critic(nn.Module):
    """Scores rows by their features; a context is judged by how it goes with them (projection).

    score(x, c) = w . f(x) + b + (V c) . f(x)

    Args:
        trunk: (batch, *x_shape) to features (batch, n_features).
        n_features: how many features that is.
        context_size: numbers of a condition, 0 for none.

    Reference: cGANs with Projection Discriminator (Miyato & Koyama, 2018), arXiv:1802.05637, equation 5
    """

    def __init__(self, trunk: nn.Module, n_features: int, context_size: int = 0) -> None:
        super().__init__()
        self.trunk, self.n_features, self.context_size = trunk, n_features, context_size
        self.head = nn.Linear(n_features, 1)
        self.projection = nn.Linear(context_size, n_features, bias=False) if context_size else None

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores (batch,) and features (batch, n_features) of x (batch, *x_shape)."""
        check_context(context, self.context_size)
        features: Tensor = self.trunk(x)
        scores: Tensor = self.head(features).squeeze(1)
        if self.projection is not None:
            # The root keeps both addends of one size, whatever the number of features.
            scores = scores + (self.projection(context) * features).sum(1) / math.sqrt(self.n_features)
        return scores, features


class ResidualDown(nn.Module):
    """x averaged down to half its side, and beside it two convolutions that start as nothing.

    Reference: Improved Training of Wasserstein GANs (Gulrajani et al., 2017), arXiv:1704.00028, appendix F
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        act = nn.LeakyReLU(LEAK)
        self.inner = nn.Sequential(
            act,
            nn.Conv2d(n_in, n_out, 3, padding=1),
            act,
            nn.Conv2d(n_out, n_out, 3, padding=1),
        )
        self.beside = nn.Conv2d(n_in, n_out, 1)
        self.halved = nn.AvgPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        return (self.halved(self.beside(x)) + self.halved(self.inner(x))) * math.sqrt(0.5)


def build_critic(x_shape: Shape, context_size: int = 0, *, spectral: bool = False, width: int | None = None) -> Critic:
    """A critic of rows of this shape: dense for vectors and small images, else convolutions.

    From 48 pixels they are residual.

    Args:
        x_shape: of one row.
        context_size: numbers of a condition that it sees, 0 for none.
        spectral: whether every layer is spectrally normalized.
        width: of the dense layers, or channels of the largest maps; by default chosen by the shape.
    """
    check_positive("width", width)
    critic = Critic(*build_features(x_shape, width), context_size)
    if spectral:
        normalize_spectra(critic)
    return critic


def build_features(x_shape: Shape, width: int | None = None) -> tuple[nn.Module, int]:
    """What a critic reads its score from: (batch, *x_shape) to (batch, n), and n."""
    if is_large_image(x_shape):
        trunk, n_features = _image_trunk(x_shape, width)
        keep_variance(trunk)
        return trunk, n_features
    trunk, n_features = _dense_trunk(x_shape, width)
    keep_variance(trunk)
    first = trunk[1]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        # Units bend all over the rows, and not at their mean alone: small differences between rows tell early.
        first.bias.copy_(KINKS * (2 * rng.uniform_like(first.bias) - 1) * first.weight.norm(dim=1))
    return trunk, n_features


def _dense_trunk(x_shape: Shape, width: int | None) -> tuple[nn.Sequential, int]:
    width = width or dense_width(x_shape)
    sizes = (math.prod(x_shape), width, width, width)
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU(LEAK))]
    return nn.Sequential(nn.Flatten(), *layers), width


def _image_trunk(x_shape: Shape, width: int | None) -> tuple[nn.Module, int]:
    channels, residual = map_channels(x_shape, width)
    smallest = halved_sizes(x_shape[1:], len(channels))[-1]
    stages: list[nn.Module] = [ChannelsLast()]
    if residual:
        stages += [nn.Conv2d(x_shape[0], channels[0], 3, padding=1)]
        stages += [ResidualDown(a, b) for a, b in pairwise((channels[0], *channels))]
        stages += [nn.LeakyReLU(LEAK)]
    else:
        for a, b in pairwise((x_shape[0], *channels)):
            # Five pixels wide: each output pixel sees its surroundings at odd and even sides alike.
            stages += [nn.Conv2d(a, b, 5, stride=2, padding=2), nn.LeakyReLU(LEAK)]
    # As in the generator: a score that was linear in the smallest map would judge its parts one by one.
    hidden = dense_units(channels)
    stages += [nn.Flatten(), nn.Linear(channels[-1] * math.prod(smallest), hidden), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*stages), hidden
