"""Dropout by noise of this package's own streams."""

from torch import Tensor, nn

from likely.rng import dropout_mask


class Dropout(nn.Module):
    """Leaves out values in training, each with probability p, and makes the others larger by 1 / (1 - p).

    As `nn.Dropout`, but for where the noise comes from: that one draws from torch's process-wide generator.

    Reference: Dropout: A Simple Way to Prevent Neural Networks from Overfitting (Srivastava et al., 2014)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"the share that dropout leaves out must be from 0 to 1, got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x (any shape), with values left out while training."""
        return x * dropout_mask(x, self.p) if self.training and self.p else x

    def extra_repr(self) -> str:
        """As `nn.Module.extra_repr`."""
        return f"p={self.p}"
