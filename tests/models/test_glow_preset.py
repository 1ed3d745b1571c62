"""Glow beside its parent: which channels are mixed is learned, and not only what is made of them."""

import math

import pytest
import torch
from torch import Tensor

from likely.contract import Batch, ExactDensity, GradientFitted
from likely.networks.conditioner import ConvolutionalConditioner
from likely.registry import Spec

N_STEPS = 150
MIXING = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [0.8, 0.2, 0.25]])


def colors(n: int) -> Tensor:
    """Pixels that know nothing of each other, of three colors that nearly agree: (n, 3, 3, 3)."""
    return torch.einsum("ij,njhw->nihw", MIXING, torch.randn(n, 3, 3, 3))


def entropy() -> float:
    """Of a row, nats."""
    return 9 * (1.5 * math.log(2 * math.pi * math.e) + float(MIXING.diagonal().log().sum()))


def without_networks(name: str) -> float:
    """Mean -log p of new rows, nats, learned with all networks of couplings held at their start: at nothing."""
    torch.manual_seed(0)
    model = Spec(name).build(x_shape=(3, 3, 3))
    assert isinstance(model, GradientFitted)
    assert isinstance(model, ExactDensity)
    for module in model.modules():
        if isinstance(module, ConvolutionalConditioner):
            module.requires_grad_(False)
    x = colors(512)
    model.initialize(Batch(x))
    own = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(own, 2e-2)
    for _ in range(N_STEPS):
        optimizer.zero_grad()
        model(x[torch.randint(512, (64,))]).total.mean().backward()
        optimizer.step()
    with torch.no_grad():
        return -model.eval().log_prob(colors(2000)).mean().item()


@pytest.mark.parametrize("name", ["glow", "flow"])
def test_a_glow_learns_which_channels_to_mix_and_its_parent_cannot(name):
    above = without_networks(name) - entropy()
    # What the colors have in common, and a flow of each by itself pays for.
    covariance = MIXING @ MIXING.T
    common = 4.5 * float(covariance.diagonal().log().sum() - torch.logdet(covariance))
    if name == "glow":
        assert above < 0.1 * common
    else:
        assert above > 0.9 * common
