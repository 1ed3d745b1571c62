"""What is built for a shape when nobody says otherwise."""

import math

from likely.contract import Shape
from likely.networks.codec import Network
from likely.networks.convolutional import Convolutional
from likely.networks.mlp import MLP

MAX_DENSE_VALUES = 1024
"""Images of more values than this get convolutions; below, dense layers learn faster per second."""


def default_z_size(x_shape: Shape) -> int:
    """A code size for rows of this shape: half the values of a vector, at most 16; 32 or 64 for images."""
    n_values = math.prod(x_shape)
    if len(x_shape) == 1:
        return max(1, min(16, n_values // 2))
    return max(1, min(32 if n_values <= MAX_DENSE_VALUES else 64, n_values // 4))


def choose_z_size(z_size: int | None, network: Network | None, x_shape: Shape) -> int:
    """The size that was asked for; else the one that the network fixes, or the default for the shape."""
    own = None if network is None else network.own_z_size(x_shape)
    if z_size is not None:
        return z_size
    return default_z_size(x_shape) if own is None else own


def default_network(x_shape: Shape, *, linear_path: bool) -> Network:
    """Convolutions for large images and long signals, else dense layers, of a width that follows the shape."""
    n_values = math.prod(x_shape)
    if len(x_shape) in (2, 3) and n_values > MAX_DENSE_VALUES:
        # Down to a map of about 4 x 4.
        n_stages = max(1, min(6, math.ceil(math.log2(min(x_shape[1:]) / 4))))
        return Convolutional(channels=(32, 64, 128, 128, 128, 128)[:n_stages], linear_path=linear_path)
    width = min(512, max(64, 2 ** math.ceil(math.log2(4 * n_values))))
    return MLP(hidden=(width, width), linear_path=linear_path)
