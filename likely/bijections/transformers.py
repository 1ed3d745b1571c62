"""Transformers: maps of single values whose numbers a network gives."""

import abc
from dataclasses import dataclass

from torch import Tensor

from likely.bijections.bijection import bounded


class Transformer(abc.ABC):
    """A rising map of one value, with so many raw numbers for it. Its subclasses are frozen dataclasses.

    Where all raw numbers are zero it is the identity, so that a network which starts at zero starts it as that.
    """

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """How many raw numbers it reads per value."""

    @abc.abstractmethod
    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, *shape), raw (batch, outputs, *shape): y and log dy/dx, both (batch, *shape)."""

    @abc.abstractmethod
    def inverse(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """y (batch, *shape), raw (batch, outputs, *shape): x and log dx/dy, both (batch, *shape)."""


@dataclass(frozen=True)
class Additive(Transformer):
    """y = x + t.

    Reference: NICE: Non-linear Independent Components Estimation (Dinh et al., 2015), arXiv:1410.8516, equation 6
    """

    @property
    def outputs(self) -> int:
        """As `Transformer.outputs`."""
        return 1

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """As `Transformer.forward`."""
        shift = raw[:, 0]
        return x + shift, shift.new_zeros(x.shape)

    def inverse(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """As `Transformer.inverse`."""
        shift = raw[:, 0]
        return y - shift, shift.new_zeros(y.shape)


@dataclass(frozen=True)
class Affine(Transformer):
    """y = x exp(s) + t, |s| below 3.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, equation 7
    """

    @property
    def outputs(self) -> int:
        """As `Transformer.outputs`."""
        return 2

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """As `Transformer.forward`."""
        log_scale = bounded(raw[:, 0])
        return x * log_scale.exp() + raw[:, 1], log_scale

    def inverse(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """As `Transformer.inverse`."""
        log_scale = bounded(raw[:, 0])
        return (y - raw[:, 1]) * (-log_scale).exp(), -log_scale
