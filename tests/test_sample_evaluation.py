"""Figures of samples against what is known of them: closed forms, brute force, and many repetitions."""

import math

import numpy as np
import pytest
from scipy import linalg, stats

from likely.evaluation import (
    auroc,
    fidelity,
    frechet_distance,
    frechet_estimate,
    frechet_floor,
    kernel_mmd,
    two_sample_test,
)
from likely.evaluation.precision_recall import Fidelity


@pytest.fixture
def random():
    return np.random.default_rng(0)


def with_moments(random, n, mean, covariance):
    """n rows whose mean and covariance (n - 1) are exactly these."""
    rows = random.normal(size=(n, len(mean)))
    rows -= rows.mean(0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return rows @ np.linalg.cholesky(covariance).T + mean


def a_covariance(random, d):
    root = random.normal(size=(d, d))
    return root @ root.T + 0.1 * np.eye(d)


# Fréchet


def test_frechet_of_known_gaussians_is_the_closed_form(random):
    a, b = a_covariance(random, 4), a_covariance(random, 4)
    mean_a, mean_b = random.normal(size=(2, 4))
    root = linalg.sqrtm(a)
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(a + b - 2 * linalg.sqrtm(root @ b @ root)).real
    x, y = with_moments(random, 50, mean_a, a), with_moments(random, 70, mean_b, b)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_diagonal_gaussians_is_that_of_each_value(random):
    x = with_moments(random, 30, np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    y = with_moments(random, 30, np.array([1.0, 0.0, 2.0]), np.diag([4.0, 4.0, 1.0]))
    assert frechet_distance(x, y) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)


def test_frechet_of_few_rows_and_constant_values(random):
    """Fewer rows than values, and values that never vary: a root of the covariance that is made from it would fail."""
    x = random.normal(size=(5, 40))
    x[:, 7] = 3.0
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-10)
    assert frechet_distance(x, x[::-1] + 2.0) == pytest.approx(4.0 * 40)
    # Two rows have one direction: a Gaussian on a line, of standard deviation |difference| / sqrt 2.
    one, other = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert frechet_distance(one, other) == pytest.approx(2.0)


def test_frechet_keeps_small_differences(random):
    """The distance of rows moved by 1e-5 is 1e-10 a value; roots of eigenvalues would bury it under 1e-8."""
    x = random.normal(size=(500, 8))
    assert frechet_distance(x, x + 1e-5) == pytest.approx(8e-10, rel=1e-3)


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (np.zeros((1, 2)), np.zeros((5, 2)), "at least 2"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "as many values"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "finite"),
    ],
)
def test_frechet_refuses_what_has_no_covariance(x, y, what):
    with pytest.raises(ValueError, match=what):
        frechet_distance(x, y)


def test_the_error_of_a_distance_is_the_spread_over_many_draws(random):
    pairs = [(random.normal(size=(200, 3)), random.normal(0.7, 1.5, (200, 3))) for _ in range(200)]
    found = [frechet_estimate(x, y) for x, y in pairs]
    assert np.mean([each.error for each in found]) == pytest.approx(np.std([each.mean for each in found]), rel=0.15)
    assert found[0].mean == frechet_distance(*pairs[0])
    assert math.isnan(frechet_estimate(np.zeros((5, 1)), np.ones((5, 1))).error)


def test_the_floor_is_what_two_draws_of_one_distribution_come_to(random):
    draws = [frechet_distance(*random.normal(size=(2, 100, 4))) for _ in range(300)]
    floors = [frechet_floor(random.normal(size=(200, 4))) for _ in range(30)]
    assert np.mean([each.mean for each in floors]) == pytest.approx(np.mean(draws), rel=0.1)
    assert np.mean([each.error for each in floors]) == pytest.approx(np.std(draws), rel=0.2)
    with pytest.raises(ValueError, match="halves"):
        frechet_floor(np.zeros((3, 2)))


# MMD


def slow_mmd(x, y, s):
    def kernel(a, b):
        return math.exp(-((a - b) ** 2).sum() / (2 * s**2))

    own = [kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]
    others = [kernel(y[i], y[j]) for i in range(len(y)) for j in range(len(y)) if i != j]
    return np.mean(own) + np.mean(others) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_mmd_equals_the_double_loop(random):
    x, y = random.normal(size=(12, 3)), random.normal(0.5, 1, size=(17, 3))
    assert kernel_mmd(x, y, bandwidth=1.3).mean == pytest.approx(slow_mmd(x, y, 1.3), abs=1e-12)
    both = np.concatenate([x, y])
    median = np.quantile([np.linalg.norm(a - b) for i, a in enumerate(both) for b in both[:i]], 0.5, method="lower")
    assert kernel_mmd(x, y).mean == pytest.approx(slow_mmd(x, y, median), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_mmd_has_no_bias_and_its_error_is_the_spread_over_many_draws(random, shift):
    s = 1.0
    found = [kernel_mmd(random.normal(size=(40, 1)), random.normal(shift, 1, (60, 1)), bandwidth=s) for _ in range(600)]
    values = np.array([each.mean for each in found])
    # E k(a, b) of a - b ~ N(m, 2) is s / sqrt(s^2 + 2) exp(-m^2 / (2 (s^2 + 2))).
    expected = 2 * s / math.sqrt(s**2 + 2) * (1 - math.exp(-(shift**2) / (2 * (s**2 + 2))))
    assert abs(values.mean() - expected) < 3.5 * values.std() / math.sqrt(len(values))
    rms = math.sqrt(np.mean([each.error**2 for each in found]))
    # Where nothing differs only the second order is left, whose estimate is cut off below.
    assert 0.88 * values.std() < rms < (1.25 if shift == 0 else 1.12) * values.std()


def test_mmd_of_equal_and_of_disjoint_rows(random):
    assert kernel_mmd(np.ones((5, 2)), np.ones((6, 2))) == pytest.approx((0.0, 0.0), abs=1e-12)
    x = random.normal(size=(30, 2))
    assert kernel_mmd(x, x + 1e4, bandwidth=1e-3).mean == pytest.approx(0.0, abs=1e-9)  # all are equally far
    assert kernel_mmd(np.zeros((5, 1)), np.ones((5, 1)), bandwidth=0.1).mean == pytest.approx(2.0)


def test_mmd_is_not_misled_by_rows_that_are_mostly_equal(random):
    """The median distance is 0 then; the kernel is as wide as the distances of rows that differ."""
    x, y = np.zeros((100, 1)), np.zeros((100, 1))
    x[:10], y[:50] = 1.0, 1.0
    assert kernel_mmd(x, y).mean > 3 * kernel_mmd(x, y).error


def test_mmd_refuses_what_it_cannot_pair():
    with pytest.raises(ValueError, match="at least 2"):
        kernel_mmd(np.zeros((1, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="as many values"):
        kernel_mmd(np.zeros((4, 2)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="bandwidth"):
        kernel_mmd(np.zeros((4, 2)), np.zeros((5, 2)), bandwidth=0.0)


# Precision, recall, density, coverage


def slow_fidelity(samples, real, k):
    def radius(rows, i):
        return sorted(np.linalg.norm(rows[i] - rows[j]) for j in range(len(rows)) if j != i)[k - 1]

    of_real, of_samples = ([radius(rows, i) for i in range(len(rows))] for rows in (real, samples))
    within = np.array([[np.linalg.norm(y - x) <= r for x, r in zip(real, of_real, strict=True)] for y in samples])
    recalled = [any(np.linalg.norm(x - y) <= r for y, r in zip(samples, of_samples, strict=True)) for x in real]
    return Fidelity(within.any(1).mean(), np.mean(recalled), within.sum() / (k * len(samples)), within.any(0).mean())


@pytest.mark.parametrize("k", [1, 3, 5])
def test_fidelity_equals_brute_force(random, k, monkeypatch):
    monkeypatch.setattr("likely.evaluation.precision_recall.CHUNK_ROWS", 7)
    samples, real = random.normal(0.5, 1.0, (31, 2)), random.normal(size=(23, 2))
    found, expected = fidelity(samples, real, k=k), slow_fidelity(samples, real, k)
    assert vars(found) == pytest.approx(vars(expected))


def test_whole_numbers_have_ties_that_count_as_near(random):
    samples, real = random.integers(0, 3, (40, 2)), random.integers(0, 3, (50, 2))
    assert vars(fidelity(samples, real)) == pytest.approx(vars(slow_fidelity(samples.astype(float), real, 5)))
    same = fidelity(np.ones((9, 2)), np.ones((8, 2)))
    assert (same.precision, same.recall, same.coverage) == (1.0, 1.0, 1.0)


def test_coverage_and_density_of_equal_distributions_are_what_theory_says(random):
    """Naeem et al. (2020), lemmas 1 and 2: density 1 in mean, coverage 1 - (M-1)...(M-k) / ((M+N-1)...(M+N-k))."""
    n, k = 200, 3
    found = [fidelity(random.normal(size=(n, 4)), random.normal(size=(n, 4)), k=k) for _ in range(60)]
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    for name, right in (("density", 1.0), ("coverage", expected)):
        values = np.array([getattr(each, name) for each in found])
        assert abs(values.mean() - right) < 3.5 * values.std() / math.sqrt(len(values))


def test_a_lost_mode_costs_recall_and_an_invented_one_precision(random):
    left, right = random.normal(size=(300, 2)), random.normal(100, 1, (300, 2))
    lost = fidelity(random.normal(size=(300, 2)), np.concatenate([left, right]))
    assert lost.precision > 0.95
    assert lost.recall < 0.55
    assert lost.coverage < 0.55
    invented = fidelity(np.concatenate([left, right]), random.normal(size=(300, 2)))
    assert invented.precision < 0.55
    assert invented.recall > 0.95


def test_an_outlier_among_real_rows_raises_precision_and_not_density(random):
    """Why there is a density: the ball of one real row far off takes in all that lies between (Naeem, figure 2)."""
    real = np.concatenate([random.normal(size=(200, 2)), [[50.0, 0.0]]])
    samples = random.normal([20.0, 0.0], 1.0, (200, 2))
    found = fidelity(samples, real)
    assert found.precision == 1.0
    assert found.density == pytest.approx(0.2)  # each in one ball, of 5 that a real row would be in


def test_fidelity_refuses_too_few_rows(random):
    with pytest.raises(ValueError, match="more than k=5"):
        fidelity(random.normal(size=(5, 2)), random.normal(size=(50, 2)))
    with pytest.raises(ValueError, match="values"):
        fidelity(random.normal(size=(9, 2)), random.normal(size=(9, 3)))


# A classifier


def test_equal_distributions_are_not_told_apart_and_the_error_is_the_spread(random):
    found = [two_sample_test(*random.normal(size=(2, 100, 2)), seed=i) for i in range(24)]
    for name in ("accuracy", "auroc"):
        values = np.array([getattr(each, name) for each in found])
        assert abs(values.mean() - 0.5) < 0.03  # cross-fitting leans a little to below one half
        mean_error = np.mean([getattr(each, name + "_error") for each in found])
        assert mean_error == pytest.approx(values.std(ddof=1), rel=0.4)


def test_disjoint_distributions_are_told_apart(random):
    x = random.normal(size=(60, 3))
    found = two_sample_test(x, x + 20)
    assert found.accuracy > 0.98
    assert found.auroc == pytest.approx(1.0)


def test_the_accuracy_comes_near_that_of_the_best_classifier(random):
    """An oracle: of N(0, 1) and N(1.5, 1) no classifier is right more often than Phi(0.75)."""
    found = two_sample_test(random.normal(size=(1000, 1)), random.normal(1.5, 1, (1000, 1)))
    best = stats.norm.cdf(0.75)
    assert best - 0.05 < found.accuracy < best + 3 * found.accuracy_error


@pytest.mark.parametrize(
    "what", ["dependence", "rounding", "one value of many", "a lost mode", "a ring"], ids=lambda each: each
)
def test_what_means_and_a_linear_rule_do_not_see_is_seen(random, what):
    x, y = random.normal(size=(2, 400, 4))
    if what == "dependence":
        y[:, 1] = y[:, 0] * np.sign(random.normal(size=400))
    elif what == "rounding":
        y = np.round(y, 1)
    elif what == "one value of many":
        x, y = random.normal(size=(2, 400, 300))
        y[:, :150] *= 1.6
    elif what == "a lost mode":
        x[:200] += 6
        y[:40] += 6
    else:
        y /= np.linalg.norm(y, axis=1, keepdims=True)
    found = two_sample_test(x, y)
    assert found.accuracy > 0.5 + 4 * found.accuracy_error


def test_a_two_sample_test_is_the_same_each_time_and_looks_at_the_seed_alone(random):
    x, y = random.normal(size=(2, 30, 70))

    first = two_sample_test(x, y, seed=3)

    assert two_sample_test(x, y, seed=3) == first
    assert two_sample_test(x, y, seed=4) != first


def test_odd_rows_of_a_two_sample_test(random):
    assert two_sample_test(np.ones((9, 3)), np.ones((9, 3))).accuracy == pytest.approx(0.5, abs=0.1)
    assert two_sample_test(np.ones((9, 300)), np.ones((9, 300))).auroc == pytest.approx(0.5)
    few = two_sample_test(random.normal(size=(2, 3)), random.normal(size=(2, 3)))
    assert 0 <= few.accuracy <= 1
    constant = random.normal(size=(80, 3))
    constant[:, 1] = 4.0
    assert two_sample_test(constant, constant + np.array([0.0, 1.0, 0.0])).accuracy > 0.95


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (np.zeros((5, 2)), np.zeros((6, 2)), "as many rows"),
        (np.zeros((1, 2)), np.zeros((1, 2)), "at least 2"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "as many values"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "finite"),
    ],
)
def test_a_two_sample_test_refuses_what_it_cannot_judge(x, y, what):
    with pytest.raises(ValueError, match=what):
        two_sample_test(x, y)


def test_area_agrees_with_the_figure_of_detection(random):
    """The two measures of ranking in this package are one."""
    score = random.normal(size=50)
    assert auroc(score, score > 0) == 1.0
