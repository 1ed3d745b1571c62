"""Corruptions that take something away and say what: what is missing, smaller, or gray."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from likely import contract, rng
from likely.contract import Shape
from likely.corruptions.noise import Kept
from likely.corruptions.operators import Corruption, LinearOperator, start
from likely.errors import UserError

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are, as cameras and Pillow weigh them (ITU-R BT.601)."""

DEFAULT_ERASED = 0.5


@dataclass(frozen=True)
class Erasing(Corruption):
    """Leaves NaN in the place of values: what is missing, and known to be.

    A pixel of an image (a point of a signal) is lost with all its channels, a value of a vector by itself.

    Attributes:
        probability: that a pixel or value is lost; 0.5 where neither this nor a box is given.
        box: (height, width) of a rectangle that is lost somewhere in each image instead; (length,) in a signal.
    """

    probability: float | None = None
    box: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.probability is not None and self.box is not None:
            raise ValueError("Erasing takes a probability or a box, not both")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError(f"Erasing: probability must be from 0 to 1, got {self.probability}")
        if self.box is not None and min(self.box, default=0) < 1:
            raise ValueError(f"Erasing: the sides of a box must be at least 1, got {self.box}")

    def check(self, x_shape: Shape) -> None:
        """As `Corruption.check`."""
        sides = x_shape[1:]
        fits = self.box is None or (len(self.box) == len(sides) and all(map(int.__le__, self.box, sides)))
        if not fits:
            raise ValueError(f"Erasing: a box of {self.box} does not fit into rows of shape {x_shape}")

    def draw(self, x: Tensor) -> Kept:
        """As `Corruption.draw`."""
        x_shape = tuple(x.shape[1:])
        self.check(x_shape)
        lost = self._somewhere(x) if self.box is not None else self._anywhere(x)
        return Kept(x_shape, ~lost.expand_as(x), torch.nan)

    def behind(self, y: Tensor, x_shape: Shape) -> Kept:
        """As `Corruption.behind`: what is NaN is what was lost."""
        return Kept(x_shape, ~y.isnan(), torch.nan)

    def _anywhere(self, x: Tensor) -> Tensor:
        one_channel = x[:, :1] if x.ndim > 2 else x
        return rng.uniform_like(one_channel) < (DEFAULT_ERASED if self.probability is None else self.probability)

    def _somewhere(self, x: Tensor) -> Tensor:
        lost = torch.ones(len(x), *[1] * (x.ndim - 1), dtype=torch.bool, device=x.device)
        for axis, side in enumerate(self.box or (), 2):
            along = [1] * (x.ndim - 1)
            along[axis - 1] = x.shape[axis]
            at = torch.arange(x.shape[axis], device=x.device).view(1, *along)
            first = rng.integers(x.shape[axis] - side + 1, len(x), *[1] * (x.ndim - 1), like=x)
            lost = lost & (at >= first) & (at < first + side)
        return lost


def missing_values(y: Tensor, operator: contract.Operator) -> Kept:
    """The operator, where it is one that leaves values out.

    Args:
        y: (batch, *x_shape), NaN where something is missing.
        operator: what became of x.

    Raises:
        UserError: if it does something else.
        ValueError: if y has not the shape of what it gives.
    """
    if isinstance(operator, Kept) and math.isnan(operator.fill):
        start(y, operator)  # says what is wrong with the shape of y
        return operator
    raise UserError(
        f"this model fills in what is missing, and {type(operator).__name__} is something else; name what was erased "
        "(Erasing), or fit denoising_autoencoder, which undoes what it is taught"
    )


@dataclass(frozen=True)
class Truncation(Corruption):
    """Leaves the beginning of each row and NaN after it: the upper part of an image, the first of a signal or vector.

    Attributes:
        kept: the share that is left, rounded to whole rows of pixels, points or values.
    """

    kept: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= 1:
            raise ValueError(f"Truncation: kept must be from 0 to 1, got {self.kept}")

    def draw(self, x: Tensor) -> Kept:
        """As `Corruption.draw`: nothing about it is random."""
        axis = 1 if x.ndim == 2 else 2
        along = torch.arange(x.shape[axis], device=x.device) < round(self.kept * x.shape[axis])
        return Kept(tuple(x.shape[1:]), along.view(-1, *[1] * (x.ndim - axis - 1)).expand_as(x), torch.nan)

    def behind(self, y: Tensor, x_shape: Shape) -> Kept:
        """As `Corruption.behind`: what is NaN is what was lost."""
        return Kept(x_shape, ~y.isnan(), torch.nan)


def _off(y: Tensor, mapped: Tensor) -> Tensor:
    """What is missing to y; nothing where y itself is."""
    return torch.where(y.isnan(), 0, y - mapped)


@dataclass(frozen=True)
class Averaged(LinearOperator):
    """y is the mean of each window of x; windows at the end may be smaller."""

    x_shape: Shape
    factor: int

    @property
    def y_shape(self) -> Shape:
        """As `LinearOperator.y_shape`."""
        return (self.x_shape[0], *(math.ceil(side / self.factor) for side in self.x_shape[1:]))

    def apply(self, x: Tensor) -> Tensor:
        """As `Operator.apply`."""
        pool = F.avg_pool1d if x.ndim == 3 else F.avg_pool2d
        return pool(x, self._windows, ceil_mode=True)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """As `LinearOperator.project`: each window is moved to the mean that y gives it."""
        off = _off(y, self.apply(x))
        for axis, (side, window) in enumerate(zip(self.x_shape[1:], self._windows, strict=True), 2):
            off = off.repeat_interleave(window, axis).narrow(axis, 0, side)
        return x + off

    @property
    def _windows(self) -> tuple[int, ...]:
        return tuple(min(self.factor, side) for side in self.x_shape[1:])


@dataclass(frozen=True)
class Downsampling(Corruption):
    """Makes images and signals smaller, by the mean of windows of `factor` x `factor`.

    Sides that `factor` does not divide end in smaller windows.
    """

    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise ValueError(f"Downsampling: factor must be at least 2, got {self.factor}")

    def check(self, x_shape: Shape) -> None:
        """As `Corruption.check`: a row of features has no neighbours to average."""
        if len(x_shape) not in (2, 3):
            raise ValueError(f"Downsampling is of images (c, h, w) and signals (c, length), and x_shape is {x_shape}")

    def y_shape(self, x_shape: Shape) -> Shape:
        """As `Corruption.y_shape`."""
        return Averaged(x_shape, self.factor).y_shape

    def draw(self, x: Tensor) -> Averaged:
        """As `Corruption.draw`: nothing about it is random."""
        return self.behind(x, tuple(x.shape[1:]))

    def behind(self, y: Tensor, x_shape: Shape) -> Averaged:
        """As `Corruption.behind`."""
        self.check(x_shape)
        return Averaged(x_shape, self.factor)


@dataclass(frozen=True)
class Weighed(LinearOperator):
    """y has one channel: the sum of those of x, each by its weight."""

    x_shape: Shape
    weights: tuple[float, ...]

    @property
    def y_shape(self) -> Shape:
        """As `LinearOperator.y_shape`."""
        return (1, *self.x_shape[1:])

    def apply(self, x: Tensor) -> Tensor:
        """As `Operator.apply`."""
        return (self._weights(x) * x).sum(1, keepdim=True)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """As `LinearOperator.project`: x is moved along the weights, which is the shortest way."""
        w = self._weights(x)
        return x + _off(y, self.apply(x)) * w / w.square().sum()

    def _weights(self, x: Tensor) -> Tensor:
        return torch.tensor(self.weights, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.ndim - 2))


@dataclass(frozen=True)
class Grayscale(Corruption):
    """Makes color images gray: restoring them is colorization.

    Attributes:
        weights: of red, green and blue; by default their brightness, as programs turn photographs gray by.
    """

    weights: tuple[float, float, float] = LUMA

    def __post_init__(self) -> None:
        if not math.isclose(sum(self.weights), 1, abs_tol=1e-6):
            raise ValueError(f"Grayscale: weights must sum to 1, so that white stays white; got {self.weights}")

    def check(self, x_shape: Shape) -> None:
        """As `Corruption.check`."""
        if len(x_shape) != 3 or x_shape[0] != 3:
            raise ValueError(f"Grayscale is of images of 3 channels (3, h, w), and x_shape is {x_shape}")

    def y_shape(self, x_shape: Shape) -> Shape:
        """As `Corruption.y_shape`."""
        return Weighed(x_shape, self.weights).y_shape

    def draw(self, x: Tensor) -> Weighed:
        """As `Corruption.draw`: nothing about it is random."""
        return self.behind(x, tuple(x.shape[1:]))

    def behind(self, y: Tensor, x_shape: Shape) -> Weighed:
        """As `Corruption.behind`."""
        self.check(x_shape)
        return Weighed(x_shape, self.weights)
