"""P-values and flags: what they promise, by counting."""

import json
import math

import numpy as np
import pytest

from likely.errors import ModelFileError
from likely.models import PPCA, FlowMatching
from likely.tasks import Calibration, rows_enough


def test_p_values_count_the_rows_at_least_as_strange():
    calibration = Calibration(np.array([3.0, 1.0, 2.0, 2.0]))
    np.testing.assert_allclose(calibration.p_value(np.array([0.0, 1.0, 2.0, 2.5, 9.0])), [1, 1, 0.8, 0.4, 0.2])


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.37])
def test_a_row_is_flagged_exactly_where_its_p_value_is_at_most_the_rate(rate):
    generator = np.random.default_rng(0)
    calibration = Calibration(generator.integers(0, 60, 150).astype(float))  # with ties
    surprise = np.arange(-1, 70, 0.5)
    flagged = surprise > calibration.threshold(rate)
    np.testing.assert_array_equal(flagged, calibration.p_value(surprise) <= rate + 1e-12)


def test_the_false_alarm_rate_holds_on_new_rows():
    """Over many calibrations ordinary rows are flagged as often as stated, not on one lucky set."""
    generator = np.random.default_rng(1)
    rates = []
    for _ in range(400):
        rows = generator.standard_cauchy(199)
        new = generator.standard_cauchy(100)
        rates.append((new > Calibration(rows).threshold(0.05)).mean())
    assert np.mean(rates) == pytest.approx(0.05, abs=4 * np.std(rates) / 20)


@pytest.mark.parametrize(("n", "enough"), [(98, False), (99, True)])
def test_too_few_rows_flag_nothing_and_it_is_said(n, enough):
    calibration = Calibration(np.arange(float(n)))
    assert np.isfinite(calibration.threshold(0.01)) == enough
    assert (calibration.shortage(0.01) == "") == enough
    if not enough:
        assert "takes 99" in calibration.shortage(0.01)


def test_json_gives_every_bit_back_and_refuses_the_rest():
    surprises = np.append(np.random.default_rng(2).normal(size=50), [np.inf, np.inf])
    calibration = Calibration(surprises, n_samples=32, error=0.25)
    data = json.loads(json.dumps(calibration.to_json(), allow_nan=False))
    again = Calibration.from_json(data, {})
    np.testing.assert_array_equal(again.surprises, calibration.surprises)
    assert (again.n_samples, again.error, again.gaps) == (32, 0.25, None)
    changes = [{"surprises": [math.nan]}, {"surprises": ["1"]}, {"novel": -1}, {"novel": 2**40}, {"error": -1.0}]
    changes += [{"n_samples": 0}, {"gaps": {}}, {"gaps": {"surprises": [1.0]}}, {"more": 1}]
    for broken in ({}, {"surprises": [1.0]}, [1.0], *(data | change for change in changes)):
        with pytest.raises(ModelFileError):
            Calibration.from_json(broken, {})


def test_p_values_by_cross_fitting_are_not_taken_over_from_older_files():
    """They judged one model by others, so that no rate held."""
    assert Calibration.from_json({"surprises": [1.0], "cross_fitted": True}, {}) is None
    assert len(Calibration.from_json({"surprises": [1.0], "cross_fitted": False}, {}).surprises) == 1


def test_fewer_rows_are_asked_where_each_takes_long():
    """By Hutchinson's estimate a density is followed step by step; an exact trace, and any other density, is quick."""
    assert rows_enough(FlowMatching((8,)), 10_000) == 10_000
    assert rows_enough(PPCA((200,), 2), 10_000) == 10_000
    asked = [rows_enough(FlowMatching((n,)), 10_000) for n in (100, 200, 400, 3000)]
    assert asked == [500, 300, 150, 100]
    assert rows_enough(FlowMatching((3000,)), 60) == 60
