"""Where a linear path starts: as the probabilistic PCA of some rows."""

import math

import torch
from torch import nn

from likely.contract import Batch
from likely.likelihoods import Gaussian, Likelihood
from likely.networks import Codec, DeepCodec
from likely.principal import start_of

MIN_PRECISION = 1e-3
"""Of what rows say of a value beside its prior, where they say nothing: its logarithm has to be a number."""


def start_as_probabilistic_pca(
    codec: Codec, likelihood: Likelihood, batch: Batch, z_size: int, *, beside_prior: bool = False
) -> None:
    """Makes a linear path the probabilistic PCA of rows, whose posterior is exact; does nothing where there is none.

    Args:
        codec: gives the location, then the log-scale of z_size values, and whatever else; or the location alone.
        likelihood: of x given z; anything but a Gaussian is left to start as it is.
        batch: rows, without NaN.
        z_size: of the code.
        beside_prior: whether the codec gives what rows say by themselves, to be multiplied with a prior N(0, I),
            and not the posterior.

    Reference: Probabilistic Principal Component Analysis (Tipping & Bishop, 1999)
    """
    if not isinstance(codec, DeepCodec) or codec.linear_encoder is None or not isinstance(likelihood, Gaussian):
        return
    found = start_of(batch, z_size)
    if found is None:
        return
    noise = max(found.noise_variance, likelihood.min_scale**2)
    variances = found.variances.clamp_min(noise)
    gain, precision = (variances - noise).sqrt() / variances, variances / noise
    if beside_prior:
        said = (precision - 1).clamp_min(MIN_PRECISION)
        gain, precision = gain * precision / said, said
    n_values = len(found.mean)
    encoder = nn.Linear(n_values, codec.linear_encoder.out_features)
    decoder = nn.Linear(z_size, likelihood.raw_channels * n_values)
    raw_scale = float(likelihood.raw_scale(torch.tensor(math.sqrt(noise), dtype=torch.float64)))
    with torch.no_grad():
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            parameter.zero_()
        encoder.weight[:z_size] = gain[:, None] * found.components
        encoder.bias[:z_size] = -gain * (found.components @ found.mean)
        encoder.bias[z_size : 2 * z_size] = (-0.5 * precision.log())[: len(encoder.bias) - z_size]
        decoder.weight[:n_values] = found.components.T * (variances - noise).sqrt()
        decoder.bias[:n_values] = found.mean
        decoder.bias[n_values:] = raw_scale
    codec.start_linear(encoder, decoder)
