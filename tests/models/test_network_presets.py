"""Each preset that is a network does what the plain autoencoder does not."""

import pytest
import torch

from likely.networks import Convolutional
from likely.networks.convolutions import ResidualBlock
from likely.registry import Spec

SHAPE = (1, 12, 10)


def build(name: str):
    torch.manual_seed(0)
    return Spec(name).build(SHAPE).eval()


def n_numbers(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.ndim > 1)


def halves(name: str) -> bool:
    """Whether the decoder brings no weights of its own."""
    decoder = build(name).codec.decoder
    return not [parameter for parameter in decoder.parameters() if parameter.ndim > 1]


def narrows(name: str) -> bool:
    """Whether the encoder narrows step by step to thirty numbers."""
    model = build(name)
    widths = [layer.up(torch.rand(1, *SHAPE)).numel() if i == 0 else None for i, layer in enumerate(model.layers())]
    sizes = [m.out_features for m in model.codec.features.modules() if isinstance(m, torch.nn.Linear)]
    return widths[0] == sizes[0] and sizes == sorted(sizes, reverse=True) and len(sizes) == 3 and model.z_shape == (30,)


def moves_along(name: str) -> bool:
    """Whether features of a shifted image are the shifted features (away from the borders)."""
    first = build(name).codec.features[1]
    x = torch.zeros(1, *SHAPE)
    x[..., 4:6, 4:6] = torch.rand(2, 2)
    if not isinstance(first, torch.nn.Conv2d):
        return False
    return torch.allclose(first(x.roll(2, -1))[..., 3:4], first(x).roll(1, -1)[..., 3:4], atol=1e-6)


def skips(name: str) -> bool:
    """Whether some of its layers start as nothing."""
    return any(isinstance(module, ResidualBlock) for module in build(name).modules())


def knows_where(name: str) -> bool:
    """Whether rows of one code come back differently, by what travels beside it."""
    model = build(name)
    x = torch.rand(2, *SHAPE)
    _, raw = model.codec.through(x, bottleneck=torch.ones_like)
    return not torch.allclose(raw[0], raw[1])


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("tied-autoencoder", halves),
        ("deep-autoencoder", narrows),
        ("convolutional-autoencoder", moves_along),
        ("residual-autoencoder", skips),
        ("what-where-autoencoder", knows_where),
    ],
)
def test_the_preset_does_it_and_its_parent_does_not(name, law):
    assert law(name)
    parent = {"residual-autoencoder": "convolutional-autoencoder"}.get(name, "autoencoder")
    try:
        assert not law(parent)
    except ValueError:
        assert parent == "autoencoder"  # its network cannot be cut into layers


def test_the_network_of_the_residual_preset_is_deeper_than_its_parent():
    assert Spec("residual-autoencoder").resolve().arguments["network"] == Convolutional(residual_blocks=2)
