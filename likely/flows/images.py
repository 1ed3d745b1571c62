"""Flows of images and signals: couplings by convolutional networks, at several scales."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from likely.bijections import (
    ActNorm,
    Affine,
    Bijection,
    Chain,
    ImageCoupling,
    InvertibleConvolution,
    MultiScale,
    Permutation,
    Scale,
    Spline,
    Squeeze,
)
from likely.contract import Shape
from likely.flows.design import Design
from likely.networks.activations import Activation

MOST_HALVINGS, LEAST_SIDE = 3, 4
"""Even sides of at least this length are halved, so many times at most."""

LITTLE_IMAGE = 256
"""Values of an image up to which networks are half as wide."""


@dataclass(frozen=True)
class Glow(Design):
    """Activation normalization, an invertible 1 x 1 convolution and a coupling, again and again, at several scales.

    Each scale halves the sides that are even; then half of the channels leave, after one more coupling that moves them
    given those that stay. Of a single channel, fields of a chessboard are coupled instead. Signals have one side.

    Attributes:
        steps: of each scale.
        width: channels of the couplings' networks at the first scale, twice as many at each further one; None chooses
            by the shape.
        blocks: residual blocks of each network.
        dropout: the share of a network's last features that is left out at each training step.
        bins: pieces of the spline that moves each value, where couplings are not affine; 0 leaves them affine.
        activation: of the networks.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), arXiv:1807.03039; with
        splines, Neural Spline Flows (Durkan et al., 2019), arXiv:1906.04032, section 5.2
    """

    steps: int = 8
    width: int | None = None
    blocks: int = 1
    dropout: float = 0.0
    bins: int = 0
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"Glow: steps must be at least 1, got {self.steps}")

    def build(self, x_shape: Shape, context_size: int) -> Bijection:
        """As `Design.build`; takes images (c, h, w) and signals (c, length)."""
        check_has_sides("Glow", x_shape)
        coupling = partial(
            ImageCoupling,
            transformer=Spline(self.bins) if self.bins else Affine(),
            blocks=self.blocks,
            dropout=self.dropout,
            activation=self.activation,
            context_size=context_size,
        )
        width = self.width or 2 * default_width(x_shape)
        n_scales, shape, scales = max(1, halvings(x_shape)), tuple(x_shape), list[Scale]()
        for i in range(n_scales):
            halved, shape = _halved(shape)
            at_this_scale = partial(coupling, shape, width=width * 2**i)
            steps = [step for k in range(self.steps) for step in _glow_step(shape, k, at_this_scale)]
            if i < n_scales - 1:
                steps.append(at_this_scale(flip=True))
            scales.append(Scale(Chain(*halved, *steps), shape))
            shape = (shape[0] - shape[0] // 2, *shape[1:])
        return MultiScale(scales)


def _glow_step(shape: Shape, k: int, coupling: Callable[..., ImageCoupling]) -> list[Bijection]:
    flip = k % 2 == 1
    if shape[0] == 1:
        return [ActNorm(1), coupling(mask="checkerboard", flip=flip)]
    # The halves of the first step are those of a chessboard: nothing says more of a pixel than its neighbors.
    mixing = [InvertibleConvolution(shape[0])] if k else []
    return [ActNorm(shape[0]), *mixing, coupling(flip=flip)]


def real_nvp_of_images(
    x_shape: Shape,
    context_size: int,
    *,
    layers: int = 6,
    width: int | None = None,
    blocks: int = 1,
    dropout: float = 0.0,
    activation: Activation = "relu",
) -> Bijection:
    """Couplings of chessboards, then of channels, with activation normalization before each, at several scales.

    At each scale half of the couplings are of fields of a chessboard; the sides that are even are halved; the others
    are of halves of the channels, of which one then leaves. At the last scale all are of chessboards, or where a single
    pixel is left, of channels.

    Args:
        x_shape: (c, h, w), or (c, length).
        context_size: how many numbers of a context all layers see.
        layers: couplings of each scale.
        width: channels of their networks before the first halving, twice as many after each; None chooses by the shape.
        blocks: residual blocks of each network.
        dropout: the share of a network's last features that is left out at each training step.
        activation: of the networks.

    Raises:
        ValueError: for rows without sides, and rows of a single value.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, sections 3.4 to 3.6 and 4.1
    """
    check_has_sides("RealNVP", x_shape)
    coupling = partial(
        ImageCoupling,
        blocks=blocks,
        dropout=dropout,
        activation=activation,
        context_size=context_size,
    )
    width = width or default_width(x_shape)
    shape, scales = tuple(x_shape), list[Scale]()
    for i in range(halvings(x_shape)):
        boards = partial(coupling, shape, mask="checkerboard", width=width * 2**i)
        steps = list(_normalized(shape[0], layers - layers // 2, boards))
        halved, shape = _halved(shape)
        halves = partial(coupling, shape, mask="channels", width=width * 2 ** (i + 1))
        steps += [*halved, *_rows_apart(shape[0]), *_normalized(shape[0], layers // 2, halves)]
        scales.append(Scale(Chain(*steps), shape))
        shape = (shape[0] - shape[0] // 2, *shape[1:])
    mask = "checkerboard" if math.prod(shape[1:]) > 1 else "channels"
    last = partial(coupling, shape, mask=mask, width=width * 2 ** len(scales))
    scales.append(Scale(Chain(*_normalized(shape[0], layers, last), ActNorm(shape[0])), shape))
    return MultiScale(scales)


def _normalized(channels: int, n: int, coupling: Callable[..., ImageCoupling]) -> Iterator[Bijection]:
    for i in range(n):
        yield ActNorm(channels)
        yield coupling(flip=i % 2 == 1)


def _rows_apart(channels: int) -> list[Bijection]:
    """Makes the halves of squeezed channels the upper and the lower pixels: a chessboard's were coupled already."""
    if channels % 4:
        return []
    quarters = [range(i, i + channels // 4) for i in range(0, channels, channels // 4)]
    return [Permutation([channel for i in (0, 2, 1, 3) for channel in quarters[i]])]


def _halved(shape: Shape) -> tuple[list[Bijection], Shape]:
    """What halves the sides of rows (c, *sides), where there is anything to halve, and their shape after it."""
    if not _can_be_halved(shape):
        return [], shape
    squeeze = Squeeze(shape)
    return [squeeze], squeeze.out_shape


def _can_be_halved(shape: Shape) -> bool:
    return any(side % 2 == 0 and side >= LEAST_SIDE for side in shape[1:])


def halvings(x_shape: Shape) -> int:
    """How often the sides of rows (c, *sides) are halved: 28 x 28 twice, to 7 x 7; 32 x 32 three times; 8 x 8 twice."""
    n, shape = 0, tuple(x_shape)
    while n < MOST_HALVINGS and _can_be_halved(shape):
        n, shape = n + 1, Squeeze(shape).out_shape
    return n


def default_width(x_shape: Shape) -> int:
    """Channels of a network that sees all pixels."""
    return 16 if math.prod(x_shape) <= LITTLE_IMAGE else 32


def check_has_sides(design: str, x_shape: Shape) -> None:
    """Refuses rows that are neither images nor signals.

    Raises:
        ValueError: naming the designs that take them.
    """
    if len(x_shape) not in (2, 3):
        raise ValueError(
            f"{design} takes images (channels, height, width) and signals (channels, length), got rows of shape "
            f"{tuple(x_shape)}; vectors have design=NeuralSpline(), RealNVP(), MAF() and others"
        )
