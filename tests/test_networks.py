"""Networks: every size comes back, conditions are seen, linear starts are what they say."""

import pytest
import torch
from torch import nn

from likely.networks import MLP, Convolutional, default_network, default_z_size


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (28, 28), (33, 8), (17, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_give_every_size_back(size, channels):
    network = Convolutional((4, 6, 8), hidden=10)
    codec = network.build((channels, *size), code_size=5, z_size=3, raw_channels=2)
    assert codec.encode(torch.randn(2, channels, *size)).shape == (2, 5)
    assert codec.decode(torch.randn(2, 3)).shape == (2, 2 * channels, *size)


@pytest.mark.parametrize("network", [MLP((6,)), Convolutional((4,), hidden=6)], ids=["MLP", "Convolutional"])
def test_a_condition_changes_code_and_decoding(network):
    codec = network.build((1, 4, 4), code_size=5, z_size=3, condition_size=2)
    x, z = torch.randn(1, 1, 4, 4), torch.randn(1, 3)
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert not torch.equal(codec.encode(x, one), codec.encode(x, other))
    assert not torch.equal(codec.decode(z, one), codec.decode(z, other))


@pytest.mark.parametrize(
    "network",
    [MLP((6,), linear_path=True), Convolutional((4,), hidden=6, linear_path=True)],
    ids=["MLP", "Convolutional"],
)
def test_a_linear_start_is_linear(network):
    codec = network.build((1, 4, 4), code_size=3, z_size=3)
    encoder, decoder = nn.Linear(16, 3), nn.Linear(3, 16)
    codec.start_linear(encoder, decoder)
    x, z = torch.randn(5, 1, 4, 4), torch.randn(5, 3)
    assert torch.allclose(codec.encode(x), encoder(x.flatten(1)), atol=1e-6)
    assert torch.allclose(codec.decode(z).flatten(1), decoder(z), atol=1e-6)


def test_a_network_without_a_linear_path_says_so():
    codec = MLP((6,)).build((4,), code_size=2, z_size=2)
    with pytest.raises(ValueError, match="without a linear path"):
        codec.start_linear(nn.Linear(4, 2), nn.Linear(2, 4))


def test_convolutions_refuse_what_is_no_image():
    with pytest.raises(ValueError, match=r"\(channels, height, width\), got \(5,\)"):
        Convolutional().build((5,), code_size=2, z_size=2)


def test_defaults_follow_the_shape():
    assert isinstance(default_network((3, 32, 32), linear_path=False), Convolutional)
    assert isinstance(default_network((1, 28, 28), linear_path=False), MLP)
    assert default_network((2,), linear_path=False).hidden[0] < default_network((100,), linear_path=False).hidden[0]
    assert [default_z_size(shape) for shape in ((1,), (5,), (500,), (1, 8, 8), (1, 28, 28), (3, 32, 32))] == [
        1, 2, 16, 16, 32, 64,
    ]  # fmt: skip
