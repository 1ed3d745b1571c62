"""Reconstructions: how far rows are from what a model makes of them."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from likely.similarity import similarity

CHUNK_VALUES = 1 << 21
"""Pixels that SSIM looks at in one go; with its five moments that is about 200 MiB."""


def mse(original: ArrayLike, reconstruction: ArrayLike) -> np.ndarray:
    """Mean squared error of each row, over its values. NaN in `original` is missing and counts for nothing.

    Args:
        original: (n, ...).
        reconstruction: (n, ...), of the same shape.

    Returns:
        (n,) float64, in the square of the data's unit; NaN for a row of which everything is missing.

    Raises:
        ValueError: if the shapes differ.
    """
    x, y = _pair(original, reconstruction)
    squares = np.square(x - y).reshape(len(x), -1)
    observed = ~np.isnan(x).reshape(len(x), -1)
    total, count = np.where(observed, squares, 0.0).sum(1), observed.sum(1)
    return np.divide(total, count, out=np.full(len(x), math.nan), where=count > 0)


def psnr(original: ArrayLike, reconstruction: ArrayLike, *, data_range: float) -> np.ndarray:
    """Peak signal-to-noise ratio of each row: 10 log10(data_range^2 / MSE). Average it over rows, not the MSE in it.

    Args:
        original: (n, ...).
        reconstruction: (n, ...), of the same shape.
        data_range: the largest possible value less the smallest, in the data's unit: 255 for bytes.

    Returns:
        (n,) float64, dB; inf for a perfect reconstruction.

    Raises:
        ValueError: if the shapes differ or `data_range` is not positive.
    """
    _check_range(data_range)
    with np.errstate(divide="ignore"):
        return np.asarray(20.0 * math.log10(data_range) - 10.0 * np.log10(mse(original, reconstruction)))


def ssim(
    original: ArrayLike, reconstruction: ArrayLike, *, data_range: float, channel_axis: int | None = None
) -> np.ndarray:
    """Structural similarity of each image: its mean over all windows that lie inside of the image.

    The window is a Gaussian of 11 x 11 pixels, sigma 1.5; on images narrower than that it is cut to the largest odd
    size that fits. K1 = 0.01, K2 = 0.03. Channels are compared one by one and averaged.

    Args:
        original: (n, h, w), or images with channels where `channel_axis` says.
        reconstruction: of the same shape.
        data_range: the largest possible value less the smallest, in the data's unit.
        channel_axis: where channels stand in one image: None for gray, -1 for (h, w, c), 0 for (c, h, w).

    Returns:
        (n,) float64, no unit, at most 1, which only identical images reach; NaN where a pixel is.

    Raises:
        ValueError: if the shapes differ or are no images, or `data_range` is not positive.

    Reference:
        Image quality assessment: from error visibility to structural similarity (Wang et al., 2004), equation 13
    """
    _check_range(data_range)
    x, y = _pair(original, reconstruction)
    pair = torch.from_numpy(_channels_first(x, channel_axis)), torch.from_numpy(_channels_first(y, channel_axis))
    size = max(1, CHUNK_VALUES // max(1, pair[0][0].numel())) if len(x) else 1
    pieces = [_ssim(a, b, data_range) for a, b in zip(pair[0].split(size), pair[1].split(size), strict=True)]
    return np.asarray(torch.cat(pieces).numpy())


def _ssim(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    luminance, structure = similarity(x, y, data_range)
    return (luminance * structure).flatten(1).mean(1)


def _channels_first(x: np.ndarray, channel_axis: int | None) -> np.ndarray:
    wanted = 3 if channel_axis is None else 4
    if x.ndim != wanted or 0 in x.shape:
        raise ValueError(f"SSIM with channel_axis={channel_axis} needs images of {wanted} axes, got shape {x.shape}")
    if channel_axis is None:
        return x[:, None]
    axis = channel_axis if channel_axis < 0 else channel_axis + 1  # of the batch, not of one image
    return np.ascontiguousarray(np.moveaxis(x, axis, 1))


def _pair(original: ArrayLike, reconstruction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    # Writable, for torch warns of arrays that are not; pandas hands those out.
    x, y = (np.require(each, np.float64, "W") for each in (original, reconstruction))
    if x.shape != y.shape:
        raise ValueError(f"original and reconstruction must have one shape, got {x.shape} and {y.shape}")
    return x, y


def _check_range(data_range: float) -> None:
    if not data_range > 0:
        raise ValueError(f"data_range must be positive, got {data_range}")
