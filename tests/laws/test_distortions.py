"""Distortions: what their gradients carry, what they are zero at, and what they refuse."""

import itertools
import math

import numpy as np
import pytest
import torch

from likely.data import open_source
from likely.distortions import SSIM, CrossEntropy, measure_of
from likely.errors import DataError, UserError
from likely.evaluation import ssim
from likely.fitting import fit
from likely.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from likely.models import Autoencoder
from likely.networks import MLP

IMAGE = (2, 9, 7)


def images(*shape, dtype=torch.float64):
    """Smooth stripes with noise, in [0, 1]: structure to find, as in photographs."""
    wave = torch.linspace(0, 9, shape[-1], dtype=dtype).sin() * torch.rand(*shape[:2], 1, 1, dtype=dtype)
    return (0.5 + 0.4 * wave + 0.05 * torch.randn(*shape, dtype=dtype)).clamp(0, 1)


def squared_error(raw, x):
    return 0.5 * (raw.sigmoid() - x).square().flatten(1).sum(1)


def gradient_by_raw(distortion, raw, x):
    raw = raw.clone().requires_grad_()
    return torch.autograd.grad(distortion(raw, x).sum(), raw)[0]


# The slope of the output's sigmoid


def test_the_gradient_of_cross_entropy_carries_no_slope_of_the_activation():
    raw, x = 4 * torch.randn(50, *IMAGE, dtype=torch.float64), torch.rand(50, *IMAGE, dtype=torch.float64)
    measure = measure_of(CrossEntropy(), IMAGE)
    mean, slope = measure.mean(raw), raw.sigmoid() * (1 - raw.sigmoid())
    assert torch.allclose(gradient_by_raw(measure, raw, x), mean - x, rtol=0, atol=1e-15)
    assert torch.allclose(gradient_by_raw(squared_error, raw, x), (mean - x) * slope, rtol=0, atol=1e-15)


def test_where_the_output_is_saturated_and_wrong_only_cross_entropy_learns():
    raw, x = torch.full((1, 1), 30.0, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    assert gradient_by_raw(measure_of(CrossEntropy(), (1,)), raw, x).item() == pytest.approx(1, abs=1e-12)
    assert 0 < gradient_by_raw(squared_error, raw, x).item() < 1e-12


def test_the_same_holds_at_the_last_layer_of_an_autoencoder():
    # Its bias is added to raw, so the bias's gradient is raw's, summed over rows.
    model = Autoencoder((3,), 2, network=MLP((4,)), distortion=CrossEntropy()).double()
    x = torch.rand(20, 3, dtype=torch.float64)
    model(x).total.sum().backward()
    last = model.codec.decoder[-1]
    assert torch.allclose(last.bias.grad, (model.reconstruct(x) - x).sum(0), rtol=0, atol=1e-12)


# Cross-entropy


def test_cross_entropy_is_least_at_x_where_it_is_its_entropy():
    x = torch.rand(6, 5, dtype=torch.float64).clamp(0.01, 0.99)
    measure = measure_of(CrossEntropy(), (5,))
    entropy = -(x * x.log() + (1 - x) * (1 - x).log()).sum(1)
    assert torch.allclose(measure(x.logit(), x), entropy, rtol=1e-12)
    assert (measure(x.logit() + 0.1, x) > entropy).all()
    assert (measure(x.logit() - 0.1, x) > entropy).all()


def test_cross_entropy_is_bernoulli_on_bits_and_no_likelihood_on_gray():
    raw, bits = torch.randn(7, 5, dtype=torch.float64), torch.randint(2, (7, 5)).double()
    measure, bernoulli = measure_of(CrossEntropy(), (5,)), measure_of(Bernoulli(), (5,))
    assert torch.allclose(measure(raw, bits), bernoulli(raw, bits), rtol=1e-12)
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:, None]
    for logit in (-1.0, 0.0, 3.0):
        raw = torch.full_like(x, logit)
        mass = torch.trapezoid((-measure_of(CrossEntropy(), (1,))(raw, x)).exp(), dx=1e-5)
        proper = torch.trapezoid((-measure_of(ContinuousBernoulli(), (1,))(raw, x)).exp(), dx=1e-5)
        assert proper.item() == pytest.approx(1, abs=1e-6)
        assert mass < 0.9


# A likelihood as a distortion


@pytest.mark.parametrize("part", [Gaussian(scale=1.0), ContinuousBernoulli()], ids=str)
def test_a_likelihood_is_measured_by_minus_its_logarithm(part):
    raw, x = torch.randn(4, *IMAGE), torch.rand(4, *IMAGE)
    measure, observation = measure_of(part, IMAGE), part.build(IMAGE)(raw)
    assert measure.term == "distortion"
    assert torch.equal(measure(raw, x), -observation.log_prob(x))
    assert torch.equal(measure.mean(raw), observation.mean)


# Structural similarity


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 2, 9), (1, 8, 8), (2, 11, 13), (1, 28, 30), (3, 64, 50)])
def test_an_image_is_at_no_distance_from_itself_and_at_some_from_any_other(shape):
    x, y = images(4, *shape).clamp(0.01, 0.99), images(4, *shape).clamp(0.01, 0.99)
    measure = measure_of(SSIM(), shape)
    assert measure(x.logit(), x).abs().max() < 1e-9 * math.prod(shape)
    there, back = measure(y.logit(), x), measure(x.logit(), y)
    assert torch.allclose(there, back, rtol=1e-10)
    assert (there > 1e-3 * math.prod(shape)).all() or min(shape[1:]) < 3
    assert (there <= 2 * math.prod(shape)).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 21)])
def test_it_is_the_similarity_that_evaluation_reports(shape):
    x, raw = images(5, *shape), torch.randn(5, *shape, dtype=torch.float64)
    similar = ssim(x.numpy(), raw.sigmoid().numpy(), data_range=1.0, channel_axis=0)
    distance = measure_of(SSIM(scales=1), shape)(raw, x)
    np.testing.assert_allclose(distance.numpy(), math.prod(shape) * (1 - similar), rtol=1e-9)


def slow_parts(x, y):
    """Means over windows of luminance times structure, and of structure alone, of one gray image, window by window."""
    offset = np.arange(11) - 5
    weight = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    whole, structure = [], []
    for i, j in itertools.product(*(range(side - 10) for side in x.shape)):
        a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
        mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
        var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
        cov = (weight * (a - mean_a) * (b - mean_b)).sum()
        structure.append((2 * cov + 0.03**2) / (var_a + var_b + 0.03**2))
        whole.append(structure[-1] * (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2))
    return np.mean(whole), np.mean(structure)


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_several_scales_are_the_weighted_product_over_halved_images(scales):
    x = images(1, 1, 45, 52)
    y = (0.6 * x + 0.1 + 0.02 * torch.randn_like(x)).clamp(0.01, 0.99)
    similar = 1 - measure_of(SSIM(scales), (1, 45, 52))(y.logit(), x).item() / (45 * 52)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    expected, a, b = 1.0, x[0, 0].numpy(), y[0, 0].numpy()
    for scale, weight in enumerate(weights / weights.sum()):
        expected *= slow_parts(a, b)[scale < scales - 1] ** weight
        a, b = (each[:, : each.shape[1] // 2 * 2][: each.shape[0] // 2 * 2] for each in (a, b))
        a, b = (each.reshape(each.shape[0] // 2, 2, -1, 2).mean((1, 3)) for each in (a, b))
    assert 0.1 < expected < 0.95
    assert similar == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("side", "scales"), [(8, 1), (21, 1), (22, 2), (64, 3), (175, 4), (176, 5), (400, 5)])
def test_there_are_as_many_scales_as_fit(side, scales):
    x, y = images(1, 1, side, side + 3), torch.randn(1, 1, side, side + 3, dtype=torch.float64)
    by_default = measure_of(SSIM(), (1, side, side + 3))(y, x)
    assert by_default.item() == measure_of(SSIM(scales=scales), (1, side, side + 3))(y, x).item()
    if scales < 5:
        with pytest.raises(DataError, match=f"set scales={scales}"):
            SSIM(scales=scales + 1).build((1, side, side + 3))


def test_channels_are_averaged():
    x, raw = images(3, 2, 30, 30), torch.randn(3, 2, 30, 30, dtype=torch.float64)
    both = measure_of(SSIM(), (2, 30, 30))(raw, x) / 2
    one = measure_of(SSIM(), (1, 30, 30))
    assert torch.allclose(both, (one(raw[:, :1], x[:, :1]) + one(raw[:, 1:], x[:, 1:])) / 2, rtol=1e-12)


@pytest.mark.parametrize(("shape", "scales"), [((2, 5, 6), 1), ((1, 22, 23), 2)])
def test_the_gradient_of_similarity_is_right(shape, scales):
    x, raw = images(1, *shape), torch.randn(1, *shape, dtype=torch.float64, requires_grad=True)
    measure = measure_of(SSIM(scales), shape)
    assert torch.autograd.gradcheck(lambda raw: measure(raw, x), raw)


def test_from_the_opposite_of_an_image_there_is_still_a_way_back():
    # Structure is negative at every scale, where a power of it is no number and a cut-off has no slope.
    x = images(2, 1, 64, 64).clamp(0.05, 0.95)
    raw = (1 - x).logit().requires_grad_()
    measure = measure_of(SSIM(), (1, 64, 64))
    distance = measure(raw, x)
    (gradient,) = torch.autograd.grad(distance.sum(), raw)
    assert distance.isfinite().all()
    assert gradient.isfinite().all()
    step = 0.1 * gradient / gradient.abs().amax((1, 2, 3), keepdim=True)  # the largest moves by a tenth
    assert (measure(raw - step, x) < distance - 1e-3).all()


@pytest.mark.parametrize("part", [CrossEntropy(), SSIM()], ids=str)
def test_half_precision_is_read_in_float32(part):
    raw, x = torch.randn(3, 1, 24, 24, dtype=torch.bfloat16), images(3, 1, 24, 24, dtype=torch.float32)
    measure = measure_of(part, (1, 24, 24))
    with torch.autocast("cpu", torch.bfloat16):
        coarse = measure(raw, x)
    assert coarse.dtype == torch.float32
    assert torch.allclose(coarse, measure(raw.float(), x), rtol=1e-6)
    double = measure(raw.double(), x.double())
    assert torch.allclose(coarse.double(), double, rtol=1e-4)


# What is refused


@pytest.mark.parametrize("part", [CrossEntropy(), SSIM()], ids=str)
def test_real_values_are_refused_and_others_are_not(part):
    with pytest.raises(DataError, match="take Gaussian"):
        part.check("real", 0)
    for domain in ("unit", "levels", "binary"):
        part.check(domain, 256)


def test_rows_that_are_no_images_are_refused():
    for shape in ((5,), (1, 1, 9), (2, 8)):
        with pytest.raises(DataError, match="CrossEntropy for values in"):
            SSIM().build(shape)


def test_a_fit_refuses_before_it_trains():
    table = np.random.default_rng(0).standard_normal((60, 3))
    with pytest.raises(DataError, match="this data is real; take Gaussian"):
        fit("autoencoder", table, distortion=CrossEntropy())
    with pytest.raises(UserError, match="SSIM compares images"):
        fit("autoencoder", open_source(table > 0), distortion=SSIM())


def test_scales_must_be_a_number_of_scales():
    with pytest.raises(ValueError, match="scales must be 1 to 5"):
        SSIM(6)
