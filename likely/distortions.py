"""Distortions: how far a reconstruction is from x, in the terms an autoencoder is trained by.

A likelihood is one, by minus its logarithm, in nats. The others that stand here are no likelihoods: they integrate
to nothing, say so, and appear among an objective's terms under their own name.
"""

import abc
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Shape
from likely.errors import DataError
from likely.likelihoods import Likelihood
from likely.similarity import WINDOW_SIZE, similarity

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of MS-SSIM, from fine to coarse, as viewers weighed them (Wang et al., 2003); fewer are scaled to sum to one."""


class DistortionMeasure(nn.Module, abc.ABC):
    """Compares raw numbers (batch, raw_channels * c, ...) with x (batch, *x_shape)."""

    term: str
    """What it is called among an objective's terms: "distortion" where it is nats."""

    @abc.abstractmethod
    def forward(self, raw: Tensor, x: Tensor) -> Tensor:
        """How far each row is from what was made of it: (batch,)."""

    @abc.abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """The reconstruction that raw stands for: (batch, *x_shape)."""


class Distortion(abc.ABC):
    """What is no likelihood and can be minimized all the same. Its subclasses are frozen dataclasses."""

    raw_channels: int
    """How many raw numbers it reads per value of x."""

    @abc.abstractmethod
    def check(self, domain: str, levels: int) -> None:
        """Refuses data that this is no distortion of.

        Raises:
            DataError: naming what fits.
        """

    @abc.abstractmethod
    def build(self, x_shape: Shape) -> DistortionMeasure:
        """The module that compares raw numbers with x of this shape."""


def measure_of(part: Likelihood | Distortion, x_shape: Shape) -> DistortionMeasure:
    """The measure of a distortion, or of a likelihood: minus its logarithm, in nats."""
    return _Surprisal(part, x_shape) if isinstance(part, Likelihood) else part.build(x_shape)


class _Surprisal(DistortionMeasure):
    term = "distortion"

    def __init__(self, likelihood: Likelihood, x_shape: Shape) -> None:
        super().__init__()
        self.observation = likelihood.build(x_shape)

    def forward(self, raw: Tensor, x: Tensor) -> Tensor:
        surprisal: Tensor = -self.observation(raw).log_prob(x)
        return surprisal

    def mean(self, raw: Tensor) -> Tensor:
        mean: Tensor = self.observation(raw).mean
        return mean


@dataclass(frozen=True)
class CrossEntropy(Distortion):
    """-sum_i x_i log m_i + (1 - x_i) log(1 - m_i) with m = sigmoid(raw), on values in [0, 1].

    Its gradient by raw is m - x, whatever the sigmoid's slope. On gray values it is no likelihood, for its
    exponential does not integrate to one, and its least value is not zero but the entropy of x; for a density take
    ContinuousBernoulli. On bits it is Bernoulli's.

    Reference: Extracting and Composing Robust Features with Denoising Autoencoders (Vincent et al., 2008),
        equation 2
    """

    raw_channels = 1

    def check(self, domain: str, levels: int) -> None:
        """As `Distortion.check`: anything in [0, 1] fits."""
        _check_unit(self, domain)

    def build(self, x_shape: Shape) -> DistortionMeasure:
        """As `Distortion.build`; takes any shape."""
        return _CrossEntropyMeasure()


class _CrossEntropyMeasure(DistortionMeasure):
    term = "cross_entropy"

    def forward(self, raw: Tensor, x: Tensor) -> Tensor:
        each = F.binary_cross_entropy_with_logits(_precise(raw), _precise(x), reduction="none")
        return each.flatten(1).sum(1)

    def mean(self, raw: Tensor) -> Tensor:
        return _precise(raw).sigmoid()


@dataclass(frozen=True)
class SSIM(Distortion):
    """(1 - structural similarity) times the number of values, on images in [0, 1]; the mean is sigmoid(raw).

    It asks for the same edges and textures rather than for the same values, and has no probability behind it. Between
    zero for the same image and the number of values for one that has nothing to do with x, it stands beside rates and
    penalties where cross-entropy would. Channels are compared one by one and averaged.

    Attributes:
        scales: how many times the image is looked at, each time at half the size (MS-SSIM); None for as many, up to
            five, as leave a side of 11 pixels, its window: five from 176 pixels on, one under 22.

    Reference: Image quality assessment: from error visibility to structural similarity (Wang et al., 2004); for
        several scales Multiscale structural similarity for image quality assessment (Wang et al., 2003)
    """

    scales: int | None = None

    raw_channels = 1

    def __post_init__(self) -> None:
        if self.scales is not None and not 1 <= self.scales <= len(SCALE_WEIGHTS):
            raise ValueError(f"SSIM: scales must be 1 to {len(SCALE_WEIGHTS)}, got {self.scales}")

    def check(self, domain: str, levels: int) -> None:
        """As `Distortion.check`: images in [0, 1] fit."""
        _check_unit(self, domain)

    def build(self, x_shape: Shape) -> DistortionMeasure:
        """As `Distortion.build`; x_shape must be (channels, height, width), with sides of two pixels at least.

        Raises:
            DataError: if it is no image, or too small for the scales.
        """
        if len(x_shape) != 3 or min(x_shape[1:]) < 2:
            raise DataError(
                f"SSIM compares images of at least 2 x 2 pixels, (channels, height, width), and rows here have "
                f"shape {x_shape}; for anything else take Gaussian, or CrossEntropy for values in [0, 1]"
            )
        side = min(x_shape[1:])
        fitting = sum(side >= WINDOW_SIZE << scale for scale in range(len(SCALE_WEIGHTS))) or 1
        if self.scales is not None and self.scales > fitting:
            needed = WINDOW_SIZE << (self.scales - 1)
            raise DataError(
                f"SSIM with {self.scales} scales needs images of at least {needed} x {needed} pixels, and these are "
                f"{x_shape[1]} x {x_shape[2]}: set scales={fitting}, or leave it out"
            )
        return _SSIMMeasure(math.prod(x_shape), self.scales or fitting)


class _SSIMMeasure(DistortionMeasure):
    term = "ssim"

    def __init__(self, n_values: int, scales: int) -> None:
        super().__init__()
        self.n_values = n_values
        self.weights = [weight / sum(SCALE_WEIGHTS[:scales]) for weight in SCALE_WEIGHTS[:scales]]

    def forward(self, raw: Tensor, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # variances are differences of what is nearly the same
            return self.n_values * (1 - self._similarity(_precise(x), self.mean(raw)))

    def mean(self, raw: Tensor) -> Tensor:
        return _precise(raw).sigmoid()

    def _similarity(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch,): the weighted geometric mean over scales, of structure alone but for the coarsest."""
        *finer, coarsest = self.weights
        product = torch.ones((), dtype=x.dtype, device=x.device)
        for weight in finer:
            structure = similarity(x, y, data_range=1.0)[1]
            product = product * _above_zero(structure.mean((2, 3))) ** weight
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        luminance, structure = similarity(x, y, data_range=1.0)
        whole = (luminance * structure).mean((2, 3))
        return (product * (_above_zero(whole) ** coarsest if finer else whole)).mean(1)


def _above_zero(value: Tensor, floor: float = 0.01) -> Tensor:
    """The value where it is at least `floor`; below, a smooth and rising curve that stays above zero.

    A broken power of a negative number is none, and cut off at zero it would have no gradient to leave from.
    """
    return torch.where(value < floor, floor**2 / (2 * floor - value.clamp_max(floor)), value)


def _check_unit(part: Distortion, domain: str) -> None:
    if domain == "real":
        raise DataError(f"{type(part).__name__} is for values in [0, 1], and this data is real; take Gaussian")


def _precise(value: Tensor) -> Tensor:
    """In float32 at least: networks may run in bfloat16, sums over a row may not."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
