"""Where chains go, in the caller's terms, and what a report shows of it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine

import likely
from likely.data import open_source
from likely.errors import Unsupported, UserError
from likely.evaluation import Assessment, mixing
from likely.networks import MLP
from likely.report import ReportParts, gather, render

SETTINGS = {"network": MLP((16,)), "z_size": 4, "walkback": 1, "burn_in": 7}


@pytest.fixture(scope="module")
def digits():
    data = load_digits(n_class=3)
    source = open_source(data.images.astype(np.uint8))
    source.labels = data.target.astype(str)
    train = likely.TrainConfig(epochs=3, seed=0)
    return source, likely.fit("gsn", source, train=train, calibrate="none", condition="label", **SETTINGS)


def test_states_come_chain_after_chain_in_the_units_of_the_rows(digits):
    _, fitted = digits
    found = likely.walk(fitted, 3, 8, skip=0, seed=2)
    assert found.rows.shape == (24, 8, 8)
    assert found.rows.dtype == np.uint8
    longer = likely.walk(fitted, 3, 5, skip=3, seed=2)
    np.testing.assert_array_equal(found.rows.reshape(3, 8, 8, 8)[:, 3:], longer.rows.reshape(3, 5, 8, 8))
    x = fitted.batch(found.rows, condition=["0"] * 24).x.reshape(3, 8, 1, 8, 8).transpose(0, 1)
    np.testing.assert_allclose(found.mixing.autocorrelation, mixing(x.numpy()).autocorrelation, atol=1e-6)


def test_by_default_a_walk_begins_where_a_sample_is_drawn(digits):
    _, fitted = digits
    found, whole = likely.walk(fitted, 2, 4), likely.walk(fitted, 2, 11, skip=0)
    assert found.skipped == 7
    np.testing.assert_array_equal(found.rows.reshape(2, 4, 8, 8), whole.rows.reshape(2, 11, 8, 8)[:, 7:])


def test_chains_keep_the_class_that_they_are_told(digits):
    _, fitted = digits
    assert likely.walk(fitted, 2, 4, condition="1").rows.shape == (8, 8, 8)
    with pytest.raises(likely.DataError, match="'9' was not seen"):
        likely.walk(fitted, 2, 4, condition="9")


def test_what_is_no_walk_is_refused(digits):
    _, fitted = digits
    with pytest.raises(UserError, match="n_steps=3"):
        likely.walk(fitted, 2, 3)
    with pytest.raises(Unsupported, match=r"pca cannot show a chain; models that can: .*gsn"):
        likely.walk(likely.fit("pca", load_wine().data), 2, 4)


def test_a_report_shows_states_one_after_another_and_how_fast_they_are_forgotten(digits, monkeypatch):
    source, fitted = digits
    monkeypatch.setattr("likely.report.chains.N_STEPS", 20)
    pages = gather(fitted, ReportParts(source, np.arange(400), np.arange(400, 460), Assessment(60)))
    shown = pages.chains
    begun, after = likely.walk(fitted, 1, 12, skip=0), likely.walk(fitted, 20, 20)
    np.testing.assert_array_equal(shown.states.rows[0], begun.rows)
    np.testing.assert_array_equal(shown.states.rows[1:], after.rows.reshape(20, 20, 8, 8)[:3, :12])
    assert shown.mixing.steps_per_draw == after.mixing.steps_per_draw
    page = render(pages)
    assert "How the chain goes" in page
    assert "steps per independent draw" in page


def test_a_model_that_draws_at_once_has_no_chain_to_show():
    source = open_source(load_wine().data)
    fitted = likely.fit("ppca", source, calibrate="none")
    pages = gather(fitted, ReportParts(source, np.arange(100), np.arange(100, 178), Assessment(78)))
    assert pages.chains is None
    assert "How the chain goes" not in render(pages)
