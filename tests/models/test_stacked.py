"""Stacked autoencoders on handwritten digits: each does what its name says, and its parent with the same network
and the same training of the whole does not."""

from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits

from likely.corruptions import ZeroMasking
from likely.registry import Spec
from likely.rng import seeded
from likely.training import TrainConfig, train

EPOCHS = 20
"""Few for a network of eight layers."""


@cache
def digits():
    """Training and test rows, (n, 1, 8, 8) in [0, 1]."""
    x = torch.tensor(load_digits().images / 16, dtype=torch.float32)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[:1400]], x[order[1400:]]


@cache
def trained(name, **arguments):
    with seeded("model"):
        model = Spec(name, **arguments).build((1, 8, 8))
    train(model, digits()[0], TrainConfig(epochs=EPOCHS, device="cpu", precision="float32"))
    return model


def parent():
    return trained("autoencoder", network=Spec("stacked-autoencoder").resolve().arguments["network"])


@torch.no_grad()
def squared_error(model):
    """Per test image, of 4.7 in all."""
    x = digits()[1]
    return (model.reconstruct(x) - x).square().flatten(1).sum(1).mean().item()


@torch.no_grad()
def movement(model):
    """Mean squared way that codes of test rows go when values are lost, in units of the codes' variance."""
    x = digits()[1]
    with seeded("masking"):
        masked = ZeroMasking(0.25).draw(x).apply(x)
    z = model.encode(x)
    return ((model.encode(masked) - z).square().sum(1).mean() / z.var(0).sum()).item()


def test_the_stacked_autoencoder_is_much_further_after_as_many_epochs_of_the_whole():
    assert squared_error(trained("stacked-autoencoder")) < 0.6 * squared_error(parent())


def test_codes_of_the_stacked_denoising_autoencoder_move_less_when_values_are_lost():
    assert movement(trained("stacked-denoising-autoencoder")) < 0.85 * movement(trained("stacked-autoencoder"))
    assert squared_error(trained("stacked-denoising-autoencoder")) < 0.8 * squared_error(parent())


@pytest.mark.parametrize("name", ["stacked-autoencoder", "stacked-denoising-autoencoder"])
@pytest.mark.parametrize("x_shape", [(1,), (3,), (40,), (1, 5, 7), (3, 16, 16), (2, 30)])
def test_presets_take_rows_of_any_shape(name, x_shape):
    model = Spec(name).build(x_shape)
    x = torch.rand(20, *x_shape)
    history = train(model, x, TrainConfig(epochs=1.0))
    assert {row.get("layer") for row in history.rows} == {1, 2, 3, 4, None}
    assert model.reconstruct(x).shape == x.shape
    assert model.reconstruct(x).isfinite().all()
