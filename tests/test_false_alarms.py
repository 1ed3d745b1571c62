"""False alarms come at the rate that was asked for, on rows the model has not seen, however badly it overfits."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import likely
from likely.tasks import Calibration
from likely.tasks.gaps import Gaps, Usual, pattern_counts, pattern_keys

RATES = (0.1, 0.05, 0.01)
N_NEW = 200


def deviations(found: np.ndarray, rate: float, n_calibration: int) -> float:
    """How many standard deviations the mean of flagged shares (repetitions,) lies from a rate.

    Given its calibration rows a fit has a rate of its own, which follows a beta law; its N_NEW rows are binomial.
    """
    exact = math.floor(rate * (n_calibration + 1) + 1e-9) / (n_calibration + 1)
    if not exact:
        return math.inf if found.any() else 0.0
    variance = exact * (1 - exact) * (1 / (n_calibration + 2) + 1 / N_NEW) / len(found)
    return float(found.mean() - exact) / math.sqrt(variance)


@pytest.mark.parametrize(("n", "repetitions"), [(100, 100), (300, 60), (1000, 40)])
def test_a_model_that_overfits_raises_no_more_false_alarms_than_asked_for(n, repetitions):
    """60 components of 64 columns: what it learned from surprises it by tens of nats less than new rows do."""
    generator, flags = np.random.default_rng(n), {rate: [] for rate in RATES}
    for seed in range(repetitions):
        rows = generator.normal(size=(n + N_NEW, 64))
        config = likely.TrainConfig(seed=seed, device="cpu")
        fitted = likely.fit("ppca", rows[:n], z_size=60, test=0.0, train=config)
        for rate in RATES:
            flags[rate].append(fitted.score(rows[n:], false_alarm_rate=rate).is_novel.mean())
    learned = fitted.learned_from(rows)
    assert not learned[n:].any()
    gap = fitted.surprise(rows[n:]).mean() - fitted.surprise(rows[learned]).mean()
    assert gap > (2 if n == 1000 else 10)
    for rate in RATES:
        assert abs(deviations(np.array(flags[rate]), rate, len(fitted.calibration.surprises))) < 4


def test_rows_that_taught_or_were_tested_calibrate_nothing():
    X = np.random.default_rng(0).normal(size=(400, 3))
    fitted = likely.fit("ppca", X, z_size=1)
    known = fitted.learned_from(X)
    assert known.sum() == fitted.info["split"]["train"] + fitted.info["split"]["validation"]
    surprises = fitted.surprise(X)
    calibrated = np.isin(surprises, fitted.calibration.surprises)
    assert calibrated.sum() == fitted.info["split"]["calibration"] == len(fitted.calibration.surprises)
    assert not (calibrated & known).any()


# Rows with gaps.


def correlated(generator, n):
    z = generator.normal(size=(n, 2))
    x = z @ np.array([[1.0, 0.8, 0.5, 0.1], [0.0, 0.4, -0.6, 1.0]]) + 0.3 * generator.normal(size=(n, 4))
    return pd.DataFrame(20 * x, columns=["age", "income", "height", "weight"])


@pytest.fixture(scope="module")
def gappy():
    """A VAE of 4,000 rows, a fifth without income."""
    generator = np.random.default_rng(0)
    frame = correlated(generator, 4000)
    frame.loc[generator.random(4000) < 0.2, "income"] = np.nan
    return likely.fit("vae", frame, z_size=2, test=0.0, train=likely.TrainConfig(epochs=8, device="cpu"))


def test_flag_rates_hold_by_pattern_of_gaps(gappy):
    new = correlated(np.random.default_rng(1), 4000)
    new.loc[:1999, "income"] = np.nan
    for rate in (0.1, 0.05):
        novel = gappy.score(new, false_alarm_rate=rate).is_novel
        for some in (novel[:2000], novel[2000:]):
            # Some 80 and 320 calibration rows have these patterns.
            assert some.mean() == pytest.approx(rate, abs=4 * math.sqrt(rate / 80))
            assert some.mean() > rate / 4


def test_a_pattern_with_few_rows_is_held_against_rows_masked_alike(gappy):
    """Pooled over patterns, rows that show little would never be flagged."""
    new = correlated(np.random.default_rng(2), 2000)
    new[["income", "weight"]] = np.nan
    alone = gappy.calibration.gaps
    usual = Usual(alone.usual.n_rows + 400, {**alone.usual.counts, pattern_keys(np.array([[0, 1, 0, 1]]))[0]: 400})
    known = Calibration(gappy.calibration.surprises, 16, 0.0, Gaps(alone.x, None, alone.surprises, usual))
    fitted = likely.fitted.Fitted(gappy.model, gappy.spec, gappy.schema, known)
    assert fitted.score(new, false_alarm_rate=0.05).is_novel.mean() == pytest.approx(0.05, abs=0.03)
    pooled = known.p_value(fitted.surprise(new)) <= 0.05
    assert pooled.mean() < 0.005


def test_blanking_what_is_strange_makes_no_row_ordinary(gappy):
    new = correlated(np.random.default_rng(3), 2000)
    new.loc[:4, "weight"] += 180.0
    before = gappy.score(new[:5])
    assert before.is_novel.all()
    hidden = new[:5].copy()
    hidden[["weight", "height"]] = np.nan
    after = gappy.score(hidden)
    assert after.is_novel.all()
    assert all("lacks height, weight, as no more than one of 4,000 rows" in each for each in after.reason)


def test_gaps_survive_a_file_and_the_estimator_agrees_with_scores(gappy, tmp_path):
    new = correlated(np.random.default_rng(4), 300)
    new.loc[::3, "income"] = np.nan
    new.loc[::50, "age"] = np.nan
    gappy.save(tmp_path / "model")
    again = likely.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score(new).p_value, gappy.score(new).p_value)
    threshold = gappy.calibration.threshold(0.05)
    np.testing.assert_array_equal(gappy.anomaly_score(new) > threshold, gappy.score(new).is_novel)


def test_rows_are_strangers_to_gaps_too(gappy):
    new = correlated(np.random.default_rng(5), 40)
    new.loc[::4, "income"], new.loc[::3, "weight"] = np.nan, np.nan
    together = gappy.score(new).p_value
    alone = np.concatenate([gappy.score(new[i : i + 1]).p_value for i in range(40)])
    np.testing.assert_array_equal(together, alone)


# The same without a model: a judge that sums squares of what it sees.


def squares(x, condition):
    return x.square().nansum(1).numpy()


@pytest.fixture(scope="module")
def everywhere():
    """Rows of which every third value is missing: next to none shows what another shows."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 20, generator=generator, dtype=torch.float64)
    x[torch.rand(x.shape, generator=generator) < 0.35] = torch.nan
    missing = x.isnan().numpy()
    return Gaps(x, None, squares(x, None), Usual.of(pattern_counts(missing)))


def test_thousands_of_patterns_are_compared_by_what_both_rows_show(everywhere):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1500, 20, generator=generator, dtype=torch.float64)
    x[torch.rand(x.shape, generator=generator) < 0.35] = torch.nan
    p, rare = everywhere.p_values(x, None, squares(x, None), squares)
    assert not rare  # a pattern that nobody had is what everybody has
    for rate in (0.1, 0.05):
        assert (p <= rate).mean() == pytest.approx(rate, abs=0.03)
    little = x.isnan().sum(1) > 8  # rows that show little are flagged as often as those that show much
    assert (p[little.numpy()] <= 0.1).mean() == pytest.approx((p[~little.numpy()] <= 0.1).mean(), abs=0.05)


def test_the_rarer_its_gaps_the_smaller_the_p_value_of_a_pattern():
    usual = Usual.of({"00": 900, "80": 90, "40": 9, "20": 1})
    assert usual.p_value("00") == 1.0
    assert usual.p_value("80") == pytest.approx(101 / 1001)
    assert usual.p_value("40") == pytest.approx(11 / 1001)
    assert usual.p_value("10") == pytest.approx(2 / 1001)


def test_p_values_of_gaps_are_valid_for_rows_that_come_alike():
    """Patterns by a long-tailed law: the share of new rows with a p-value below a is at most a, and not far below."""
    generator = np.random.default_rng(0)
    share = 1 / np.arange(1, 60) ** 1.5
    found = []
    for _ in range(200):
        keys = generator.choice(59, 301, p=share / share.sum())
        names, counts = np.unique(keys[:300], return_counts=True)
        usual = Usual.of({str(name): int(n) for name, n in zip(names, counts, strict=True)})
        found.append(usual.p_value(str(keys[300])))
    for a in (0.05, 0.1, 0.2):
        assert (np.array(found) <= a).mean() <= a + 3 * math.sqrt(a / 200)
    assert (np.array(found) <= 0.2).mean() > 0.05


# What is novel by definition.


def test_what_was_not_there_at_fit_is_novel_whatever_the_model_says():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(400, 2)), columns=["a", "b"])
    frame["city"] = generator.choice(["Bonn", "Kiel"], 400)
    frame["unit"] = 7.0
    with pytest.warns(UserWarning, match="unit"):
        fitted = likely.fit("autoencoder", frame, train=likely.TrainConfig(epochs=2, device="cpu"))
    new = pd.DataFrame({"a": [0.0] * 4, "b": 0.0, "city": ["Bonn", "Ulm", "Kiel", "Bonn"], "unit": [7.0, 7, 8, 7]})
    new.loc[3, "a"] = 1e39
    scores = fitted.score(new)
    smallest = 1 / (len(fitted.calibration.surprises) + 1)
    np.testing.assert_array_equal(scores.is_novel, [False, True, True, True])
    np.testing.assert_array_equal(scores.p_value[1:], smallest)
    assert "\"city\": found 'Ulm', expected one of Bonn, Kiel" in scores.reason[1]
    assert '"unit": found 8, expected 7, the only value that was there at fit' in scores.reason[2]
    assert scores.reason[3] == "a: beyond all numbers that the model can hold"
    assert scores.reason[0] == ""
    order = np.argsort(fitted.anomaly_score(new))
    assert order[0] == 0
    assert np.isfinite(fitted.anomaly_score(new)).all()


def test_where_new_values_are_usual_they_are_no_evidence():
    """One in four calibration rows holds a category of its own: so does one in four ordinary rows."""
    surprises = np.concatenate([np.arange(75.0), np.full(24, np.inf)])
    assert Calibration(surprises).p_value(np.array([np.inf]))[0] == 0.25


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 0.999])
def test_a_row_with_gaps_gets_the_surprise_of_its_p_value(rate):
    calibration = Calibration(np.random.default_rng(0).normal(size=99))
    p = np.arange(1, 101) / 100
    flagged = calibration.surprise_at(p) > calibration.threshold(rate)
    np.testing.assert_array_equal(flagged, p <= rate + 1e-12)
