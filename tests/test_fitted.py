"""What enters and leaves a fitted model, in the caller's own terms."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

import likely
from likely.data import open_source
from likely.errors import DataError, Unsupported, UserError
from likely.likelihoods import Columns, Gaussian
from likely.registry import Spec

QUICK = likely.TrainConfig(epochs=3)


@pytest.fixture(scope="module")
def X():
    mixing = np.array([[1.0, 300.0, 0.0], [0.0, 40.0, 0.001], [0.0, 0.0, 0.002]])
    return np.random.default_rng(0).normal(size=(700, 3)) @ mixing + [5.0, -100.0, 0.0]


@pytest.fixture(scope="module")
def ppca(X):
    return likely.fit("ppca", X, z_size=2)


def test_densities_are_in_the_callers_units(X, ppca):
    """Against the same Gaussian written down in raw units: standardizing forth and its log-determinant back."""
    model, schema = ppca.model, ppca.schema
    w = model.components.T * model._scales
    inside = (w @ w.T).numpy() + float(model.noise_variance) * np.eye(3)
    covariance = np.diag(schema.scales) @ inside @ np.diag(schema.scales)
    mean = schema.locations + schema.scales * model.mean.numpy()
    off = X - mean
    distance = (off * np.linalg.solve(covariance, off.T).T).sum(1)
    expected = -0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1])
    np.testing.assert_allclose(ppca.log_prob(X), expected, rtol=1e-6)
    assert ppca.density_mark == "="


def test_another_unit_moves_a_density_by_its_logarithm(X, ppca):
    meters = likely.fit("ppca", X * [1, 1000, 1], z_size=2)
    np.testing.assert_allclose(meters.log_prob(X * [1, 1000, 1]), ppca.log_prob(X) - np.log(1000), rtol=1e-9)


def test_a_dequantized_density_bounds_the_probability_of_whole_values():
    """One pixel, known probabilities: the bound of a Gaussian stays below what they are."""
    x = np.random.default_rng(0).binomial(30, 0.4, size=(4000, 1, 1)).astype(np.uint8)
    fitted = likely.fit("ppca", x, z_size=1, test=0.0)
    assert fitted.schema.domain == "levels"
    assert fitted.density_mark == "<="
    _levels, counts = np.unique(x, return_counts=True)
    p = counts / counts.sum()
    entropy = -(p * np.log(p)).sum()
    cross = -fitted.log_prob(x).mean()
    assert entropy - 0.02 < cross < entropy + 0.1


@pytest.mark.parametrize("name", ["pca", "ppca", "autoencoder", "vae"])
def test_saved_and_loaded_in_a_new_process_it_answers_the_same(name, X, tmp_path):
    fitted = likely.fit(name, X, train=QUICK, z_size=2)
    fitted.save(tmp_path / "model")
    np.save(tmp_path / "x.npy", X)
    code = (
        "import likely, numpy as np, sys; f = likely.load('model'); x = np.load('x.npy'); s = f.score(x); "
        "np.savez('answers.npz', surprise=s.surprise, p=s.p_value, codes=f.encode(x), again=f.reconstruct(x))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    answers = np.load(tmp_path / "answers.npz")
    scores = fitted.score(X)
    np.testing.assert_array_equal(answers["surprise"], scores.surprise)
    np.testing.assert_array_equal(answers["p"], scores.p_value)
    np.testing.assert_array_equal(answers["codes"], fitted.encode(X))
    np.testing.assert_array_equal(answers["again"], fitted.reconstruct(X))


@pytest.mark.parametrize("name", ["ppca", "vae"])
def test_rows_are_strangers_to_a_fitted_model_too(name):
    fitted = likely.fit(name, "digits", train=QUICK).to(dtype=torch.float64)
    source = open_source("digits")
    rows = source.read(np.arange(40))
    together = fitted.surprise(rows)
    alone = np.concatenate([fitted.surprise(rows[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], rtol=1e-10)
    np.testing.assert_allclose(fitted.surprise(rows[::-1])[::-1], together, rtol=1e-10)
    np.testing.assert_array_equal(fitted.surprise(rows), together)


def test_digits_come_back_as_digits():
    fitted = likely.fit("vae", "digits", train=QUICK)
    draws = fitted.sample(5, seed=3)
    assert draws.shape == (5, 8, 8)
    assert draws.dtype == np.uint8
    assert draws.max() <= 16
    np.testing.assert_array_equal(draws, fitted.sample(5, seed=3))
    assert not np.array_equal(draws, fitted.sample(5, seed=4))
    assert fitted.density_mark == "<="


def test_tables_come_back_as_tables_with_their_constant_and_their_order():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"몸무게": generator.normal(70, 9, 300), "unit": 1.5, "height": generator.normal(1.7, 0.1, 300)}
    )
    with pytest.warns(UserWarning, match="unit"):
        fitted = likely.fit("ppca", frame, z_size=1)
    draws = fitted.sample(4)
    assert isinstance(draws, pd.DataFrame)
    assert list(draws.columns) == list(frame.columns)
    assert (draws["unit"] == 1.5).all()
    again = fitted.score(frame[["height", "unit", "몸무게"]])
    np.testing.assert_allclose(again.surprise, fitted.score(frame).surprise)
    with pytest.raises(DataError, match="몸무게"):
        fitted.score(frame.drop(columns="몸무게"))
    assert fitted.score(frame.assign(unit=2.0)).is_novel.all()


def test_missing_values_are_refused_by_column_or_taken():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(300, 3)), columns=list("abc"))
    frame.loc[::7, "b"] = np.nan
    with pytest.raises(DataError, match=r"ppca takes no missing values.*b \(29\)"):
        likely.fit("ppca", frame)
    fitted = likely.fit("vae", frame, train=QUICK)
    assert np.isfinite(fitted.score(frame).surprise).all()


def test_categories_are_refused_where_a_density_is_of_numbers():
    frame = pd.DataFrame({"x": np.arange(300.0) ** 2, "city": ["서울", "부산", "대구"] * 100})
    with pytest.raises(DataError, match=r"ppca.*none over categories: city.*vae.*autoencoder"):
        likely.fit("ppca", frame)
    with pytest.raises(DataError, match=r"Gaussian.*no likelihood of categories: city.*Columns\(reals="):
        likely.fit("vae", frame, likelihood=Gaussian())
    with pytest.raises(DataError, match=r"widths \(3, 1\), expected \(1, 3\)"):
        likely.fit("vae", frame, likelihood=Columns((3, 1)))
    fitted = likely.fit("vae", frame, likelihood=Columns(reals=Gaussian()), train=QUICK, calibrate="none")
    assert fitted.model.likelihood == Columns((1, 3), Gaussian())
    fitted = likely.fit("autoencoder", frame, train=QUICK)
    assert set(fitted.reconstruct(frame)["city"]) <= {"서울", "부산", "대구"}


def test_what_a_model_cannot_do_is_said_with_those_that_can(X):
    fitted = likely.fit("pca", X, z_size=1)
    with pytest.raises(Unsupported, match=r"pca cannot sample; models that can: .*ppca"):
        fitted.sample(3)
    with pytest.raises(Unsupported, match="knows no density"):
        fitted.log_prob(X)


def test_an_unknown_model_and_an_unknown_argument_name_the_nearest(X):
    with pytest.raises(likely.UnknownName, match="autoencoder"):
        likely.fit("autoencodr", X)
    with pytest.raises(likely.UnknownName, match="z_size"):
        likely.fit("vae", X, zsize=2)


def test_rows_are_split_once_and_each_part_is_told(X):
    few, many = likely.fit("ppca", X[:100]), likely.fit("ppca", X)
    assert few.info["split"] == {"train": 61, "validation": 10, "calibration": 19, "test": 10}
    assert many.info["split"] == {"train": 461, "validation": 70, "calibration": 99, "test": 70}
    assert len(many.calibration.surprises) == 99


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_share_is_refused(X, ppca, rate):
    with pytest.raises(UserError, match="between 0 and 1"):
        ppca.score(X, false_alarm_rate=rate)


def test_ppca_of_an_estimator_equals_scikit_learn(X):
    from likely.estimators import DensityEstimator

    scaled = (X - X.mean(0)) / X.std(0)
    estimator = DensityEstimator(Spec("ppca", z_size=1)).fit(scaled)
    np.testing.assert_allclose(estimator.score_samples(scaled), PCA(1).fit(scaled).score_samples(scaled), rtol=1e-9)


def test_grid_search_reaches_into_the_spec(X):
    from sklearn.model_selection import GridSearchCV

    from likely.estimators import DensityEstimator

    search = GridSearchCV(DensityEstimator(Spec("ppca")), {"model__z_size": [1, 2]}, cv=2).fit(X)
    assert search.best_params_["model__z_size"] == 2


class Waiting:
    """A question that is not answered before somebody says so; notes whether the model was in training mode."""

    def __init__(self, model):
        self.model, self.begun, self.may_end, self.modes = model, threading.Event(), threading.Event(), []

    def __call__(self):
        self.modes.append(self.model.training)
        self.begun.set()
        assert self.may_end.wait(60)
        self.modes.append(any(module.training for module in self.model.modules()))
        return torch.zeros(1)


def test_a_model_stays_in_evaluation_mode_until_the_last_thread_has_its_answer(X):
    fitted = likely.fit("vae", X, train=likely.TrainConfig(epochs=0.1), calibrate="none")
    fitted.model.train()
    fitted.model.codec.features.eval()  # in parts, as somebody may have left it
    modes = [module.training for module in fitted.model.modules()]
    first, second = Waiting(fitted.model), Waiting(fitted.model)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(fitted.ask, question) for question in (first, second)]
        assert first.begun.wait(60)
        assert second.begun.wait(60)
        first.may_end.set()
        asked[0].result()
        second.may_end.set()
        asked[1].result()
    assert first.modes == second.modes == [False, False]
    assert [module.training for module in fitted.model.modules()] == modes


FORKED = """
import os, sys, time
import numpy as np
import likely, likely.fitted

X = np.random.default_rng(0).normal(size=(60, 3))
fitted = likely.fit("ppca", X, z_size=1, calibrate="none")
expected = fitted.surprise(X)
likely.fitted._ASKING.acquire()  # as if another thread were about to ask
child = os.fork()
if not child:
    os._exit(0 if (fitted.surprise(X) == expected).all() else 1)
for _ in range(300):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
sys.exit("the child hangs")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_while_somebody_asked_is_answered():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=90)
