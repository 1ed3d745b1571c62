import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from likely import evaluation
from likely.errors import ModelFileError
from likely.evaluation import Assessment, Curve, Figure


@pytest.fixture
def random():
    return np.random.default_rng(0)


# Density


def test_uniform_probability_of_256_levels_is_eight_bits():
    assert evaluation.bits_per_dim([-784 * math.log(256)], 784) == pytest.approx([8.0])


@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
def test_bits_of_a_dequantized_density_do_not_depend_on_the_unit(low, high):
    bin_width = (high - low) / 255
    log_density = -10 * math.log(256 * bin_width)  # uniform over 256 bins of that width
    bits = evaluation.bits_per_dim([log_density], 10, levels=256, low=low, high=high)
    assert bits == pytest.approx([8.0])


def test_a_fine_density_gives_the_entropy_of_its_rounded_values():
    # 1000 levels, sigma of 40 levels: the sum over levels is the integral to many digits.
    x = np.linspace(0, 1, 1000)
    probability = stats.norm.pdf(x, 0.5, 0.04)
    p_level = probability / probability.sum()
    bits = evaluation.bits_per_dim(np.log(probability), 1, levels=1000)
    assert (p_level * bits).sum() == pytest.approx(stats.entropy(p_level, base=2), abs=1e-9)


def test_bits_count_observed_values_row_by_row():
    assert evaluation.bits_per_dim([-2 * math.log(2), -6 * math.log(2)], [2, 3]) == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize("wrong", [{"levels": 1}, {"levels": 4, "low": 1.0}, {"levels": 4, "low": 2.0, "high": 1.0}])
def test_bits_refuse_what_is_no_grid(wrong):
    with pytest.raises(ValueError, match="must be"):
        evaluation.bits_per_dim([-1.0], 1, **wrong)


def test_bits_refuse_rows_without_values():
    with pytest.raises(ValueError, match="n_values"):
        evaluation.bits_per_dim([-1.0, -1.0], [1, 0])


def test_standard_error_is_the_spread_of_means_over_many_repetitions(random):
    values = random.exponential(3.0, (4000, 50))
    errors = [evaluation.mean_with_error(row).error for row in values]
    assert np.mean(errors) == pytest.approx(values.mean(1).std(), rel=0.05)
    assert evaluation.mean_with_error(values[0]).error == pytest.approx(stats.sem(values[0]))


def test_mean_of_odd_values():
    assert math.isnan(evaluation.mean_with_error([1.0]).error)
    assert evaluation.mean_with_error([0.0, -math.inf]).mean == -math.inf
    with pytest.raises(ValueError, match="at least one"):
        evaluation.mean_with_error([])


# Reconstruction


def test_mse_and_psnr_by_hand():
    x, y = np.array([[0.0, 0.0], [3.0, np.nan]]), np.array([[3.0, 4.0], [1.0, 9.0]])
    assert evaluation.mse(x, y) == pytest.approx([12.5, 4.0])
    assert evaluation.psnr(x, y, data_range=5.0) == pytest.approx([10 * math.log10(2), 10 * math.log10(25 / 4)])
    assert evaluation.psnr(y, y, data_range=1.0).tolist() == [math.inf, math.inf]
    assert math.isnan(evaluation.mse([[np.nan]], [[1.0]])[0])


def slow_ssim(x, y, data_range):
    """Wang et al. (2004), window by window, with two-pass variances."""
    size = min(11, *x.shape)
    size -= 1 - size % 2
    at = np.arange(size) - size // 2
    weight = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for i, j in itertools.product(range(x.shape[0] - size + 1), range(x.shape[1] - size + 1)):
        a, b = x[i : i + size, j : j + size], y[i : i + size, j : j + size]
        mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
        var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
        cov = (weight * (a - mean_a) * (b - mean_b)).sum()
        top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
        values.append(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return np.mean(values)


@pytest.mark.parametrize("shape", [(16, 13), (11, 11), (8, 8), (3, 20), (1, 5), (2, 2)])
def test_ssim_equals_the_slow_loop(random, shape):
    x = random.uniform(0, 255, (3, *shape))
    y = np.clip(x + random.normal(0, 30, x.shape), 0, 255)
    expected = [slow_ssim(a, b, 255.0) for a, b in zip(x, y, strict=True)]
    assert evaluation.ssim(x, y, data_range=255.0) == pytest.approx(expected, abs=1e-10)


def test_ssim_of_channels_is_the_mean_over_them(random, monkeypatch):
    monkeypatch.setattr("likely.evaluation.reconstruction.CHUNK_VALUES", 500)  # two images at a time
    x, y = random.uniform(size=(2, 5, 12, 14, 3))
    expected = [np.mean([slow_ssim(a[..., c], b[..., c], 1.0) for c in range(3)]) for a, b in zip(x, y, strict=True)]
    assert evaluation.ssim(x, y, data_range=1.0, channel_axis=-1) == pytest.approx(expected, abs=1e-10)
    first = np.moveaxis(x, -1, 1), np.moveaxis(y, -1, 1)
    assert evaluation.ssim(*first, data_range=1.0, channel_axis=0) == pytest.approx(expected, abs=1e-10)


def test_ssim_takes_tensors_and_reaches_one():
    x = torch.rand(2, 9, 9)
    assert evaluation.ssim(x, x, data_range=1.0) == pytest.approx([1.0, 1.0])


def test_reconstruction_refuses_what_does_not_match():
    with pytest.raises(ValueError, match="one shape"):
        evaluation.mse(np.zeros((2, 3)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="axes"):
        evaluation.ssim(np.zeros((2, 3)), np.zeros((2, 3)), data_range=1.0)
    with pytest.raises(ValueError, match="data_range"):
        evaluation.psnr(np.zeros((2, 3)), np.zeros((2, 3)), data_range=0.0)


# Detection


def test_auroc_is_the_share_of_pairs_in_order(random):
    score, novel = random.integers(0, 8, 60).astype(float), random.random(60) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in score[novel] for b in score[~novel]]
    assert evaluation.auroc(score, novel) == pytest.approx(np.mean(pairs))


def test_auroc_error_is_the_spread_over_many_draws(random):
    novel = np.arange(120) < 40
    draws = [random.normal(novel * 1.0) for _ in range(800)]
    spread = np.std([evaluation.auroc(score, novel) for score in draws])
    assert np.mean([evaluation.auroc_error(score, novel) for score in draws]) == pytest.approx(spread, rel=0.1)


def test_average_precision_by_hand():
    # Found in places 1 and 3: (1/1 + 2/3) / 2.
    found = evaluation.average_precision([math.inf, 3.0, 2.0, 1.0], [True, False, True, False])
    assert found == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("score", "novel", "words"),
    [([1, 2], [1, 1], "novel and normal"), ([1], [1, 0], "one label"), ([1, math.nan], [1, 0], "NaN in row 1")],
)
def test_detection_refuses(score, novel, words):
    with pytest.raises(ValueError, match=words):
        evaluation.auroc(score, novel)


# Codes


def test_probes_read_what_is_there_and_nothing_else(random):
    labels = np.array(["even", "odd"])[np.arange(400) % 2]
    told = np.where(labels == "odd", 1.0, -1.0)[:, None] + random.normal(0, 0.1, (400, 3)) * [1, 1e6, 1]
    untold = random.normal(size=(400, 3))
    for probe in (evaluation.linear_probe_accuracy, evaluation.nearest_neighbor_accuracy):
        assert probe(told[:200], labels[:200], told[200:], labels[200:]) == 1.0
        assert 0.35 < probe(untold[:200], labels[:200], untold[200:], labels[200:]) < 0.65


def test_neighbors_read_what_a_line_cannot(random):
    x = random.normal(size=(600, 2))
    ring = (np.hypot(*x.T) > 1.2).astype(int)
    parts = x[:400], ring[:400], x[400:], ring[400:]
    assert evaluation.nearest_neighbor_accuracy(*parts) > 0.9
    assert evaluation.linear_probe_accuracy(*parts) < 0.75


def test_probes_refuse_one_class_and_unequal_lengths():
    x = np.zeros((4, 1))
    with pytest.raises(ValueError, match="2 classes"):
        evaluation.linear_probe_accuracy(x, [1, 1, 1, 1], x, [1, 1, 1, 1])
    with pytest.raises(ValueError, match="4 codes and 3 labels"):
        evaluation.nearest_neighbor_accuracy(x, [1, 1, 2], x, [1, 1, 1, 1])


# Copies


def test_nearest_rows_equal_brute_force_in_any_pieces(random):
    training = random.normal(size=(50, 2, 3)) + 1e6
    queries = np.concatenate([training[17:18], random.normal(size=(9, 2, 3)) + 1e6])
    slow = np.sqrt(((queries[:, None] - training[None]) ** 2).sum((2, 3)))
    for pieces in (training, iter([training[:7], training[7:8], training[8:]])):
        distance, nearest = evaluation.nearest_rows(queries, pieces, chunk=4)
        assert nearest.tolist() == slow.argmin(1).tolist()
        assert distance == pytest.approx(slow.min(1), abs=1e-12)
    assert (distance[0], nearest[0]) == (0.0, 17)


def test_copies_are_found_and_honest_draws_are_not(random):
    training, held_out, fresh = random.normal(size=(3, 500, 4))
    honest = evaluation.find_copies(fresh, held_out, training)
    assert honest.share < 0.04
    assert honest.auroc == pytest.approx(0.5, abs=0.06)
    assert honest.identical == 0
    half = np.concatenate([training[:100], training[100:200] + 1e-6, fresh[:200]])
    copied = evaluation.find_copies(half, held_out, training)
    assert copied.share == pytest.approx(0.5, abs=0.03)
    assert copied.identical == 0.25
    assert copied.auroc == pytest.approx(0.75, abs=0.05)
    assert copied.nearest[:200].tolist() == list(range(200))


def test_copies_on_real_digits():
    rows = load_digits().data[:1200] / 16
    found = evaluation.find_copies(np.concatenate([rows[:50], rows[1100:1150]]), rows[900:1100], rows[:900])
    assert found.identical == 0.5
    assert found.share >= 0.5


def test_copies_refuse_nothing_to_compare():
    with pytest.raises(ValueError, match="needed, got none"):
        evaluation.nearest_rows(np.zeros((2, 2)), iter([]))
    with pytest.raises(ValueError, match="training rows have 3 values"):
        evaluation.nearest_rows(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="held-out"):
        evaluation.find_copies(np.zeros((0, 2)), np.zeros((1, 2)), np.zeros((1, 2)))


# Assessment


def test_assessment_survives_strict_json():
    error = Figure("MSE", "pixel²", "lower", {"vae": 0.5, "PCA (2)": 1.5}, errors={"vae": math.nan})
    bound = Figure("PSNR", "dB", "higher", {"vae": math.inf, "ppca": -math.inf}, {"vae": ">=", "ppca": "="}, note="n")
    curve = Curve("contrast", "dimensions", "", {"vae": ((1.0, 0.5), (2.0, math.inf)), "raw": ()}, "n")
    before = Assessment(10, (error, bound), ("Better.",), (curve,))
    after = Assessment.from_json(json.loads(json.dumps(before.to_json(), allow_nan=False)))
    assert math.isnan(after.figures[0].errors["vae"])
    assert after.figures[1] == bound
    assert after.verdicts == before.verdicts
    assert after.curves == (curve,)
    assert after.figure("PSNR") == bound
    assert after.figure("SSIM") is None
    assert after.row_names() == ("vae", "PCA (2)", "ppca")


def test_best_row_follows_the_direction():
    values = {"vae": math.nan, "a": 1.0, "b": 2.0}
    assert [Figure("x", "", better, values).best() for better in ("higher", "lower", "neither")] == ["b", "a", None]
    assert Figure("x", "", "lower", {"a": math.nan}).best() is None


@pytest.mark.parametrize("damage", [{"better": "up"}, {"marks": {"vae": "<"}}, {"errors": {"pca": 1}}, {"values": 3}])
def test_damaged_assessments_are_one_line(damage):
    good = Assessment(1, (Figure("MSE", "", "lower", {"vae": 1.0}),)).to_json()
    good["figures"][0] |= damage
    with pytest.raises(ModelFileError, match="not an assessment") as caught:
        Assessment.from_json(good)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelFileError):
        Assessment.from_json([])


def test_assessments_from_before_there_were_curves_are_read():
    old = Assessment(1).to_json()
    del old["curves"]
    assert Assessment.from_json(old) == Assessment(1)
