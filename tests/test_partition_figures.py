"""Log-likelihoods of models that know only an energy: as `likely evaluate` shows them, against sums and integrals."""

import importlib
import itertools
import math

import numpy as np
import pytest

import likely
from likely.assess import assess
from likely.data import open_source
from likely.tasks import partition

TRAIN = likely.TrainConfig(epochs=20, device="cpu")


def bits() -> np.ndarray:
    """Two patterns of eight bits, a bit in ten turned."""
    rng = np.random.default_rng(0)
    pattern = np.array([[0, 1] * 4, [1, 1, 0, 0] * 2])[rng.integers(0, 2, 300)]
    return (pattern ^ (rng.random((300, 8)) < 0.1)).astype(np.uint8)


def figure_of(fitted, rows):
    found = assess(fitted, open_source(rows), open_source(rows)).figures
    return next(figure for figure in found if figure.name == "log-likelihood")


def enumerated(fitted, rows: np.ndarray) -> np.ndarray:
    """log p of rows, with the constant by a sum over all visible states."""
    states = np.array(list(itertools.product((0, 1), repeat=8)), np.uint8)
    return -fitted.surprise(rows) - np.logaddexp.reduce(-fitted.surprise(states))


@pytest.mark.parametrize("z_size", [12, 24])
def test_a_log_likelihood_is_that_of_enumeration(z_size):
    rows = bits()
    fitted = likely.fit("rbm", rows, z_size=z_size, train=TRAIN, calibrate="none")
    log_p, figure = enumerated(fitted, rows), figure_of(fitted, rows)
    assert figure.marks["rbm"] == "~"
    alone = log_p.std(ddof=1) / math.sqrt(len(log_p))
    if z_size <= 20:
        assert figure.values["rbm"] == pytest.approx(log_p.mean(), abs=1e-5)
        assert figure.errors["rbm"] == pytest.approx(alone, rel=1e-5)
        assert "by a sum over all states" in figure.note
    else:
        constant = math.sqrt(figure.errors["rbm"] ** 2 - alone**2)  # the error bar of log Z is part of it
        assert 0 < constant < 0.05
        assert abs(figure.values["rbm"] - log_p.mean()) < 2 * constant
        assert "in mean too high" in figure.note


def test_whole_values_have_bits_per_dimension_with_the_error_of_the_constant(monkeypatch):
    rows = bits()
    fitted = likely.fit("rbm", rows, z_size=4, train=TRAIN, calibrate="none")
    known = partition.LogPartition(10.0, 3.0, 50.0, 100, 1000)
    monkeypatch.setattr(importlib.import_module("likely.assess.density"), "log_partition", lambda *_, **__: known)
    figures = [
        f for f in assess(fitted, open_source(rows)).figures if f.name in ("log-likelihood", "bits per dimension")
    ]
    nats, in_bits = figures
    assert in_bits.values["rbm"] == pytest.approx(-nats.values["rbm"] / 8 / math.log(2))
    assert in_bits.errors["rbm"] == pytest.approx(nats.errors["rbm"] / 8 / math.log(2))
    assert nats.errors["rbm"] > 3
    assert in_bits.marks["rbm"] == "~"


def test_a_density_of_reals_integrates_to_one_in_the_units_of_the_data():
    rng = np.random.default_rng(0)
    rows = 7 + 30 * np.concatenate([rng.normal(-1, 0.3, (150, 2)), rng.normal(1, 0.3, (150, 2))])
    fitted = likely.fit("rbm", rows, z_size=4, train=TRAIN, calibrate="none")
    constant = partition.log_partition(fitted.model)
    line = np.linspace(-250, 250, 401)
    plane = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    density_of = np.exp(-fitted.surprise(plane) - constant.value)
    assert density_of.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=1e-3)
    figure = figure_of(fitted, rows)
    assert figure.values["rbm"] == pytest.approx((-fitted.surprise(rows) - constant.value).mean(), abs=1e-4)
    assert figure.values["rbm"] > figure.values["column means"]


def test_units_are_chosen_by_the_data_and_refused_where_they_are_not_for_it():
    X = np.random.default_rng(0).normal(size=(60, 3))
    still = likely.TrainConfig(epochs=1, device="cpu")
    assert type(likely.fit("rbm", X, train=still, calibrate="none").model.visible).__name__ == "GaussianUnits"
    assert type(likely.fit("rbm", bits(), train=still, calibrate="none").model.visible).__name__ == "BernoulliUnits"
    with pytest.raises(likely.DataError, match="BernoulliUnits are no units of real data; these are: GaussianUnits"):
        likely.fit("rbm", X, visible=likely.registry.part_class("BernoulliUnits")(), train=still)


def test_a_model_without_a_density_has_no_figure_of_one():
    fitted = likely.fit("autoencoder", bits(), train=likely.TrainConfig(epochs=1, device="cpu"), calibrate="none")
    assert not [f for f in assess(fitted, open_source(bits())).figures if f.name == "log-likelihood"]
