"""Networks: Tensor to Tensor, nothing else."""

from likely.networks.codec import (
    Codec,
    DeepCodec,
    Layer,
    Network,
    dense_code_layer,
    start_as_pca,
)
from likely.networks.convolutional import Convolutional
from likely.networks.defaults import choose_z_size, default_network, default_z_size
from likely.networks.full_resolution import FullResolution
from likely.networks.mlp import MLP
from likely.networks.residual_mlp import ResidualMLP
from likely.networks.unet import UNet
from likely.networks.velocity import VelocityNetwork
from likely.networks.what_where import WhatWhere

__all__ = [
    "MLP",
    "Codec",
    "Convolutional",
    "DeepCodec",
    "FullResolution",
    "Layer",
    "Network",
    "ResidualMLP",
    "UNet",
    "VelocityNetwork",
    "WhatWhere",
    "choose_z_size",
    "default_network",
    "default_z_size",
    "dense_code_layer",
    "start_as_pca",
]
