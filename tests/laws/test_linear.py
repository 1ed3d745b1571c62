"""Linear models against their closed forms and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA as SklearnPCA

from likely import principal as principal_module
from likely.contract import Batch
from likely.data.split import Split
from likely.models import PCA, PPCA, VAE, Autoencoder
from likely.networks import MLP
from likely.training import TrainConfig, train


@pytest.fixture
def iris():
    return torch.tensor(load_iris().data)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_ppca_equals_scikit_learn(iris, k):
    model, reference = PPCA((4,), k).double(), SklearnPCA(k).fit(iris.numpy())
    model.solve([Batch(iris[:60]), Batch(iris[60:])])
    np.testing.assert_allclose(model.log_prob(iris), reference.score_samples(iris.numpy()), rtol=1e-9)


def test_ppca_is_the_gaussian_it_says(iris):
    model = PPCA((4,), 2).double()
    model.solve([Batch(iris)])
    w = model.components.T * model._scales
    covariance = w @ w.T + model.noise_variance * torch.eye(4)
    gaussian = torch.distributions.MultivariateNormal(model.mean, covariance)
    assert torch.allclose(model.log_prob(iris), gaussian.log_prob(iris))
    draws = model.sample(200_000)
    assert torch.allclose(draws.T.cov(), covariance, atol=0.05)
    assert torch.allclose(draws.mean(0), model.mean, atol=0.02)


def test_pca_equals_scikit_learn(iris):
    model, reference = PCA((4,), 2).double(), SklearnPCA(2).fit(iris.numpy())
    model.solve([Batch(iris)])
    np.testing.assert_allclose(model.encode(iris).abs(), np.abs(reference.transform(iris.numpy())), atol=1e-9)
    back = reference.inverse_transform(reference.transform(iris.numpy()))
    np.testing.assert_allclose(model.reconstruct(iris), back, atol=1e-9)


def test_very_wide_rows_take_another_way_to_the_same_components(monkeypatch):
    x = torch.randn(300, 12).double() @ torch.randn(12, 200).double() + 0.01 * torch.randn(300, 200).double()
    batches = [Batch(x[:100]), Batch(x[100:])]
    by_covariance = principal_module.principal(batches, 5)
    monkeypatch.setattr(principal_module, "MAX_COVARIANCE_SIZE", 10)
    by_subspace = principal_module.principal(batches, 5)
    assert torch.allclose(by_subspace.components, by_covariance.components, atol=1e-6)
    assert torch.allclose(by_subspace.variances, by_covariance.variances, rtol=1e-8)
    assert by_subspace.noise_variance == pytest.approx(by_covariance.noise_variance, rel=1e-6)


def test_a_trained_linear_autoencoder_spans_the_principal_subspace():
    x = torch.randn(400, 6).double() @ torch.randn(6, 6).double()
    torch.manual_seed(3)
    model = Autoencoder((6,), 2, network=MLP(())).double()
    none = np.empty(0, np.int64)
    config = TrainConfig(epochs=3000, batch_size=400, learning_rate=0.02, patience=None)
    train(model, x, config, split=Split(np.arange(400), none, none, none))
    reference = PCA((6,), 2).double()
    reference.solve([Batch(x)])
    found = torch.linalg.qr(model.codec.decoder[-1].weight.detach()).Q
    outside = found - reference.components.T @ (reference.components @ found)
    assert torch.linalg.matrix_norm(outside, 2).asin() < 1e-3  # the largest principal angle
    discarded = torch.linalg.eigvalsh(x.T.cov(correction=0))[:4].sum()
    lost = (model.reconstruct(x) - x).square().sum(1).mean()
    assert discarded < lost < 1.001 * discarded


def test_autoencoder_and_vae_start_as_their_closed_forms(iris):
    pca, ppca = PCA((4,), 2).double(), PPCA((4,), 2).double()
    pca.solve([Batch(iris)])
    ppca.solve([Batch(iris)])
    autoencoder, vae = Autoencoder((4,), 2).double(), VAE((4,), 2).double()
    autoencoder.initialize(Batch(iris))
    vae.initialize(Batch(iris))
    assert torch.allclose(autoencoder.reconstruct(iris), pca.reconstruct(iris), atol=1e-9)
    assert torch.allclose(vae.log_prob_bound(iris, n_samples=3), ppca.log_prob(iris), atol=1e-9)
