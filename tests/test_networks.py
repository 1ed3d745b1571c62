"""Networks: every size comes back, conditions are seen, and each is what it says: linear, tied, what and where."""

import copy

import pytest
import torch
from torch import nn

from likely.contract import Batch
from likely.models import PCA, VAE, Autoencoder, LadderVAE
from likely.networks import MLP, Convolutional, FullResolution, WhatWhere, default_network, default_z_size
from likely.networks.dropout import Dropout
from likely.networks.full_resolution import fold, unfold
from likely.networks.tied import TransposedConvolution, TransposedLinear
from likely.networks.what_where import pool, spread, unpool
from likely.training import TrainConfig, train

SIZES = [(1, 1), (2, 3), (7, 5), (28, 28), (33, 8), (17, 64), (1,), (9,), (50,)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "network",
    [
        Convolutional((4, 6, 8), hidden=10),
        Convolutional((4, 6), hidden=10, residual_blocks=2),
        WhatWhere((4, 6, 8), hidden=10),
    ],
    ids=["strided", "residual", "what-where"],
)
def test_convolutions_give_every_size_back(size, channels, network):
    codec = network.build((channels, *size), code_size=5, z_size=3, raw_channels=2)
    assert codec.encode(torch.randn(2, channels, *size)).shape == (2, 5)
    assert codec.decode(torch.randn(2, 3)).shape == (2, 2 * channels, *size)


@pytest.mark.parametrize("size", SIZES)
def test_tied_convolutions_give_every_size_back(size):
    codec = Convolutional((4, 6, 8), hidden=10, tied=True).build((2, *size), code_size=3, z_size=3)
    assert codec.decode(codec.encode(torch.randn(2, 2, *size))).shape == (2, 2, *size)


# Tied weights.

TIED = [MLP((6, 5), activation="tanh", tied=True), Convolutional((4, 6), hidden=8, tied=True)]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 5), (8, 8), (6,)])
def test_a_transposed_layer_is_the_adjoint(size, stride):
    kind = {1: nn.Conv1d, 2: nn.Conv2d}[len(size)]
    layer = kind(2, 3, 3, stride=stride, padding=1, bias=False).double()
    x = torch.randn(1, 2, *size).double()
    y = layer(x)
    z = torch.randn_like(y)
    back = TransposedConvolution(layer, size).double()(z)
    assert torch.allclose((y * z).sum(), (x * back).sum())
    dense = nn.Linear(4, 3, bias=False).double()
    v, w = torch.randn(1, 4).double(), torch.randn(1, 3).double()
    assert torch.allclose((dense(v) * w).sum(), (v * TransposedLinear(dense).double()(w)).sum())


def is_tied(model: Autoencoder) -> bool:
    """Whether every transposed layer's weight is one of the encoder's own, the very same tensor."""
    transposed = [m for m in model.modules() if isinstance(m, TransposedLinear | TransposedConvolution)]
    own = {id(parameter) for parameter in model.parameters()}
    return len(transposed) > 2 and all(id(layer._partner[0].weight) in own for layer in transposed)


@pytest.mark.parametrize("network", TIED, ids=["MLP", "Convolutional"])
def test_tied_weights_stay_tied_and_are_there_once(network, tmp_path):
    import likely

    x = torch.rand(60, 1, 8, 8)
    fitted = likely.fit(
        "autoencoder", x.numpy(), z_size=3, network=network, train=TrainConfig(epochs=2), calibrate="none"
    )
    assert is_tied(fitted.model)
    assert is_tied(copy.deepcopy(fitted.model))
    assert is_tied(copy.deepcopy(fitted.model).double())
    fitted.save(tmp_path / "tied")
    loaded = likely.load(tmp_path / "tied")
    assert is_tied(loaded.model)
    assert torch.equal(torch.tensor(loaded.encode(x.numpy())), torch.tensor(fitted.encode(x.numpy())))
    weights = [name for name in fitted.model.state_dict() if name.endswith("weight")]
    assert not [name for name in weights if "decoder" in name]


@pytest.mark.parametrize("network", TIED, ids=["MLP", "Convolutional"])
def test_moving_the_encoder_moves_the_decoder(network):
    model = Autoencoder((1, 8, 8), 3, network=network)
    z = torch.randn(2, 3)
    before = model.decode(z)
    with torch.no_grad():
        model.codec.head.weight.mul_(2)
    assert not torch.allclose(model.decode(z), before)


def test_tied_weights_are_half_of_the_untied():
    def n_weights(tied: bool) -> int:
        model = Autoencoder((20,), 4, network=MLP((9, 6), tied=tied))
        return sum(parameter.numel() for parameter in model.parameters() if parameter.ndim > 1)

    assert 2 * n_weights(True) == n_weights(False)


@pytest.mark.parametrize("arguments", [{"raw_channels": 2}, {"code_size": 6}, {"condition_size": 2}])
def test_what_cannot_be_tied_says_so(arguments):
    with pytest.raises(ValueError, match="tied=False"):
        MLP((5,), tied=True).build((4,), **{"code_size": 3, "z_size": 3, **arguments})


def test_a_tied_linear_autoencoder_spans_the_principal_subspace():
    x = torch.randn(300, 6).double() @ torch.randn(6, 6).double()
    model = Autoencoder((6,), 2, network=MLP((), tied=True)).double()
    train(model, x, TrainConfig(epochs=1500, batch_size=400, learning_rate=0.02, patience=None), split=everything(x))
    reference = PCA((6,), 2).double()
    reference.solve([Batch(x)])
    assert sine_of_largest_angle(model.codec.head.weight.T, reference.components.T) < 1e-3


def everything(x):
    """A split whose every row trains."""
    import numpy as np

    from likely.data.split import Split

    none = np.empty(0, np.int64)
    return Split(np.arange(len(x)), none, none, none)


def sine_of_largest_angle(a, b) -> float:
    """Between the spans of the columns: the length of what of one lies outside the other."""
    a, b = (torch.linalg.qr(each.detach()).Q for each in (a, b))
    return float(torch.linalg.matrix_norm(a - b @ (b.T @ a), 2))


# What and where.


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1), (9,)])
def test_unpooling_puts_each_value_back_where_it_came_from(size):
    x = torch.randn(2, 3, *size)
    values, where = pool(x)
    back = unpool(values, where, size)
    kept = back != 0
    assert torch.equal(back[kept], x[kept])
    assert kept.sum() == values.numel()
    assert torch.equal(pool(back.where(kept, -torch.inf))[0], values)


@pytest.mark.parametrize("size", [(4, 6), (8,)])
def test_a_code_alone_is_spread_as_the_mean_over_all_places(size):
    values = torch.randn(1, 2, *(side // 2 for side in size)).double()
    windows = torch.zeros(1, 2, *size).double()
    n_places = 2 ** len(size)
    for place in range(n_places):
        offset = (place // 2, place % 2)[-len(size) :]
        index = tuple(slice(start, None, 2) for start in offset)
        one = torch.zeros(1, 2, *size).double()
        one[(..., *index)] = values
        windows += one / n_places
    assert torch.allclose(spread(values, size), windows)


def test_where_travels_beside_the_code():
    """Rows of equal codes come back differently, each as its own places say: what its parent cannot do."""
    codec = WhatWhere((4,), hidden=6).build((1, 6, 6), code_size=2, z_size=2)
    x = torch.rand(2, 1, 6, 6)
    same = codec.encode(x[:1]).expand(2, 2)
    z, raw = codec.through(x, bottleneck=lambda code: same)
    assert torch.equal(z[0], z[1])
    assert not torch.allclose(raw[0], raw[1])
    strided = Convolutional((4,), hidden=6).build((1, 6, 6), code_size=2, z_size=2)
    z, raw = strided.through(x, bottleneck=lambda code: same)
    assert torch.allclose(raw[0], raw[1])


# Full resolution.


@pytest.mark.parametrize("shape", [(2, 7, 5), (1, 8, 6), (3, 9)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_folding_loses_nothing(shape, factor):
    x = torch.randn(2, *shape)
    assert torch.equal(unfold(fold(x, factor), factor, shape[1:]), x)


def test_folding_is_what_pixel_unshuffle_does():
    x = torch.randn(2, 3, 6, 4)
    assert torch.equal(fold(x, 2), nn.functional.pixel_unshuffle(x, 2))


def test_full_resolution_starts_as_the_identity():
    x = torch.rand(2, 1, 9, 7)
    model = Autoencoder((1, 9, 7), network=FullResolution(4, blocks=1))
    assert torch.allclose(model.reconstruct(x), x)
    with pytest.raises(ValueError, match=f"leave z_size out, or give {model.z_size}"):
        Autoencoder((1, 9, 7), 3, network=FullResolution(4))


# Layers.


@pytest.mark.parametrize(
    "network",
    [MLP((6, 5), dropout=0.3, input_dropout=0.2), MLP((6,), tied=True), Convolutional((4, 6), hidden=5), *TIED],
    ids=["MLP", "one layer", "Convolutional", "tied MLP", "tied Convolutional"],
)
def test_layers_are_the_network_cut(network):
    model = Autoencoder((1, 7, 6), 3, network=network).eval()
    x = torch.rand(2, 1, 7, 6)
    codes = [x]
    for layer in model.layers():
        codes.append(layer.up(codes[-1]))
    assert torch.allclose(codes[-1], model.encode(x), atol=1e-6)
    back = codes[-1]
    for layer, below in zip(model.layers()[::-1], codes[-2::-1], strict=True):
        back = layer.down(back)
        assert back.shape == below.shape
    assert torch.allclose(back, model.reconstruct(x), atol=1e-6)


def test_dropout_leaves_out_as_much_as_it_says_of_each_layer_and_of_none_outside_of_training():
    network = MLP((2000,), activation="relu", code_activation="relu", dropout=0.3, input_dropout=0.1)
    codec = network.build((500,), code_size=3000, z_size=3000)
    x = torch.rand(8, 500)

    def shares_off() -> list[float]:
        kept = []
        layers = [module for module in codec.modules() if isinstance(module, Dropout)]
        hooks = [layer.register_forward_hook(lambda _, given, out: kept.append(out)) for layer in layers]
        codec.encode(x)
        for hook in hooks:
            hook.remove()
        return [float((out == 0).float().mean()) for out in kept]

    off = codec.eval() and shares_off()
    dropped = codec.train() and shares_off()
    expected = [0.1, 0.3 + 0.7 * off[1], 0.3 + 0.7 * off[2]]
    assert dropped == pytest.approx(expected, abs=0.03)
    assert not MLP((5,), dropout=0.3).build((4,), code_size=2, z_size=2).code_dropout.p


@pytest.mark.parametrize("network", [WhatWhere((4,)), FullResolution(4), MLP((4,), linear_path=True)])
def test_what_cannot_be_cut_says_so(network):
    codec = network.build((1, 4, 4), code_size=32, z_size=32)
    with pytest.raises(ValueError, match=r"layer by layer|linear_path=False"):
        codec.layers()


@pytest.mark.parametrize(
    "network",
    [MLP((6,)), Convolutional((4,), hidden=6), WhatWhere((4,), hidden=6)],
    ids=["MLP", "Convolutional", "WhatWhere"],
)
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
    with pytest.raises(ValueError, match=r"signals \(channels, length\), got rows of shape \(5,\)"):
        Convolutional().build((5,), code_size=2, z_size=2)


def test_defaults_follow_the_shape():
    assert isinstance(default_network((3, 32, 32), linear_path=False), Convolutional)
    assert isinstance(default_network((1, 28, 28), linear_path=False), MLP)
    assert default_network((2,), linear_path=False).hidden[0] < default_network((100,), linear_path=False).hidden[0]
    assert [default_z_size(shape) for shape in ((1,), (5,), (500,), (1, 8, 8), (1, 28, 28), (3, 32, 32))] == [
        1, 2, 16, 16, 32, 64,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [lambda: VAE((3,), 9), lambda: Autoencoder((3,), 9), lambda: LadderVAE((3,), (9, 2))],
    ids=["vae", "ae", "ladder"],
)
@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_a_code_may_be_wider_than_rows_and_rows_few(model, n_rows):
    """A linear path starts as the components that there are."""
    x = torch.randn(n_rows, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0, 0.3])
    torch.manual_seed(0)
    model = model()
    model.initialize(Batch(x))
    if n_rows == 40:
        assert torch.allclose(model.reconstruct(x), x, atol=0.1)
    assert model.reconstruct(x).isfinite().all()
