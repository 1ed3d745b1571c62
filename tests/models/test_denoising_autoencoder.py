"""What the denoising autoencoder chooses, refuses, and gains over its plain sibling."""

from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits

from likely.corruptions import Corruption, Downsampling, Erasing, GaussianNoise, Grayscale
from likely.distortions import CrossEntropy
from likely.likelihoods import Bernoulli, Categorical
from likely.models import DenoisingAutoencoder
from likely.networks import MLP, Convolutional, FullResolution, Network
from likely.registry import Spec
from likely.training import TrainConfig, train


def test_by_default_it_learns_noise_of_every_strength():
    model = DenoisingAutoencoder((6,))
    assert model.corruption == GaussianNoise(0.25, min_scale=0.0)


@pytest.mark.parametrize(
    ("x_shape", "arguments", "network"),
    [
        ((1, 8, 8), {}, FullResolution),
        ((4, 5), {}, MLP),
        ((13,), {}, MLP),
        ((3, 32, 32), {}, FullResolution),
        ((1, 2000), {}, FullResolution),
        ((3, 32, 32), {"distortion": CrossEntropy()}, Convolutional),
        ((3, 32, 32), {"distortion": Categorical(4)}, Convolutional),
        ((3, 32, 32), {"z_size": 20}, Convolutional),
    ],
)
def test_nothing_of_a_photograph_is_thrown_away_unless_a_code_is_asked_for(x_shape, arguments, network):
    model = DenoisingAutoencoder(x_shape, **arguments)
    assert isinstance(model.network, network)
    if arguments.get("z_size"):
        assert model.z_shape == (20,)


def test_squared_error_starts_as_pca_and_no_other_does():
    assert DenoisingAutoencoder((13,)).network.linear_path
    assert not DenoisingAutoencoder((13,), distortion=Bernoulli()).network.linear_path


@pytest.mark.parametrize(("corruption", "x_shape"), [(Downsampling(2), (12,)), (Grayscale(), (1, 8, 8))])
def test_a_corruption_that_cannot_happen_is_refused_before_anything_is_trained(corruption, x_shape):
    with pytest.raises(ValueError, match=type(corruption).__name__):
        DenoisingAutoencoder(x_shape, corruption=corruption)


@pytest.mark.parametrize(
    "text",
    [
        "GaussianNoise(scale=0.1)",
        "GaussianNoise(scale=0.5, min_scale=0)",
        "ZeroMasking(probability=0.25)",
        "SaltAndPepper(probability=0.25)",
        "Erasing",
        "Erasing(box=(2, 3))",
        "Downsampling(factor=2)",
        "Grayscale",
    ],
)
def test_every_corruption_is_named_as_on_the_command_line_and_saved(text):
    spec = Spec.parse("denoising_autoencoder", {"corruption": text})
    again = Spec.from_json(spec.to_json())
    assert again == spec
    model = again.build((3, 4, 4))
    x = torch.rand(2, 3, 4, 4)
    assert model(x).total.isfinite().all()


# Presets, each of which its parent fails. The parent has the same network and learned noise.


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Training and test rows, (n, 1, 8, 8) in [0, 1]."""
    x = torch.tensor(load_digits().images / 16, dtype=torch.float32)[:, None]
    return x[:1400], x[1400:]


@cache
def error(name: str, network: Network | None, corruption: Corruption) -> float:
    """Mean squared error per test image of what it restores after this corruption."""
    train_rows, x = digits()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Spec(name, **({} if network is None else {"network": network})).build((1, 8, 8))
        train(model, train_rows, TrainConfig(epochs=4, device="cpu", precision="float32"))
        y = corruption.draw(x).apply(x)
    with torch.no_grad():
        found = model.restore(y, corruption.behind(y, (1, 8, 8)))
    return (found - x).square().flatten(1).sum(1).mean().item()


@pytest.mark.parametrize(
    ("name", "corruption"),
    [("masked-autoencoder", Erasing(0.75)), ("super-resolution-autoencoder", Downsampling(2))],
)
def test_the_preset_learned_what_it_is_to_restore_and_its_parent_did_not(name, corruption):
    arguments = Spec(name).resolve().arguments
    assert arguments["corruption"] == corruption
    parents = error("denoising_autoencoder", arguments.get("network"), corruption)
    assert error(name, None, corruption) < 0.8 * parents


def test_super_resolution_beats_the_smallest_image_that_could_have_become_smaller():
    x = digits()[1]
    operator = Downsampling(2).draw(x)
    enlarged = operator.project(torch.zeros_like(x), operator.apply(x))
    plain = (enlarged - x).square().flatten(1).sum(1).mean().item()
    assert error("super-resolution-autoencoder", None, Downsampling(2)) < 0.7 * plain
