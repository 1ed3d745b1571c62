"""Codes: from rows to them, back, and both in turn."""

import abc
from typing import final

from torch import Tensor

from likely.contract.model import Model, Shape


class Encoder(Model):
    """Maps rows to codes of shape `z_shape`."""

    z_shape: Shape

    @final
    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The code of each row, deterministic: the posterior mean where there is a posterior.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *z_shape).
        """
        self._check("x", x, self.x_shape, condition)
        return self._encode(x, condition)

    @abc.abstractmethod
    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor: ...


class Decoder(Model):
    """Maps codes of shape `z_shape` to rows."""

    z_shape: Shape

    @final
    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The mean of x given each code.

        Args:
            z: (batch, *z_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *x_shape).
        """
        self._check("z", z, self.z_shape, condition)
        return self._decode(z, condition)

    @abc.abstractmethod
    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor: ...


class Reconstructor(Model):
    """Sends rows through the code and back."""

    @final
    def reconstruct(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Each row as the model sees it again: through the code and back.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *x_shape).
        """
        self._check("x", x, self.x_shape, condition)
        return self._reconstruct(x, condition)

    @abc.abstractmethod
    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor: ...
