"""Every preset is reachable: it fits digits with nothing said, saves, and comes back the same."""

import numpy as np
import pytest

import likely
from likely.contract import Decoder, Encoder, ExactDensity, Reconstructor
from likely.estimators import FeatureExtractor
from likely.registry import PRESETS, model_class


@pytest.fixture(scope="module")
def digits():
    source = likely.data.open_source("digits")
    return source.read(np.arange(300))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_saves_and_loads(name, digits, tmp_path):
    train = likely.TrainConfig(epochs=0.5, batch_size=64)
    fitted = likely.fit(name, digits, train=train, calibrate="none")
    assert fitted.history.total_steps >= 1
    fitted.save(tmp_path / name)
    loaded = likely.load(tmp_path / name)
    assert isinstance(loaded.model, Encoder | ExactDensity | Decoder)
    if isinstance(loaded.model, Encoder):
        np.testing.assert_array_equal(loaded.encode(digits[:20]), fitted.encode(digits[:20]))
    if isinstance(loaded.model, Reconstructor):
        np.testing.assert_array_equal(loaded.reconstruct(digits[:20]), fitted.reconstruct(digits[:20]))
    if isinstance(loaded.model, ExactDensity):
        np.testing.assert_array_equal(loaded.log_prob(digits[:20]), fitted.log_prob(digits[:20]))
    if isinstance(loaded.model, Decoder) and not isinstance(loaded.model, Encoder):
        z = np.random.default_rng(0).normal(size=(20, *loaded.model.z_shape)).astype(np.float32)
        np.testing.assert_array_equal(loaded.decode(z), fitted.decode(z))


OF_IMAGES = {
    "convolutional-autoencoder",
    "residual-autoencoder",
    "what-where-autoencoder",
    "ssim-autoencoder",
    "super-resolution-autoencoder",
    "glow",
}


WITHOUT_CODES = {name for name, preset in PRESETS.items() if not issubclass(model_class(preset.model), Encoder)}


@pytest.mark.parametrize("name", sorted(PRESETS.keys() - OF_IMAGES - WITHOUT_CODES))
def test_a_preset_makes_features_of_a_table(name):
    X = np.random.default_rng(0).normal(size=(60, 5))
    codes = FeatureExtractor(name, train=likely.TrainConfig(epochs=1)).fit_transform(X)
    assert codes.shape[0] == 60
    assert np.isfinite(codes).all()


@pytest.mark.parametrize("name", sorted(OF_IMAGES))
def test_a_preset_of_images_says_so(name):
    X = np.random.default_rng(0).normal(size=(60, 5))
    with pytest.raises(likely.UserError, match=r"image|values in \[0, 1\]"):
        FeatureExtractor(name).fit(X)
