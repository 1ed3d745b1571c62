"""Structural similarity of images: the mathematics that a distortion and an evaluation share.

Reference:
    Image quality assessment: from error visibility to structural similarity (Wang et al., 2004), equation 13
"""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
K1, K2 = 0.01, 0.03


def similarity(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Luminance and structure of each window that lies inside of the images; SSIM is the mean of their product.

    The window is a Gaussian of 11 x 11 pixels, sigma 1.5; on images narrower than that it is cut to the largest odd
    size that fits.

    Args:
        x: (batch, c, h, w).
        y: (batch, c, h, w).
        data_range: the largest possible value less the smallest.

    Returns:
        two of (batch, c, h', w'): (2 m_x m_y + c1) / (m_x^2 + m_y^2 + c1), and
        (2 cov + c2) / (var_x + var_y + c2), which is contrast and structure in one.
    """
    moments = _smooth(torch.stack([x, y, x * x, y * y, x * y]))  # (5, batch, c, h', w')
    mean_x, mean_y = moments[0], moments[1]
    var_x, var_y, cov = moments[2] - mean_x**2, moments[3] - mean_y**2, moments[4] - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return luminance, structure


def _smooth(x: Tensor) -> Tensor:
    """Weighted means over every window inside of the images of x (..., h, w)."""
    kernel = _window(min(WINDOW_SIZE, *x.shape[-2:]), x)
    flat = x.reshape(-1, 1, *x.shape[-2:])
    smooth = F.conv2d(F.conv2d(flat, kernel[None, None, :, None]), kernel[None, None, None, :])
    return smooth.reshape(*x.shape[:-2], *smooth.shape[-2:])


def _window(size: int, like: Tensor) -> Tensor:
    size -= 1 - size % 2  # odd, so that it has a middle
    offset = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    weight = torch.exp(-(offset**2) / (2 * WINDOW_SIGMA**2))
    return weight / weight.sum()
