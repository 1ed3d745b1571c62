"""What convolutional networks are made of, in one dimension (signals) and two (images)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from likely.contract import Shape

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: dict[int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
}

Act = Callable[[], nn.Module]


def cropped(x: Tensor, size: Shape) -> Tensor:
    """The top left of (batch, c, ...): (batch, c, *size)."""
    for axis, side in enumerate(size, 2):
        x = x.narrow(axis, 0, side)
    return x


class ToSize(nn.Module):
    """Cuts (batch, c, ...) to a height and a width, or a length, from the top left."""

    def __init__(self, size: Shape) -> None:
        super().__init__()
        self.size = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        return cropped(x, self.size)


class ChannelsLast(nn.Module):
    """Lays images out as the convolutions of every backend like them best; signals stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


class ResidualBlock(nn.Module):
    """x + f(x), f two convolutions that start at zero, so that any depth starts as nothing.

    Reference: Identity Mappings in Deep Residual Networks (He et al., 2016), arXiv:1603.05027
    """

    def __init__(self, n_channels: int, n_dims: int, act: Act) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[n_dims]
        first, last = (convolution(n_channels, n_channels, 3, padding=1) for _ in range(2))
        self.inner = nn.Sequential(act(), first, act(), last)
        self.start_at_zero()

    @torch.no_grad()
    def start_at_zero(self) -> None:
        """Makes the block the identity."""
        for parameter in self.inner[3].parameters():
            parameter.zero_()

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.inner(x)
        return x + residual


def keep_variance(layers: nn.Module) -> None:
    """Starts layers so that activations keep their size on the way: PyTorch's own start shrinks them layer by layer.

    Residual blocks still start as nothing.

    Reference: Delving Deep into Rectifiers (He et al., 2015), arXiv:1502.01852, equation 10
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    for block in layers.modules():
        if isinstance(block, ResidualBlock):
            block.start_at_zero()


def halved_sizes(size: Shape, n_stages: int) -> list[Shape]:
    """The size of a map, and what it is after each of `n_stages` halvings that round up."""
    sizes = [tuple(size)]
    for _ in range(n_stages):
        sizes.append(tuple(math.ceil(side / 2) for side in sizes[-1]))
    return sizes


def check_is_map(x_shape: Shape, network: str) -> None:
    """Refuses rows without axes to convolve over.

    Raises:
        ValueError: telling what is taken.
    """
    if len(x_shape) not in (2, 3):
        raise ValueError(
            f"{network} takes images (channels, height, width) and signals (channels, length), got rows of shape "
            f"{tuple(x_shape)}; for tables there are MLP among the networks, and made and nade among exact densities"
        )
