"""Numbers that make no sense are refused by their name, before anything is computed."""

import math

import numpy as np
import pytest

import likely
from likely import TrainConfig
from likely.errors import UserError
from likely.estimators import DensityEstimator, NoveltyDetector

X = np.random.default_rng(0).normal(size=(120, 3))
NO_NUMBERS = ("x", math.nan, None, True, [1], 1j)


@pytest.fixture(scope="module")
def ppca():
    return likely.fit("ppca", X, z_size=1)


ASKED = {
    "false_alarm_rate": (lambda f, value: f.score(X, false_alarm_rate=value), [0, 1, -0.1, 1.5, math.inf]),
    "n_samples": (lambda f, value: f.surprise(X, n_samples=value), [0, -1, 1.5, math.inf]),
    "n": (lambda f, value: f.sample(value), [0, -1, 1.5, math.inf]),
    "temperature": (lambda f, value: f.sample(2, temperature=value), [0, -1, math.inf]),
    "seed": (lambda f, value: f.sample(2, seed=value), [0.5]),
    "n_steps": (lambda f, value: likely.interpolate(f, X[0], X[1], value), [0, 1, 2.5]),
    "test": (lambda f, value: likely.fit("ppca", X, test=value), [-0.1, 1, 1.5]),
    "calibrate": (lambda f, value: likely.fit("ppca", X, calibrate=value), [0]),
}


@pytest.mark.parametrize("name", ASKED)
def test_an_answer_is_asked_for_in_numbers_that_make_sense(ppca, name):
    ask, wrong = ASKED[name]
    for value in [*wrong, *(each for each in NO_NUMBERS if not (name == "n_samples" and each is None))]:
        with pytest.raises(UserError, match=rf"^{name} must be "):
            ask(ppca, value)


def test_numbers_of_other_libraries_are_numbers(ppca):
    assert len(ppca.sample(np.int64(2), seed=np.uint8(1), temperature=np.float32(1))) == 2
    assert ppca.score(X, false_alarm_rate=np.float64(0.1), n_samples=np.int32(2)).false_alarm_rate == 0.1


SETTINGS = {
    "epochs": [0, -1], "time_limit": [0], "batch_size": [0, 2.5], "learning_rate": [0], "warmup": [-1, 0.5],
    "weight_decay": [-1], "max_grad_norm": [0, -1], "patience": [0, 1.5], "seed": [0.5], "checkpoint_every": [0],
    "checkpoint_steps": [0, 0.5],
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_training_is_set_by_numbers_that_make_sense(name):
    for value in [*SETTINGS[name], "x", math.nan, True, [1]]:
        with pytest.raises(UserError, match=rf"^{name} must be "):
            TrainConfig(**{name: value})
    TrainConfig(max_grad_norm=math.inf, patience=None, epochs=np.float32(1.5), batch_size=np.int64(3))


@pytest.mark.parametrize("value", [0, 1, -1, math.nan, "x", None])
def test_estimators_refuse_shares_that_are_none(value):
    with pytest.raises(UserError, match=r"^false_alarm_rate must be"):
        NoveltyDetector("ppca", false_alarm_rate=value).fit(X)
    with pytest.raises(UserError, match=r"^contamination must be"):
        NoveltyDetector("ppca", contamination=value).fit(X)


def test_an_estimator_draws_whole_numbers_of_rows():
    estimator = DensityEstimator("ppca").fit(X)
    for value in (0, -1, 1.5, "x"):
        with pytest.raises(UserError, match=r"^n_samples must be a whole number, 1 or more, got"):
            estimator.sample(value)
