"""What was not there at fit is no reason to refuse rows: they are answered, flagged, and told why."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import likely
from likely import Spec
from likely.errors import DataError
from likely.estimators import FeatureExtractor, NoveltyDetector, PretrainedClassifier

CPU = likely.TrainConfig(epochs=2, device="cpu")
N = 300
GENERATOR = np.random.default_rng(0)


def table(n=N, seed=0):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": generator.normal(size=n),
            "b": generator.normal(5, 2, n),
            "site": 1,
            "city": generator.choice(["Bonn", "Kiel"], n),
            "wet": generator.random(n) < 0.5,
        }
    )


@pytest.fixture(scope="module")
def pca():
    """A model that takes no missing values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return likely.fit("pca", table(), z_size=2)


@pytest.fixture(scope="module")
def vae():
    """A model that takes missing values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return likely.fit("vae", table(), z_size=2, train=CPU)


def changed(column, value, row=3):
    new = table(8, seed=1).astype({column: object})
    new.loc[row, column] = value
    return new


CHANGES = {
    "category": ("city", "Ulm", "column \"city\": found 'Ulm', expected one of Bonn, Kiel"),
    "constant": ("site", 7, 'column "site": found 7, expected 1, the only value that was there at fit'),
    "infinite": ("a", np.inf, 'column "a": found inf, expected a number'),
}
MISSING = {
    "number": ("a", None, 'column "a": no value'),
    "category": ("city", None, 'column "city": no value'),
}


def smallest(fitted):
    ranked = fitted.calibration.surprises
    return (1 + np.isinf(ranked).sum()) / (len(ranked) + 1)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kind", ["pca", "vae"])
def test_what_is_new_is_novel_and_told(kind, name, request):
    fitted = request.getfixturevalue(kind)
    column, value, reason = CHANGES[name]
    usual, scores = fitted.score(table(8, seed=1)), fitted.score(changed(column, value))
    assert scores.reason.tolist() == [reason if row == 3 else "" for row in range(8)]
    assert scores.p_value[3] == smallest(fitted)
    assert scores.is_novel[3]
    others = np.arange(8) != 3
    np.testing.assert_array_equal(scores.surprise[others], usual.surprise[others])
    np.testing.assert_array_equal(scores.p_value[others], usual.p_value[others])


@pytest.mark.parametrize("name", MISSING)
def test_a_row_without_a_value_has_no_answer_from_a_model_that_needs_it(pca, vae, name):
    column, value, reason = MISSING[name]
    new = changed(column, value)
    scores = pca.score(new)
    assert scores.reason[3] == reason
    assert (scores.surprise[3], scores.p_value[3]) == (np.inf, smallest(pca))
    assert np.isfinite(np.delete(scores.surprise, 3)).all()
    with pytest.warns(UserWarning, match=f"1 row is NaN, for the model takes no missing values: row 3, {reason}"):
        codes = pca.encode(new)
    np.testing.assert_array_equal(np.isnan(codes).any(1), np.arange(8) == 3)
    np.testing.assert_array_equal(np.delete(codes, 3, 0), np.delete(pca.encode(table(8, seed=1)), 3, 0))
    with pytest.warns(UserWarning, match="NaN"):
        again = pca.reconstruct(new)
    assert again.isna()[["a", "b", "city", "wet"]].iloc[3].all()
    assert not again.drop(index=3).isna().any(axis=None)
    assert np.isfinite(vae.score(new).surprise).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(vae.encode(new)).all()


def test_text_where_a_number_was_is_told_and_numbers_as_text_are_numbers(pca, vae):
    new = table(8, seed=1)
    text = new.assign(a=[repr(float(each)) for each in new["a"]])
    np.testing.assert_allclose(pca.score(text).surprise, pca.score(new).surprise)
    text.loc[3, "a"] = "n/a?"
    for fitted in (pca, vae):
        scores = fitted.score(text)
        assert scores.reason[3] == "column \"a\": found 'n/a?', expected a number"
        assert scores.p_value[3] == smallest(fitted)
        assert (np.isfinite(scores.surprise) == ((np.arange(8) != 3) | (fitted is vae))).all()


@pytest.mark.parametrize("values", [lambda wet: wet.astype(int), lambda wet: wet.astype(str), lambda wet: wet * 1.0])
def test_truth_is_the_same_in_another_type(pca, values):
    new = table(8, seed=1)
    given = new.assign(wet=values(new["wet"]))
    np.testing.assert_array_equal(pca.score(given).surprise, pca.score(new).surprise)
    assert (pca.score(given).reason == "").all()


def test_columns_beyond_those_of_fit_are_left_out_and_said(pca):
    new = table(8, seed=1)
    with pytest.warns(UserWarning, match='has column "extra", which the model was not fitted on: left out'):
        found = pca.score(new.assign(extra=1)[["extra", "wet", "city", "b", "a", "site"]])
    np.testing.assert_array_equal(found.surprise, pca.score(new).surprise)
    with pytest.raises(DataError, match='has column "extra"'):
        pca.score(new.assign(extra=1), strict=True)


def test_columns_that_lack(pca, vae):
    new = table(8, seed=1)
    with pytest.raises(DataError, match='lacks column "a", which the model was fitted on; add it'):
        pca.score(new.drop(columns="a"))
    with pytest.warns(UserWarning, match='lacks column "a": taken as missing in every row'):
        found = vae.score(new.drop(columns="a"))
    np.testing.assert_array_equal(found.surprise, vae.score(new.assign(a=np.nan)).surprise)
    assert (pca.score(new.drop(columns="site")).reason == "").all()
    for fitted in (pca, vae):
        with pytest.raises(DataError, match='lacks columns "a", "b", "city", "wet", which'):
            fitted.score(pd.DataFrame({"other": [1.0]}))


ANSWERS = ("score", "encode", "reconstruct")


@pytest.mark.parametrize("answer", ANSWERS)
def test_strict_lists_every_cell(pca, answer):
    new = table(100, seed=1).astype({"a": object})
    new.loc[40:, "city"] = "Ulm"
    new.loc[5, "a"] = None
    new.loc[7, "site"] = 8
    with pytest.raises(DataError) as caught:
        getattr(pca, answer)(new, strict=True)
    told = str(caught.value)
    assert told.startswith('62 cells differ from what was there at fit: row 5, column "a": found no value, expected a ')
    assert 'row 7, column "site": found 8, expected 1' in told
    assert told.count("found 'Ulm'") == 18
    assert "and 42 more" in told
    assert getattr(pca, answer)(table(100, seed=1), strict=True) is not None


# Arrays.


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def test_images_and_bits_beyond_their_range_are_scored():
    generator = np.random.default_rng(0)
    bits = (generator.random((N, 8)) < 0.5).astype(float)
    gray = generator.integers(0, 256, (N, 4, 4))
    for rows, at, value, reason in (
        (bits, (2, 1), 2.0, "column 1: found 2, expected only 0 and 1, as at fit"),
        (gray, (2, 1, 3), 300.0, "at (1, 3): found 300, expected whole numbers from 0 to 255, as at fit"),
    ):
        fitted = likely.fit("pca", rows, z_size=2)
        new = rows[:6].astype(float)
        new[at] = value
        scores = fitted.score(new)
        assert scores.reason.tolist() == ["", "", reason, "", "", ""]
        assert scores.p_value[2] == smallest(fitted)
        new[4].flat[0] = np.nan
        assert np.isinf(fitted.score(new).surprise).tolist() == [False] * 4 + [True, False]


def test_rounding_leaves_no_range():
    rows = np.random.default_rng(0).random((N, 4, 4))
    fitted = likely.fit("pca", rows, z_size=2)
    new = rows[:6].copy()
    new[2, 0, 0], new[3, 0, 0] = 1 + 1e-7, -1e-8
    assert (fitted.score(new).reason == "").all()
    new[2, 0, 0] = 1.001
    assert fitted.score(new).reason[2] == "at (0, 0): found 1.001, expected numbers from 0 to 1, as at fit"


# Estimators.


def test_a_column_constant_in_one_fold_stops_no_cross_validation(digits):
    X, y = digits
    pipeline = make_pipeline(FeatureExtractor(Spec("pca", z_size=20)), LogisticRegression(max_iter=50, tol=0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = cross_val_score(pipeline, X[:600], y[:600], cv=5, error_score="raise")
    assert np.isfinite(scores).all()
    assert scores.min() > 0.6


def test_estimators_are_silent_about_new_values(digits):
    X, _ = digits
    with pytest.warns(UserWarning, match="constant columns set aside"):
        extractor = FeatureExtractor(Spec("pca", z_size=5)).fit(X[:100])
    new = X[100:300].copy()
    new[:, 0] = 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = extractor.transform(new)
    np.testing.assert_array_equal(codes, extractor.transform(np.where(np.arange(64) == 0, 0, new)))


def test_scaled_columns_go_beyond_their_range_and_raise_no_more_false_alarms():
    """Scaled by all rows, those that calibrate lie within the range, and new ones do not: these are no alarms."""
    flagged, beyond = [], []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        rows = generator.exponential(size=(1500, 20)) * (generator.random((1500, 20)) < 0.6)
        scaler = MinMaxScaler().fit(rows[:500])
        detector = NoveltyDetector(Spec("pca", z_size=5), false_alarm_rate=0.02, random_state=seed)
        detector.fit(scaler.transform(rows[:500]))
        scaled = scaler.transform(rows[500:])
        beyond.append((scaled > 1).any(1).mean())
        flagged.append((detector.predict(scaled) == -1).mean())
    assert np.mean(beyond) > 0.03
    assert np.mean(flagged) < 0.03


def test_a_value_beyond_bits_is_novel_to_an_estimator():
    X = (np.random.default_rng(0).random((N, 6)) < 0.5).astype(float)
    detector = NoveltyDetector("pca").fit(MinMaxScaler().fit_transform(X))
    new = X[:5].copy()
    new[2, 3] = 2
    assert detector.predict(new)[2] == -1
    assert detector.predict(X[:5])[2] == 1


def test_a_classifier_meets_held_out_rows_of_digits(digits):
    X, y = digits
    for seed in range(2):
        train, new, labels, truth = train_test_split(X, y, test_size=0.3, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = PretrainedClassifier(train=CPU).fit(train[:400], labels[:400]).predict(new)
        assert len(found) == len(truth)
