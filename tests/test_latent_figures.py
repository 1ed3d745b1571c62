"""What evaluation says of a code and of the bound: a collapse is said, units are the caller's, and checks can fail."""

import functools
import importlib
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import likely
from likely.assess import assess
from likely.assess.bench import Bench
from likely.assess.latent import OWN_FIGURES, Latent, latent
from likely.data import open_source
from likely.evaluation import Assessment
from likely.likelihoods import Bernoulli, Gaussian
from likely.networks import MLP
from likely.report.contents import UnitRates
from likely.report.latent import code_use
from likely.tasks.annealing import Annealing
from likely.tasks.importance import importance_estimate

IMAGES = load_digits().images
BITS = (IMAGES > 7.5).astype(np.float64)
latent_module = importlib.import_module("likely.assess.latent")  # the package has a function of this name

SMALL = MLP((32,), activation="tanh")


def fitted(rows: np.ndarray, **arguments: object) -> likely.Fitted:
    config = likely.TrainConfig(epochs=40, seed=0)
    return likely.fit("vae", rows[:1000], train=config, calibrate="none", z_size=6, network=SMALL, **arguments)


@pytest.fixture(scope="module")
def healthy() -> likely.Fitted:
    return fitted(BITS, likelihood=Bernoulli())


def judged(model: likely.Fitted, rows: np.ndarray) -> Latent:
    return latent(Bench(model, open_source(rows), None))


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(latent_module, "ANNEALING", Annealing(12, 400, 1))


@pytest.mark.usefixtures("quick")
def test_a_healthy_code_is_said_to_be_in_use_and_its_bound_is_checked(healthy):
    found = judged(healthy, BITS[1000:1300])
    assert [figure.name for figure in found.figures] == list(OWN_FIGURES)
    rate, active, effective, heavy, checked = found.figures
    assert rate.values["vae"] > 2
    assert 3 <= active.values["vae"] <= 6
    assert 500 < effective.values["vae"] < 1000
    assert heavy.values == {"vae": 0}
    assert checked.values["one sample"] < checked.values["vae"] - 0.1
    assert checked.marks == {"vae": "~", "one sample": ">=", "annealing": "~"}
    assert "It covers log p." in checked.note
    assert "COLLAPSED" not in found.verdicts[0]
    assert "agrees with importance samples" in found.verdicts[1]
    assert abs(checked.values["annealing"] - checked.values["vae"]) < 1


@pytest.mark.usefixtures("quick")
def test_a_collapsed_code_is_said_to_be_one():
    found = judged(fitted(BITS, likelihood=Bernoulli(), beta=100.0), BITS[1000:1300])
    assert found.figures[0].values["vae"] < 0.1
    assert found.figures[1].values["vae"] == 0
    assert found.verdicts[0].startswith("The posterior has COLLAPSED")


@pytest.mark.usefixtures("quick")
def test_numbers_are_in_the_units_of_the_caller():
    """A density of rows that are a hundred times as large is smaller by log 100 for each value."""
    table = np.random.default_rng(0).normal(size=(400, 3)) @ np.random.default_rng(1).normal(size=(3, 5))
    for scale in (1.0, 100.0):
        rows = scale * (table + 0.1 * np.random.default_rng(2).normal(size=table.shape))
        model = likely.fit(
            "vae", rows[:300], z_size=3, likelihood=Gaussian(), train=likely.TrainConfig(epochs=20), calibrate="none"
        )
        test = rows[300:316]
        checked = judged(model, test).figures[-1]
        log_p = model.log_prob(test, n_samples=1000).mean()
        assert checked.values["vae"] == pytest.approx(log_p, abs=0.2)
        assert "density" in checked.unit


def test_a_decoder_beyond_the_budget_is_not_annealed_and_that_is_said(healthy, monkeypatch):
    monkeypatch.setattr(latent_module, "ANNEALING_BUDGET", 1e6)
    monkeypatch.setattr(latent_module, "SAMPLING_BUDGET", 1e7)
    monkeypatch.setattr(latent_module, "REFINING_BUDGET", 1e7)
    found = judged(healthy, BITS[1000:1100])
    assert "importance samples from the posterior" in found.figures[2].note
    assert "annealing" not in found.figures[-1].values
    assert re.search(r"Not annealed: .* operations, and the budget is 1e\+06", found.figures[-1].note)
    assert not any("Annealed" in verdict for verdict in found.verdicts)
    k = int(found.figures[2].unit.removeprefix("of ").replace(",", ""))
    assert 16 <= k < 1000


@pytest.mark.usefixtures("quick")
def test_samples_that_miss_something_are_said_to(healthy, monkeypatch):
    def loose(*given, **more):
        found = importance_estimate(*given, **more)
        return replace(found, log_prob=found.log_prob - 1)

    monkeypatch.setattr(latent_module, "importance_estimate", loose)
    verdict = judged(healthy, BITS[1000:1100]).verdicts[1]
    assert re.search(r"MORE likely than importance samples do, by (0\.[89]|1\.?\d*) ", verdict)


@pytest.mark.usefixtures("quick")
def test_heavy_tails_are_counted_and_called_a_bound(healthy, monkeypatch):
    """Codes drawn from half the width of the posterior: what they leave out, no error bar knows."""
    narrow = functools.partial(importance_estimate, width=0.5)
    monkeypatch.setattr(latent_module, "importance_estimate", narrow)
    found = judged(healthy, BITS[1000:1100])
    heavy, checked = found.figures[3:]
    n = heavy.values["vae"]
    assert n >= 14
    assert f"HEAVY-TAILED for {n} of 16 test rows" in found.verdicts[1]
    assert checked.marks["vae"] == ">="
    assert "log p may be higher than it says" in checked.note
    assert re.search(r"shape is (0\.[7-9]\d?|1\.?\d*) in the median", heavy.note)


def test_chains_that_have_not_arrived_check_nothing(healthy, monkeypatch):
    monkeypatch.setattr(latent_module, "ANNEALING", Annealing(8, 3, 1))
    assert "checks nothing" in judged(healthy, BITS[1000:1100]).verdicts[1]


@pytest.mark.usefixtures("quick")
def test_the_whole_assessment_and_the_page_say_it(healthy):
    assessment = assess(healthy, open_source(BITS[1000:1200]))
    assert assessment.verdicts[0].startswith("Its code says")
    again = Assessment.from_json(assessment.to_json())
    shown = code_use(None, again)
    assert [name for name, _ in shown["facts"]] == list(OWN_FIGURES[:4])
    assert re.fullmatch(r"\d of 6 values of the code", dict(shown["facts"])["active units"])
    assert [row["name"] for row in shown["checked"][0]["rows"]] == [
        "importance samples of vae",
        "one sample",
        "annealing",
    ]
    rates = UnitRates(np.array([0.1, 2.0, 0.0]), np.array([True, True, False]))
    chart = str(code_use(rates, None)["chart"])
    assert "not active" in chart


def test_models_without_a_code_density_are_left_alone():
    model = likely.fit("ppca", BITS[:300].reshape(300, -1) + 0.0, z_size=3, calibrate="none")
    assert judged(model, BITS[300:400].reshape(100, -1)) == Latent()


def test_a_learned_prior_has_no_rate_by_unit():
    from likely.tasks.units import code_use as use_of_code
    from tests.zoo import ZOO

    for name, known in (("vae-bits", True), ("vae-mixture", False)):
        use = use_of_code(ZOO[name].model(), ZOO[name].x())
        assert (use.unit_rates is not None) == known
        if known:
            assert math.isclose(float(use.unit_rates.sum()), use.mean_rate)
    assert torch.isfinite(use.rate).all()
