"""Presets on handwritten digits: each does what its name says, and its parent with the same network does not."""

from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits

from likely.evaluation import ssim
from likely.registry import PRESETS, Spec
from likely.training import TrainConfig, train

PENALISED = ["sparse", "k-sparse", "contractive", "stochastic-contractive"]


@cache
def digits():
    """Training and test rows, (n, 1, 8, 8) in [0, 1]."""
    x = torch.tensor(load_digits().images / 16, dtype=torch.float32)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[:1400]], x[order[1400:]]


def trained(spec, epochs=80):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = spec.build((1, 8, 8))
    train(model, digits()[0], TrainConfig(epochs=epochs, device="cpu", precision="float32"))
    return model.eval()


@cache
def preset(name):
    return trained(Spec(f"{name}-autoencoder"))


@cache
def parent(name):
    """The plain autoencoder with the preset's network and code."""
    arguments = Spec(f"{name}-autoencoder").resolve().arguments
    return trained(Spec("autoencoder", z_size=arguments["z_size"], network=arguments["network"]))


@torch.no_grad()
def codes(model):
    return model.encode(digits()[1])


@torch.no_grad()
def squared_error(model):
    """Per test image, of 4.7 in all."""
    x = digits()[1]
    return (model.reconstruct(x) - x).square().flatten(1).sum(1).mean().item()


def discarded_by_pca(size):
    """What a code of so many numbers loses at least where encoder and decoder are linear."""
    train, test = (part.flatten(1) for part in digits())
    components = torch.linalg.svd(train - train.mean(0), full_matrices=False).Vh[:size]
    centered = test - train.mean(0)
    return (centered - centered @ components.T @ components).square().sum(1).mean().item()


def jacobian_norm(model):
    """Mean of ||dz/dx||_F^2 over test rows, in units of the codes' variance: a smaller code is no answer."""
    x = digits()[1].clone().requires_grad_()
    z = model.encode(x)
    rows = (torch.autograd.grad(unit.sum(), x, retain_graph=True)[0] for unit in z.unbind(1))
    return (sum(row.square().sum() for row in rows) / len(x) / z.var(0).sum()).item()


@torch.no_grad()
def movement(model):
    """Mean squared way that codes of test rows go when noise comes on them, in units of the codes' variance."""
    x = digits()[1]
    noise = 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    z = model.encode(x)
    return ((model.encode(x + noise) - z).square().sum(1).mean() / z.var(0).sum()).item()


@pytest.mark.parametrize("name", PENALISED)
def test_the_penalty_leaves_a_good_autoencoder(name):
    assert squared_error(preset(name)) < discarded_by_pca(16)


def test_units_of_the_sparse_autoencoder_are_on_as_seldom_as_its_target_says():
    target = Spec("sparse-autoencoder").resolve().arguments["penalty"].target

    def means(name, make):
        return codes(make(name)).mean(0)

    assert (means("sparse", preset) - target).abs().mean() < 0.25 * target
    assert (means("sparse", parent) - target).abs().mean() > 4 * target
    # Seldom, and then strongly, rather than always a little.
    assert share_of_largest(preset("sparse")) > 2 * share_of_largest(parent("sparse"))


def share_of_largest(model):
    """How much of the squares of a code its largest tenth holds."""
    squares = codes(model).square().sort(1, descending=True).values
    return (squares[:, : squares.shape[1] // 10].sum() / squares.sum()).item()


def test_codes_of_the_k_sparse_autoencoder_have_k_numbers():
    k = 26  # one in ten of 256
    assert ((codes(preset("k-sparse")) != 0).sum(1) == k).all()
    assert ((codes(parent("k-sparse")) != 0).sum(1) == 256).all()
    # And the parent's code cannot be cut to k afterwards.
    x, model = digits()[1], parent("k-sparse")
    with torch.no_grad():
        cut = model.decode(preset("k-sparse")._bottleneck(model.encode(x)))
    assert (cut - x).square().flatten(1).sum(1).mean() > 2 * squared_error(preset("k-sparse"))


def test_the_contractive_autoencoder_has_smaller_slopes():
    assert jacobian_norm(preset("contractive")) < 0.85 * jacobian_norm(parent("contractive"))


def test_codes_of_the_stochastic_contractive_autoencoder_move_less_with_noise():
    assert movement(preset("stochastic-contractive")) < 0.85 * movement(parent("stochastic-contractive"))


def test_the_ssim_autoencoder_keeps_more_structure_and_less_of_the_values():
    narrow = {"z_size": 2}  # where not everything can be kept
    by_structure = trained(Spec("ssim-autoencoder", **narrow), epochs=30)
    by_square = trained(Spec("autoencoder", network=by_structure.network, **narrow), epochs=30)
    x = digits()[1]

    def structure(model):
        with torch.no_grad():
            return ssim(x, model.reconstruct(x).clamp(0, 1), data_range=1.0, channel_axis=0).mean()

    assert structure(by_structure) > structure(by_square) + 0.01
    assert squared_error(by_structure) > squared_error(by_square) + 0.1


@pytest.mark.parametrize("name", [name for name in PRESETS if name.removesuffix("-autoencoder") in PENALISED])
@pytest.mark.parametrize("x_shape", [(1,), (3,), (40,), (1, 5, 7), (3, 16, 16), (2, 30)])
def test_presets_of_penalties_take_rows_of_any_shape(name, x_shape):
    model = Spec(name).build(x_shape)
    x = torch.rand(6, *x_shape)
    objective = model(x)
    assert objective.total.isfinite().all()
    assert set(objective.terms) == {"distortion", "penalty"}
    assert model.reconstruct(x).shape == x.shape
    assert Spec(name, z_size=2).build(x_shape)(x).total.isfinite().all()
