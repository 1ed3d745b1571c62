"""Flows of vectors; of images, all but RealNVP see no more than their values in a row."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from likely.bijections import (
    ActNorm,
    Additive,
    Autoregressive,
    Bijection,
    Chain,
    Coupling,
    Inverse,
    Marginals,
    Permutation,
    Spline,
    Triangular,
)
from likely.contract import Shape
from likely.flows.design import Design, n_values, of_vectors
from likely.flows.images import real_nvp_of_images

LEAST_WIDTH, MOST_WIDTH = 128, 512


@dataclass(frozen=True)
class NICE(Design):
    """Additive couplings, each half in turn, and a scale for each value at the end.

    Attributes:
        layers: couplings.
        hidden: widths of the network of each; None chooses by the number of values.
        dropout: the share of their hidden values that is left out at each training step.

    Reference: NICE: Non-linear Independent Components Estimation (Dinh et al., 2015), arXiv:1410.8516
    """

    layers: int = 4
    hidden: tuple[int, ...] | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_layers(self, self.layers)

    def build(self, x_shape: Shape, context_size: int) -> Bijection:
        """As `Design.build`; takes rows of at least 2 values."""
        n = n_values(self, x_shape, at_least=2)
        hidden = default_hidden(n) if self.hidden is None else self.hidden
        steps: list[Bijection] = [
            Coupling(
                n,
                hidden,
                transformer=Additive(),
                context_size=context_size,
                flip=i % 2 == 1,
                dropout=self.dropout,
            )
            for i in range(self.layers)
        ]
        return of_vectors(x_shape, [ActNorm(n), *steps, ActNorm(n)])


@dataclass(frozen=True)
class RealNVP(Design):
    """Affine couplings, each half in turn, with activation normalization before each; of images at several scales.

    Attributes:
        layers: couplings, of images at each scale.
        hidden: widths of the network of each. Of images the channels at the first scale, once for each residual block.
            None chooses by the shape.
        dropout: the share of their hidden values that is left out at each training step.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803
    """

    layers: int = 6
    hidden: tuple[int, ...] | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_layers(self, self.layers)

    def build(self, x_shape: Shape, context_size: int) -> Bijection:
        """As `Design.build`; takes images, and vectors of at least 2 values."""
        if len(x_shape) > 1:
            return self._of_images(x_shape, context_size)
        n = n_values(self, x_shape, at_least=2)
        hidden = default_hidden(n) if self.hidden is None else self.hidden

        def layer(i: int) -> Bijection:
            return Coupling(n, hidden, context_size=context_size, flip=i % 2 == 1, dropout=self.dropout)

        return of_vectors(x_shape, normalized(n, self.layers, layer))

    def _of_images(self, x_shape: Shape, context_size: int) -> Bijection:
        build = partial(real_nvp_of_images, x_shape, context_size, layers=self.layers, dropout=self.dropout)
        if self.hidden is None:
            return build()
        if len(set(self.hidden)) != 1:
            raise ValueError(f"RealNVP: hidden of images is one number of channels for all blocks, got {self.hidden}")
        return build(width=self.hidden[0], blocks=len(self.hidden))


@dataclass(frozen=True)
class _AffineAutoregressive(Design):
    """Affine maps of each value given those before it, one way round or the other."""

    layers: int = 5
    hidden: tuple[int, ...] | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_layers(self, self.layers)

    def build(self, x_shape: Shape, context_size: int) -> Bijection:
        """As `Design.build`; takes rows of any shape."""
        n = n_values(self, x_shape)
        hidden = default_hidden(n) if self.hidden is None else self.hidden

        def layer(i: int) -> Bijection:
            step = Autoregressive(n, hidden, context_size=context_size, dropout=self.dropout)
            return Chain(*_turned(n, i), self._as_used(step))

        return of_vectors(x_shape, normalized(n, self.layers, layer))

    @abc.abstractmethod
    def _as_used(self, step: Bijection) -> Bijection:
        """The map from rows, of the map whose way from x to u is one pass."""


@dataclass(frozen=True)
class MAF(_AffineAutoregressive):
    """Masked autoregressive flow: affine, each value given those before it; quick densities, draws of n passes.

    Attributes:
        layers: autoregressive maps; the order turns round from one to the next.
        hidden: widths of the masked network of each; None chooses by the number of values.
        dropout: the share of their hidden values that is left out at each training step.

    Reference: Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017), arXiv:1705.07057
    """

    def _as_used(self, step: Bijection) -> Bijection:
        return step


@dataclass(frozen=True)
class IAF(_AffineAutoregressive):
    """Inverse autoregressive flow: quick draws; densities, and so training, take n passes a layer.

    Attributes:
        layers: autoregressive maps; the order turns round from one to the next.
        hidden: widths of the masked network of each; None chooses by the number of values.
        dropout: the share of their hidden values that is left out at each training step.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016), arXiv:1606.04934
    """

    layers: int = 3

    def _as_used(self, step: Bijection) -> Bijection:
        return Inverse(step)


@dataclass(frozen=True)
class NeuralSpline(Design):
    """A normal with any covariance behind a spline for each value, then layers of splines whose knots the others place.

    The first two start from the data: before the first step the flow is a Gaussian copula, and all that its layers
    learn comes on top of it. They are autoregressive, or couplings of each half in turn.

    Attributes:
        layers: of splines.
        hidden: widths of the network of each; None chooses by the number of values.
        bins: pieces of each spline.
        marginal_bins: pieces of the spline of each value by itself.
        coupling: takes couplings: draws in one pass.
        dropout: the share of the networks' hidden values that is left out at each training step.

    Reference: Neural Spline Flows (Durkan et al., 2019), arXiv:1906.04032
    """

    layers: int = 2
    hidden: tuple[int, ...] | None = None
    bins: int = 8
    marginal_bins: int = 16
    coupling: bool = False
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_layers(self, self.layers)

    def build(self, x_shape: Shape, context_size: int) -> Bijection:
        """As `Design.build`; takes rows of any shape, of at least 2 values where they are coupled."""
        n = n_values(self, x_shape, at_least=2 if self.coupling else 1)
        hidden = default_hidden(n) if self.hidden is None else self.hidden
        spline = Spline(self.bins)

        def layer(i: int) -> Bijection:
            if self.coupling:
                return Chain(
                    Permutation.shuffle(n, i),
                    Coupling(n, hidden, transformer=spline, context_size=context_size, dropout=self.dropout),
                )
            return Chain(
                *_turned(n, i),
                Autoregressive(n, hidden, transformer=spline, context_size=context_size, dropout=self.dropout),
            )

        # A single value depends on no other: its own spline says all, and only a context could place knots.
        linear = [Triangular(n)] if n > 1 else []
        layers = [layer(i) for i in range(self.layers)] if n > 1 or context_size else []
        return of_vectors(x_shape, [Marginals(n, self.marginal_bins), *linear, *layers, ActNorm(n)])


def normalized(n: int, layers: int, layer: Callable[[int], Bijection]) -> list[Bijection]:
    """Layers 0 to `layers` - 1, with activation normalization before each and after the last."""
    return [*(step for i in range(layers) for step in (ActNorm(n), layer(i))), ActNorm(n)]


def default_hidden(n: int) -> tuple[int, ...]:
    """Two layers, with a unit for each value at least where that is affordable: masked ones would lose dependencies."""
    width = min(MOST_WIDTH, max(LEAST_WIDTH, 2 ** math.ceil(math.log2(2 * n))))
    return (width, width)


def check_layers(design: Design, layers: int) -> None:
    """Refuses designs without a layer."""
    if layers < 1:
        raise ValueError(f"{type(design).__name__}: layers must be at least 1, got {layers}")


def _turned(n: int, i: int) -> list[Bijection]:
    return [Permutation.reversal(n)] if i else []
