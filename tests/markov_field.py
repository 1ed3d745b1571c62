"""A source of images whose probabilities are known."""

import torch
from torch import Tensor

SIDE = 4
ONES = torch.tensor([[[0.15, 0.8], [0.7, 0.95]], [[0.85, 0.1], [0.4, 0.3]]], dtype=torch.float64)
"""The probability that a pixel is one by the pixels to its left, above it, and above to its right."""


def of_ones(x: Tensor, row: int, column: int) -> Tensor:
    """What the probability of a one is at a pixel of images (batch, 1, SIDE, SIDE), outside of which all is zero."""
    padded = torch.nn.functional.pad(x[:, 0], (1, 1, 1, 0)).long()
    row, column = row + 1, column + 1
    return ONES[padded[:, row, column - 1], padded[:, row - 1, column], padded[:, row - 1, column + 1]]


def draw(n: int, seed: int) -> Tensor:
    """(n, 1, SIDE, SIDE), zeros and ones."""
    noise = torch.rand(n, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = torch.zeros(n, 1, SIDE, SIDE)
    for row in range(SIDE):
        for column in range(SIDE):
            x[:, 0, row, column] = (noise[:, row, column] < of_ones(x, row, column)).float()
    return x


def all_images() -> tuple[Tensor, Tensor]:
    """Every image (2 ** 16, 1, SIDE, SIDE), and the log of its probability."""
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * SIDE**2).view(-1, 1, SIDE, SIDE)
    pixels = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    p = torch.stack([of_ones(x, *pixel) for pixel in pixels], 1)
    return x, torch.where(x.flatten(1) > 0.5, p, 1 - p).log().sum(1)
