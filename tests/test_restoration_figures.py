"""What is told of a model that restores: figures beside what is left of rows and beside PCA, and pictures of them."""

import base64
import io
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import likely
from likely.assess import assess
from likely.assess.restoration import UNTOUCHED, damage
from likely.corruptions import Corruption, Downsampling, Erasing, GaussianNoise, Grayscale, ZeroMasking
from likely.data import open_source
from likely.evaluation import Assessment, Figure
from likely.fitted import Fitted
from likely.networks import FullResolution
from likely.report import ReportParts, gather, render

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


# The report.


def report_of(model: Fitted, data: object) -> str:
    source = open_source(data)
    test = np.arange(200, N)
    parts = ReportParts(source, np.arange(200), test, Assessment(len(test), (), ()))
    return render(gather(model, parts))


def section(page: str) -> str:
    [found] = re.findall(r'<section id="restorations">(.*?)</section>', page, flags=re.DOTALL)
    return found


@pytest.mark.parametrize("corruption", [GaussianNoise(0.2), Erasing(0.3), Downsampling(2)], ids=str)
def test_the_report_shows_images_damaged_restored_and_as_they_were(corruption):
    data = pictures(8, 8)
    model = fitted(data, corruption)
    shown = section(report_of(model, data))
    assert shown.count("<figure") == 8
    sources = re.findall(r'alt="([^"]*)" src="data:image/png;base64,([^"]*)"', shown)
    assert len(sources) == 24
    assert str(corruption) in shown
    (alt, left), (_, restored), (last, original) = sources[:3]
    row = int(re.fullmatch("row ([0-9]+), damaged", alt)[1])
    assert 200 <= row < N  # of the test part
    assert last == f"row {row}, as it was"
    pixels = [Image.open(io.BytesIO(base64.b64decode(each))) for each in (left, restored, original)]
    np.testing.assert_array_equal(np.asarray(pixels[2]), data[row])
    assert (pixels[0].mode == "RGBA") == isinstance(corruption, Erasing)  # what is missing is transparent


def test_the_report_shows_tables_with_their_gaps():
    kinds = np.where(np.arange(N) % 2, "x", "y")
    frame = pd.DataFrame(table(), columns=list("abcdef")).assign(kind=kinds)
    model = fitted(frame, Erasing(0.5))
    shown = section(report_of(model, frame))
    assert shown.count("damaged, MSE") == 3
    assert shown.count("as it was") == 3
    damaged = re.findall(r"damaged, MSE.*?</tr>", shown, flags=re.DOTALL)
    whole = re.findall(r"as it was.*?</tr>", shown, flags=re.DOTALL)
    gaps = [re.findall(r"<td>(.*?)</td>", line) for line in damaged]
    assert any("–" in line for line in gaps)
    for line, complete in zip(gaps, [re.findall(r"<td>(.*?)</td>", line) for line in whole], strict=True):
        assert "–" not in complete
        assert all(cell in ("–", original) for cell, original in zip(line, complete, strict=True))


def test_the_report_of_a_model_that_does_not_restore_has_no_such_section():
    data = pictures(8, 8)
    assert 'id="restorations"' not in report_of(likely.fit("pca", data, calibrate="none"), data)


# Models that fill in what is missing.


@pytest.fixture(scope="module")
def imputing() -> tuple[Fitted, np.ndarray]:
    data = table()
    config = likely.TrainConfig(epochs=20, seed=0)
    return likely.fit("vae", data[:200], train=config, calibrate="none", test=0.0), data


def test_a_model_that_imputes_stands_beside_column_means(imputing):
    """An oracle: what was erased is off from its column's mean by the column's variance, which is 1."""
    model, data = imputing
    figure, sentence = restoration_of(model, data)
    assert (figure.name, figure.unit, figure.better) == ("restored MSE", "standard deviations, squared", "lower")
    own, _, means = figure.values
    assert (own, means) == ("vae", "column means")
    assert abs(figure.values["column means"] - 1) < 4 * figure.errors["column means"]
    assert figure.values["vae"] < 0.5 * figure.values["column means"]  # six columns of two numbers
    assert "Erasing(probability=0.2" in figure.note
    assert sentence.startswith("Restores test rows better")


def test_what_was_missing_before_is_no_error():
    data = table()
    data[::3, 3] = np.nan
    model = likely.fit("vae", data[:200], train=likely.TrainConfig(epochs=10, seed=0), calibrate="none", test=0.0)
    figure, _ = restoration_of(model, data)
    assert list(figure.values) == ["vae", "column means"]
    assert figure.values["vae"] < 0.5 < figure.values["column means"]
    found = damage(model, open_source(data[200:]))
    gone, erased = found.x.isnan(), found.y.isnan() & ~found.x.isnan()
    assert gone.any()
    off = torch.where(erased, found.restored - found.x, torch.nan).square()
    assert figure.values["vae"] == pytest.approx(float(off.nanmean(1).nanmean()), rel=1e-4)
    assert section(report_of(model, data)).count("as it was") == 3
