"""What is told of a model that restores: figures beside what is left of rows and beside PCA, and pictures of them."""

import math

import numpy as np
import pytest
import torch

import likely
from likely.assess import assess
from likely.assess.restoration import UNTOUCHED, damage
from likely.corruptions import Corruption, Downsampling, Erasing, GaussianNoise, Grayscale, ZeroMasking
from likely.data import open_source
from likely.evaluation import Figure
from likely.fitted import Fitted
from likely.networks import FullResolution

N = 240


def pictures(*shape: int) -> np.ndarray:
    """Smooth, so that what is missing can be told from what is there."""
    generator = torch.Generator().manual_seed(0)
    n_channels = shape[-1] if len(shape) == 3 else 1
    coarse = torch.rand(N, n_channels, 3, 3, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, shape[:2], mode="bilinear")
    pixels = (255 * fine).round().byte().movedim(1, -1).numpy()
    return pixels if len(shape) == 3 else pixels[..., 0]


def table() -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.normal(size=(N, 2)) @ generator.normal(size=(2, 6)) + 0.1 * generator.normal(size=(N, 6)) + 50


def fitted(data: np.ndarray, corruption: Corruption, **arguments: object) -> Fitted:
    config = likely.TrainConfig(epochs=3, seed=0)
    options = {"train": config, "calibrate": "none", "corruption": corruption}
    return likely.fit("denoising_autoencoder", data, **options, **arguments)


def restoration_of(model: Fitted, data: np.ndarray) -> tuple[Figure, str]:
    """The figure, and the sentence about it."""
    found = assess(model, open_source(data[200:]), open_source(data[:200]))
    [figure] = [each for each in found.figures if each.name.startswith("restored")]
    [sentence] = [each for each in found.verdicts if figure.name in each]
    return figure, sentence


CORRUPTIONS = [GaussianNoise(0.2), ZeroMasking(0.3), Erasing(0.3), Downsampling(2)]


@pytest.mark.parametrize("corruption", [*CORRUPTIONS, Grayscale()], ids=str)
def test_images_are_told_in_decibels_beside_what_is_left_and_pca(corruption):
    data = pictures(8, 8, 3) if isinstance(corruption, Grayscale) else pictures(8, 8)
    figure, sentence = restoration_of(fitted(data, corruption), data)
    assert (figure.name, figure.unit, figure.better) == ("restored PSNR", "dB", "higher")
    own, pca, untouched = figure.values
    assert own == "denoising_autoencoder"
    assert pca.startswith("PCA (")
    assert untouched == UNTOUCHED
    assert all(map(math.isfinite, figure.values.values()))
    assert str(corruption) in figure.note
    assert sentence.startswith("Restores test rows ")


def test_noise_alone_is_as_loud_as_its_scale_says():
    """An oracle: the mean PSNR of what noise of scale s leaves is -20 log10 s, up to the spread of its square."""
    data = pictures(8, 8)
    figure, _ = restoration_of(fitted(data, GaussianNoise(0.2)), data)
    expected = -20 * math.log10(0.2) + 10 * math.log10(math.e) / 64  # of a chi-squared's logarithm, 64 values
    assert abs(figure.values[UNTOUCHED] - expected) < 5 * figure.errors[UNTOUCHED]


def test_columns_are_told_in_standard_deviations():
    data = table()
    figure, _ = restoration_of(fitted(data, GaussianNoise(0.5)), data)
    assert (figure.name, figure.unit, figure.better) == ("restored MSE", "standard deviations, squared", "lower")
    assert figure.values[UNTOUCHED] == pytest.approx(0.25, rel=0.3)
    assert figure.values["denoising_autoencoder"] < figure.values[UNTOUCHED]


def test_the_damage_is_the_same_at_each_call_and_leaves_no_trace():
    data = pictures(8, 8)
    model = fitted(data, Erasing(0.3))
    before = torch.get_rng_state()
    one, two = (damage(model, open_source(data[:20])) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(one.restored, two.restored, rtol=0, atol=0)
    lost = one.y.isnan()
    assert 0.2 < lost.double().mean() < 0.4
    torch.testing.assert_close(one.restored[~lost], one.x[~lost])


def test_whoever_hides_zeros_is_not_told_where_they_are():
    """The model is judged by what it would know of somebody's own rows."""
    data = pictures(8, 8)
    found = damage(fitted(data, ZeroMasking(0.3)), open_source(data[:20]))
    kept = found.y != 0
    assert not torch.equal(found.restored[kept], found.x[kept])


def test_a_model_that_does_not_restore_is_told_nothing_of():
    data = pictures(8, 8)
    model = likely.fit("pca", data, calibrate="none")
    assert damage(model, open_source(data[:20])) is None
    assert not [each for each in assess(model, open_source(data[200:])).figures if each.name.startswith("restored")]


def test_a_code_wider_than_its_rows_stands_beside_a_narrow_pca():
    data = pictures(8, 8)
    model = fitted(data, GaussianNoise(0.2), network=FullResolution(channels=4, blocks=1))
    figure, _ = restoration_of(model, data)
    assert list(figure.values)[1] == "PCA (16)"
