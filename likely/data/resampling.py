"""Reading images between their pixels: positions, smooth random fields, and bicubic sampling."""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from likely import rng

Padding: TypeAlias = Literal["zeros", "border", "reflection"]
"""What is read outside of an image: zeros, the nearest pixel, or the image mirrored at its border."""

NODES_BEYOND = 3
"""How many standard deviations of the smoothing Gaussian noise reaches beyond the image."""


def pixel_positions(x: Tensor) -> Tensor:
    """Where the pixels of x (batch, channels, h, w) are: (batch, h, w, 2), in pixels from the middle, x before y."""
    h, w = x.shape[2:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    down = torch.arange(h, device=x.device, dtype=dtype) - (h - 1) / 2
    right = torch.arange(w, device=x.device, dtype=dtype) - (w - 1) / 2
    positions = torch.stack((right.expand(h, w), down.unsqueeze(1).expand(h, w)), -1)
    return positions.expand(len(x), h, w, 2)


def resample(x: Tensor, positions: Tensor, padding: Padding = "zeros") -> Tensor:
    """The image read at positions, between pixels bicubically, within the range of its own values.

    Bilinear reading would take a third of the contrast between neighbors away: a model of such images has never seen
    a sharp one, and what it makes of those that nobody moved is as bad as that.

    Args:
        x: (batch, channels, h, w).
        positions: (batch, h', w', 2), in pixels from the middle of the image, horizontal before vertical.
        padding: what is read outside.

    Returns:
        (batch, channels, h', w') of the type of x.
    """
    h, w = x.shape[2:]
    grid = torch.stack((positions[..., 0] * (2 / w), positions[..., 1] * (2 / h)), -1)
    read = grid_sample(x.to(grid.dtype), grid, mode="bicubic", padding_mode=padding, align_corners=False).to(x.dtype)
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    if padding == "zeros":  # they come in from outside, so they count among the values
        low, high = low.clamp(max=0), high.clamp(min=0)
    return read.clamp(low, high)


def uniform(like: Tensor, n: int, count: int) -> Tensor:
    """Numbers drawn from -1 to 1, (count, n), on the device and of the type of `like`."""
    return rng.uniform(count, n, like=like) * 2 - 1


def smooth_noise(positions: Tensor, width: float) -> Tensor:
    """Random fields over images, standard normal at every pixel and smooth from pixel to pixel.

    White noise smoothed with a Gaussian; the noise is drawn one standard deviation apart, where a smoothed field of
    this kind is told by its values already, which takes a fraction of the numbers.

    Args:
        positions: (batch, h, w, 2), whose shape, device and type the fields take.
        width: standard deviation of the Gaussian in pixels; below 1 it is taken for 1.

    Returns:
        (batch, h, w, 2), the two fields of a row independent.
    """
    n, h, w, _ = positions.shape
    down, right = _smoothing(h, max(width, 1.0), positions), _smoothing(w, max(width, 1.0), positions)
    high, wide = down.shape[1], right.shape[1]
    noise = rng.normal(high, n * 2 * wide, like=positions)
    # Two products of whole matrices; one small product for each row takes longer.
    fields = (down @ noise).view(-1, wide) @ right.T  # (h * n * 2, w)
    return fields.view(h, n, 2, w).permute(1, 0, 3, 2)


def _smoothing(side: int, width: float, like: Tensor) -> Tensor:
    """What each pixel of a side takes of the noise at each node: (side, nodes), squares summing to 1."""
    half = math.ceil((side - 1) / 2 / width + NODES_BEYOND)
    nodes = torch.arange(-half, half + 1, device=like.device, dtype=like.dtype) * width
    pixels = torch.arange(side, device=like.device, dtype=like.dtype) - (side - 1) / 2
    weights = torch.exp(-0.5 * ((pixels.unsqueeze(1) - nodes) / width) ** 2)
    return weights / weights.norm(dim=1, keepdim=True)
