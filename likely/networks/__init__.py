"""Networks: Tensor to Tensor, nothing else."""

from likely.networks.codec import Codec, Network
from likely.networks.convolutional import Convolutional
from likely.networks.defaults import default_network, default_z_size
from likely.networks.mlp import MLP

__all__ = ["MLP", "Codec", "Convolutional", "Network", "default_network", "default_z_size"]
