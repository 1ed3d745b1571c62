"""P-values and flags: what they promise, by counting."""

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
    calibration = Calibration(np.random.default_rng(2).normal(size=50), cross_fitted=True)
    again = Calibration.from_json(calibration.to_json())
    np.testing.assert_array_equal(again.surprises, calibration.surprises)
    assert again.cross_fitted
    for broken in ({}, {"surprises": [1.0]}, {"surprises": [float("nan")], "cross_fitted": True}, [1.0]):
        with pytest.raises(ModelFileError):
            Calibration.from_json(broken)


def test_fewer_rows_are_asked_where_each_takes_long():
    """By Hutchinson's estimate a density is followed step by step; an exact trace, and any other density, is quick."""
    assert rows_enough(FlowMatching((8,)), 10_000) == 10_000
    assert rows_enough(PPCA((200,), 2), 10_000) == 10_000
    asked = [rows_enough(FlowMatching((n,)), 10_000) for n in (100, 200, 400, 3000)]
    assert asked == [500, 300, 150, 100]
    assert rows_enough(FlowMatching((3000,)), 60) == 60
