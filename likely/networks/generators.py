"""Generators: noise, and what is asked of it, to rows."""

import math
from itertools import pairwise

from torch import Tensor, nn

from likely.adversarial.games import Game, NonSaturating, Relativistic
from likely.contract import Shape
from likely.networks.context import with_context
from likely.networks.convolutions import ChannelsLast, ToSize, halved_sizes, keep_variance

LEAK = 0.2
"""Of leaky rectifiers: the slope where they are closed, so that a critic has a gradient everywhere."""

LEAST_SIDE = 16
"""Images of this side, and larger, get convolutions; below, dense layers learn faster."""

LEAST_RESIDUAL_SIDE = 48
"""And from this side on, residual blocks, which cost several times as much a step."""

DENSE_UNITS = 16
"""In the dense layer of a convolutional network, for each channel of its largest map."""


class Generator(nn.Module):
    """Noise and a context, side by side, to raw numbers over x.

    Args:
        trunk: (batch, z_size + context_size) to (batch, *x_shape).
        context_size: numbers of a condition, 0 for none.
    """

    def __init__(self, trunk: nn.Module, context_size: int = 0) -> None:
        super().__init__()
        self.trunk, self.context_size = trunk, context_size

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(batch, *x_shape), unbounded, from z (batch, z_size)."""
        raw: Tensor = self.trunk(with_context(z, context, self.context_size))
        return raw


class RowNorm(nn.Module):
    """Each pixel's channels brought to a mean square of one: of this row and no other.

    Reference: Progressive Growing of GANs (Karras et al., 2018), arXiv:1710.10196, section 4.2
    """

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class ResidualUp(nn.Module):
    """x repeated to twice its side (or one pixel less), and beside it two convolutions.

    Reference: Improved Training of Wasserstein GANs (Gulrajani et al., 2017), arXiv:1704.00028, appendix F
    """

    def __init__(self, n_in: int, n_out: int, size: Shape) -> None:
        super().__init__()
        self.doubled = nn.Sequential(nn.Upsample(scale_factor=2), ToSize(size))
        self.inner = nn.Sequential(
            RowNorm(),
            nn.ReLU(),
            self.doubled,
            nn.Conv2d(n_in, n_out, 3, padding=1),
            RowNorm(),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1),
        )
        self.beside = nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.doubled(self.beside(x)) + self.inner(x)) * math.sqrt(0.5)


def build_generator(x_shape: Shape, z_size: int, context_size: int = 0, *, width: int | None = None) -> Generator:
    """A generator of rows of this shape: dense for vectors and small images, else convolutions.

    From 48 pixels they are residual.

    Args:
        x_shape: of one row.
        z_size: size of the noise.
        context_size: numbers of a condition that it sees, 0 for none.
        width: of the dense layers, or channels of the largest maps; by default chosen by the shape.
    """
    check_positive("width", width)
    n = z_size + context_size
    trunk = _image_trunk(x_shape, n, width) if is_large_image(x_shape) else _dense_trunk(x_shape, n, width)
    keep_variance(trunk[:-1])
    return Generator(trunk, context_size)


def _dense_trunk(x_shape: Shape, n: int, width: int | None) -> nn.Sequential:
    width = width or dense_width(x_shape)
    hidden = [layer for a, b in pairwise((n, width, width, width)) for layer in (nn.Linear(a, b), nn.ReLU())]
    last = nn.Sequential(nn.Linear(width, math.prod(x_shape)), nn.Unflatten(1, x_shape))
    return nn.Sequential(*hidden, last)


def _image_trunk(x_shape: Shape, n: int, width: int | None) -> nn.Sequential:
    channels, residual = map_channels(x_shape, width)
    sizes = halved_sizes(x_shape[1:], len(channels))
    start = (channels[-1], *sizes[-1])
    # A dense layer is where the parts of an image agree on what it is of: maps see no farther than their windows.
    hidden = dense_units(channels)
    stages: list[nn.Module] = [nn.Linear(n, hidden), nn.ReLU(), nn.Linear(hidden, math.prod(start))]
    stages += [nn.Unflatten(1, start), ChannelsLast()]
    pairs = list(pairwise(channels[::-1]))
    if residual:
        pairs = [*pairs, (channels[0], channels[0])]
        stages += [ResidualUp(a, b, size) for (a, b), size in zip(pairs, sizes[-2::-1], strict=True)]
        return nn.Sequential(*stages, RowNorm(), nn.ReLU(), nn.Conv2d(channels[0], x_shape[0], 3, padding=1))
    for (a, b), size in zip([*pairs, (channels[0], x_shape[0])], sizes[-2::-1], strict=True):
        stages += [RowNorm(), nn.ReLU(), nn.Sequential(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), ToSize(size))]
    return nn.Sequential(*stages)


def default_noise_size(x_shape: Shape) -> int:
    """How many numbers of noise a generator of rows of this shape is given: as many as there are values, at most 128.

    More than that would make a generator of few values learn to ignore the rest.
    """
    return min(128, max(2, math.prod(x_shape)))


def default_learning_rate(x_shape: Shape, width: int | None = None) -> float:
    """The highest rate of both players of a game over rows of this shape; wider layers take smaller steps.

    Images in color take half that of gray ones: at the same rate generators of CIFAR-10's photographs collapsed.
    """
    if is_large_image(x_shape):
        return 2e-3 if x_shape[0] == 1 else 1e-3
    return 4e-3 * min(1.0, 128 / (width or dense_width(x_shape)))


def default_game(x_shape: Shape) -> Game:
    """The game that covered all modes of small problems, with a penalty that suits the shape of rows.

    Critics of large images are soon far ahead. With a tenth of the penalty generators of MNIST's digits collapsed, and
    without the rows beside them those of CIFAR-10's photographs. A quarter of the slopes costs a quarter less time.
    """
    if is_large_image(x_shape):
        return Relativistic(penalty=1.0, penalized=0.25)
    return NonSaturating(penalty=0.01 if len(x_shape) == 1 else 0.1)


def is_large_image(x_shape: Shape) -> bool:
    """Whether rows are images large enough for convolutions."""
    return len(x_shape) == 3 and min(x_shape[1:]) >= LEAST_SIDE


def dense_width(x_shape: Shape) -> int:
    """The width of dense layers for rows of this shape."""
    return min(512, max(128, 2 ** math.ceil(math.log2(2 * math.prod(x_shape)))))


def map_channels(x_shape: Shape, width: int | None) -> tuple[tuple[int, ...], bool]:
    """Channels from the largest map to the smallest, of about 4 x 4 to 7 x 7, and whether the blocks are residual."""
    side = min(x_shape[1:])
    width = width or 32
    residual = side >= LEAST_RESIDUAL_SIDE
    n_stages = max(1, min(6, round(math.log2(side / 5))))
    return tuple(width * min(4, 2**stage) for stage in range(n_stages)), residual


def dense_units(channels: tuple[int, ...]) -> int:
    """Units of the dense layer beside the smallest map."""
    return DENSE_UNITS * channels[0]


def check_positive(name: str, value: int | None) -> None:
    """Refuses, by ValueError, a size below 1."""
    if value is not None and value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
