"""Decoders that are their encoder transposed: half the weights, which live, and are saved, with the encoder.

A transposed layer keeps its partner inside a tuple, where PyTorch does not look for modules: so the weight is
saved once, and a model that is rebuilt or copied is tied again by its own construction.

Reference: Learning Deep Architectures for AI (Bengio, 2009), section 4.6
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Shape


class TransposedLinear(nn.Module):
    """z to z W + b, where the partner maps x to x W^T + c; b is its own."""

    def __init__(self, partner: nn.Linear) -> None:
        super().__init__()
        self._partner = (partner,)
        self.bias = nn.Parameter(torch.zeros(partner.in_features))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self._partner[0].weight.T, self.bias)


class TransposedConvolution(nn.Module):
    """The adjoint of a convolution, in one dimension or alike in two, from its output back to `size`, and a bias.

    Args:
        partner: the convolution.
        size: height and width, or length, of what the partner takes.
    """

    def __init__(self, partner: nn.Conv1d | nn.Conv2d, size: Shape) -> None:
        super().__init__()
        self._partner, self.size = (partner,), tuple(size)
        self.stride, self.kernel_size = partner.stride[0], partner.kernel_size[0]
        self.padding = int(partner.padding[0])
        self.bias = nn.Parameter(torch.zeros(partner.in_channels))

    def forward(self, z: Tensor) -> Tensor:
        partner = self._partner[0]
        transposed = F.conv_transpose1d if isinstance(partner, nn.Conv1d) else F.conv_transpose2d
        # What rounding down lost on the way up has to be said on the way back.
        smallest = [(s - 1) * self.stride + self.kernel_size - 2 * self.padding for s in z.shape[2:]]
        lost = [size - least for size, least in zip(self.size, smallest, strict=True)]
        x: Tensor = transposed(z, partner.weight, self.bias, self.stride, self.padding, lost)
        return x


def check_tied(code_size: int, z_size: int, raw_channels: int, condition_size: int, linear_path: bool) -> None:
    """Refuses what no transposed encoder can give.

    Raises:
        ValueError: naming what stands in the way.
    """
    if linear_path:
        raise ValueError("tied=True has no linear path: give linear_path=False")
    if raw_channels != 1 or code_size != z_size or condition_size:
        raise ValueError(
            "tied=True needs a decoder as large as its encoder: one raw number per value of x (such as "
            "Gaussian(scale=1.0)), a code that is not a distribution, and no condition; give tied=False"
        )
